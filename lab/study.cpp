#include "lab/study.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/log.h"
#include "kernels/cpu.h"
#include "lab/machine.h"
#include "lab/provenance.h"
#include "lab/report/parts.h"
#include "lab/report/report.h"
#include "training/recipe.h"

namespace gamut {

StudySettings take_study(Config& cfg, const std::string& experiment, const StudyTier& tier) {
  StudySettings s;
  s.out = cfg.take<std::string>("out", "reports/" + experiment + "-" + tier.name);
  s.seed = cfg.take_in<uint64_t>("seed", 1, 1, 1000000);
  s.seeds = cfg.take_in<int>("seeds", tier.seeds, 2, 50);
  s.minutes = cfg.take_in("minutes", tier.minutes, 0.5, 10000.0);
  Config data = cfg.sub("data");
  s.data.recipe = data.take<std::string>("recipe", s.data.recipe);
  s.data.path = data.take<std::string>("path", "");
  s.data.cache = data.take<std::string>("cache", "");
  s.data.vocab_size = data.take_in<int64_t>("vocab_size", tier.vocab, 257, 1 << 16);
  data.finish();
  s.chosen = {{"tier", tier.name}, {"seed", s.seed}, {"seeds", s.seeds}, {"minutes", s.minutes}, {"data", {{"recipe", s.data.recipe}, {"path", s.data.path.string()}, {"vocab_size", s.data.vocab_size}}}};
  return s;
}

Json Study::run() {
  make_folder(settings_.out);
  data_ = std::make_shared<const Dataset>(prepare_dataset(settings_.data, context_.pool));
  take_plan(continue_or_plan(settings_, data_->hash, [&] {
    log::info("calibrating on {} threads, tier {}", context_.pool.threads(), kernels::name_of(kernels::best_tier()));
    return make_plan(60 * settings_.minutes - seconds());
  }));
  work();
  progress_.finish("all runs done");
  Json study = report();
  study["report"] = (settings_.out / "report.html").string();
  write_file(settings_.out / "study.json", study.dump(1));
  write_report(settings_.out / "report.html", study);
  return study;
}

std::vector<Outcome> Study::race(const RaceOptions& options, const std::vector<Entry>& entries, double share) {
  const double before = seconds();
  RaceResult result = run_race(options, entries, data_, context_.pool, [&](double done, const std::string& note) { show(share * done, note); });
  work_done_ += share;
  race_seconds_ += result.seconds;
  race_seconds_now_ += seconds() - before;
  use_ += result.use;
  return std::move(result.outcomes);
}

void Study::advance(double share, const std::string& note) {
  work_done_ += share;
  show(0, note);
}

Json Study::heading(const Json& title, const StudyTier& tier, double peak_flops, double tokens_a_run, double other_seconds) const {
  Json study = {{"id", id_}, {"title", title}, {"tier", tier.name}, {"arms", Json::array()}, {"domains", Json::array()}};
  for (int r = 0; r < tier.seeds; ++r) study["seeds"].push_back(settings_.seed + static_cast<uint64_t>(r));
  study["elapsed"] = race_seconds_ + std::max(seconds() - race_seconds_now_, other_seconds);  // earlier parts of an interrupted study included
  study["machine"] = describe_machine(context_.pool);
  study["machine"]["peak_flops"] = peak_flops;
  const std::string tokens = count_text(tokens_a_run).en;
  study["budget"] = text(tokens + " tokens a run", "每次运行 " + tokens + " token");
  for (const std::string& d : data_->domains) study["domains"].push_back({{"id", d}, {"name", domain_name(d)}});
  return study;
}

Entry race_entry(const std::string& arm, const std::string& suffix, const ModelSpec& model, const TrainerOptions& trainer, int64_t cool_steps, int64_t points) {
  Entry e{.id = arm + "-" + suffix, .arm = arm, .model = model, .trainer = trainer, .cool_steps = cool_steps};
  if (points > 0)
    for (const int64_t step : log_spaced_steps(trainer.steps, points + 8))
      if (step >= std::min<int64_t>(10, trainer.steps)) e.evaluate_at.push_back(step);
  return e;
}

Json continue_or_plan(const StudySettings& s, const std::string& data_hash, const std::function<Json()>& make) {
  const std::filesystem::path path = s.out / "plan.json";
  if (!std::filesystem::exists(path)) {
    const Json plan = make();
    write_file(path, Json({{"chosen", s.chosen}, {"data_hash", data_hash}, {"plan", plan}}).dump(1));
    return plan;
  }
  const Json stored = read_json(path);
  if (!stored.contains("chosen") || !stored.contains("plan")) throw Error({.who = "lab", .what = "not a study's plan", .where = path.string(), .hint = "choose another out=FOLDER"});
  if (stored["chosen"] != s.chosen || stored["data_hash"] != data_hash) {
    std::string differs = "data";
    for (const auto& [key, value] : s.chosen.items())
      if (stored["chosen"].value(key, Json()) != value) differs = key;
    throw Error({.who = "lab", .what = "the folder holds another study: its " + differs + " differs", .where = s.out.string(), .hint = "choose another out=FOLDER, or delete this one"});
  }
  log::info("continuing the study in {}", s.out.string());
  return stored["plan"];
}

RateSearch search_rate(const std::string& arm, double first, const std::function<Entry(const std::string&, double)>& entry,
                       const std::function<std::vector<Outcome>(const std::string&, const std::vector<Entry>&)>& run) {
  std::map<double, double> score;  // rate → bits per byte
  std::vector<double> wanted{first / 2, first, first * 2};
  const auto best = [&] { return std::min_element(score.begin(), score.end(), [](const auto& x, const auto& y) { return x.second < y.second; }); };
  bool interior = false;
  for (int round = 0; round < 3 && !interior; ++round) {
    std::vector<Entry> entries;
    for (const double rate : wanted) entries.push_back(entry(fmt::format("rate{:.6f}", rate), rate));
    for (const Outcome& o : run(fmt::format("rates-{}-{}", arm, round), entries))
      for (const Entry& e : entries)
        if (e.id == o.id) score[e.trainer.optimizer.lr] = o.failed.empty() ? o.cooled_bpb.back() : INFINITY;
    interior = best() != score.begin() && std::next(best()) != score.end();
    wanted = {best() == score.begin() ? best()->first / 2 : best()->first * 2};
  }
  RateSearch found{best()->first, {{"arm", arm}, {"rate", Json::array()}, {"bpb", Json::array()}, {"best", std::distance(score.begin(), best())}, {"interior", interior}}};
  for (const auto& [rate, bpb] : score) {
    found.row["rate"].push_back(rate);
    found.row["bpb"].push_back(std::isfinite(bpb) ? Json(bpb) : Json(nullptr));
  }
  return found;
}

std::map<std::string, double> step_seconds(const std::vector<Outcome>& runs, const std::string& baseline) {
  std::vector<double> blocks;
  for (const Outcome& o : runs)
    if (o.arm == baseline)
      for (const double s : block_seconds(o)) blocks.push_back(s);
  const double unit = median(blocks);
  std::map<std::string, double> seconds;
  for (const Outcome& o : runs) {
    double ratio = 0;
    for (const Outcome& other : runs)
      if (other.arm == baseline && other.seed == o.seed) ratio = o.arm == baseline ? 1 : step_time_ratio(o, other);
    seconds[o.id] = ratio > 0 && unit > 0 ? ratio * unit : median(block_seconds(o));
  }
  return seconds;
}

Json arm_json(const ArmName& named, const std::vector<Outcome>& runs, const std::map<std::string, double>& step_seconds, const std::vector<std::string>& domains, double peak) {
  Json arm = {{"id", named.id}, {"name", named.name}, {"short", named.short_name}, {"role", named.role}, {"slot", named.slot}, {"curves", Json::array()}};
  double seconds = 0, ram = 0, n = 0, speed = 0;
  for (const Outcome& o : runs) {
    if (o.arm != named.id || !o.failed.empty()) continue;
    const double step = step_seconds.at(o.id);
    Json bpb = {{"all", o.bpb}}, last = {{"all", o.cooled_bpb.back()}};
    for (size_t d = 0; d < domains.size(); ++d) {
      bpb[domains[d]] = o.domain_bpb[d];
      last[domains[d]] = o.cooled_bpb[d];
    }
    std::vector<double> time, gb_seconds;
    for (const double s : o.step) time.push_back(s * step);
    for (const double t : time) gb_seconds.push_back(t * o.ram_measured / 1e9);
    arm["curves"].push_back({{"seed", o.seed}, {"tokens", o.tokens}, {"flops", o.flops}, {"seconds", time}, {"gb_seconds", gb_seconds}, {"bpb", bpb}, {"final", last}});
    arm["params_total"] = o.parameters;
    arm["params_active"] = o.active_parameters;
    arm["flops_per_token"] = o.flops_per_token;
    arm["ram_predicted"] = o.ram_predicted;
    arm["tokens"] = o.tokens.back();
    arm["flops"] = o.flops.back();
    seconds += time.back();
    ram += o.ram_measured;
    speed += o.tokens.back() / time.back();
    ++n;
  }
  if (n > 0) {
    arm["seconds"] = seconds / n;
    arm["ram_measured"] = ram / n;
    arm["tokens_per_second"] = speed / n;
    arm["mfu"] = arm["flops_per_token"].get<double>() * speed / n / peak;
  }
  return arm;
}

Json difference_json(const Interval& i) {
  const auto number = [](double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); };
  return {{"estimate", number(i.estimate)}, {"low", number(i.low)}, {"high", number(i.high)}, {"resolved", i.resolved(0)}, {"n", i.n}};
}

Json text(const std::string& en, const std::string& zh) { return {{"en", en}, {"zh", zh}}; }

const char* verdict_of(double margin, double enough) { return margin > enough ? "agrees" : margin < -enough ? "differs" : "unresolved"; }

Json finding(const Json& claim, const std::string& source, const Json& expected, const Json& measured, const char* verdict) {
  return {{"claim", claim}, {"source", source}, {"expected", expected}, {"measured", measured}, {"verdict", verdict}};
}

Json failed_json(const OutcomeLists& lists) {
  Json failed = Json::array();
  for (const auto* list : lists)
    for (const Outcome& o : *list)
      if (!o.failed.empty()) failed.push_back({{"arm", o.arm}, {"seed", o.seed}, {"reason", o.failed}});
  return failed;
}

void add_provenance(Json& study, const Provenance& p, const OutcomeLists& lists) {
  double flops = 0;
  StreamHash checksum;
  for (const auto* list : lists)
    for (const Outcome& o : *list) {
      flops += o.flops_per_token * static_cast<double>(o.losses.size()) * static_cast<double>(p.batch_tokens);
      const std::string raw = o.to_json().dump();
      checksum.update(raw.data(), raw.size());
    }
  Json& out = study["provenance"] = provenance(p.rerun, study.at("machine"));
  out["config"] = p.config;
  out["seeds"] = study.at("seeds");
  out["started"] = p.started;
  out["ended"] = utc_now();
  out["loadavg"] = study["machine"]["loadavg"];
  out["steal"] = fmt::format("{:.1f} %", 100 * p.use.steal_share());
  out["data"] = data_rows(p.data);
  out["flops"] = flops;
  out["peak_flops"] = study["machine"]["peak_flops"];
  out["metrics_checksum"] = checksum.hex();
  study["load"] = {{"tainted", p.use.other_share() + p.use.steal_share() > 0.05}, {"other", p.use.other_share()}, {"steal", p.use.steal_share()}, {"loadavg", study["machine"]["loadavg"]}};
}

}  // namespace gamut
