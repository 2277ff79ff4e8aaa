// Dense or mixture of experts? Twins, a null twin, controls; loss against tokens, FLOPs, seconds and memory.
//
// The regime decides the answer: below some 15 to 20 tokens for each active matrix parameter no capacity is missing and a
// mixture loses. So the budget shrinks the model before it shrinks the tokens, and every run sees at least 25 of them.
// Curves are measured on a trunk of constant learning rate, where equal losses lie in the same phase of the
// schedule; a short cool-down then gives each run's final number.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>

#include "base/hash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/text.h"
#include "kernels/cpu.h"
#include "kernels/peak.h"
#include "lab/lab.h"
#include "lab/machine.h"
#include "lab/provenance.h"
#include "lab/race.h"
#include "lab/report/comparison.h"
#include "lab/report/report.h"
#include "lab/statistics.h"
#include "lab/twins.h"
#include "training/recipe.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kTokensPerWeight = 26;
constexpr int64_t kNullSteps = 220;
constexpr double kCoolShare = 0.15;  // steps of the cool-down, as a share of the trunk
constexpr uint64_t kTuningSeed = 1000003;

struct Tier {
  const char* name;
  double minutes;
  int seeds;
  int64_t vocab, length, batch_tokens;
  std::vector<TwinShape> ladder;  // smallest first
  bool tune;                      // learning-rate grid for each arm
  double tune_share;              // tokens of a grid run, as a share of a trunk
  bool total_arm;
  int points;
  int64_t curve_bytes, final_bytes;
};

std::vector<Tier> tiers() {
  return {
      {"smoke", 2, 2, 512, 64, 2048, {{24, 2, 2, 96}, {32, 2, 2, 128}, {40, 2, 2, 160}, {48, 2, 3, 192}, {64, 2, 4, 256}}, false, 0, false, 24, 24 << 10, 96 << 10},
      {"quick", 15, 3, 1024, 128, 4096, {{32, 2, 2, 128}, {48, 2, 3, 128}, {48, 3, 3, 128}, {64, 3, 4, 176}, {80, 3, 5, 224}, {96, 3, 6, 256}, {128, 4, 4, 352}, {160, 4, 5, 448}}, true, 0.2, false, 40, 48 << 10, 256 << 10},
      {"full", 120, 5, 2048, 128, 8192, {{48, 3, 3, 128}, {64, 3, 4, 176}, {96, 3, 6, 256}, {128, 4, 4, 352}, {160, 5, 5, 448}, {192, 6, 6, 512}, {256, 6, 8, 672}}, true, 0.2, true, 48, 96 << 10, 1 << 20},
  };
}

struct Settings {
  Tier tier;
  fs::path out;
  uint64_t seed;
  double minutes;
  DataOptions data;
  Json chosen;  // what decides numbers: a continued study must have been asked for the same
};

Settings read_settings(Config& cfg) {
  Settings s;
  std::vector<std::string> names;
  for (const Tier& t : tiers()) names.emplace_back(t.name);
  const std::string name = cfg.take_choice("tier", "quick", names);
  for (const Tier& t : tiers())
    if (t.name == name) s.tier = t;
  s.out = cfg.take<std::string>("out", "reports/dense-vs-moe-" + name);
  s.seed = cfg.take_in<uint64_t>("seed", 1, 1, 1000000);
  s.tier.seeds = cfg.take_in<int>("seeds", s.tier.seeds, 2, 50);
  s.minutes = cfg.take_in("minutes", s.tier.minutes, 0.5, 10000.0);
  Config data = cfg.sub("data");
  s.data.recipe = data.take<std::string>("recipe", s.data.recipe);
  s.data.path = data.take<std::string>("path", "");
  s.data.cache = data.take<std::string>("cache", "");
  data.finish();
  cfg.finish();
  s.data.vocab_size = s.tier.vocab;
  s.chosen = {{"tier", name}, {"seed", s.seed}, {"seeds", s.tier.seeds}, {"minutes", s.minutes}, {"data", {{"recipe", s.data.recipe}, {"path", s.data.path.string()}}}};
  return s;
}

// The shape and length of all runs, fitted to the machine once and kept.
struct Plan {
  TwinShape shape;
  int64_t steps = 0, cool = 0, tune_steps = 0;
  double rate = 0;             // where the grid starts, or the rate of all arms without one
  double tokens_per_weight = 0;
  double dense_seconds = 0, moe_seconds = 0;  // of a step, as calibrated
  double expected_seconds = 0;
  double peak_flops = 0;
  std::string started;
};

Json to_json(const Plan& p) {
  const TwinShape& s = p.shape;
  return {{"width", s.width}, {"layers", s.layers}, {"heads", s.heads}, {"hidden", s.hidden}, {"vocab", s.vocab}, {"length", s.length}, {"experts", s.experts}, {"top_k", s.top_k},
          {"steps", p.steps}, {"cool", p.cool}, {"tune_steps", p.tune_steps}, {"rate", p.rate}, {"tokens_per_weight", p.tokens_per_weight}, {"dense_seconds", p.dense_seconds},
          {"moe_seconds", p.moe_seconds}, {"expected_seconds", p.expected_seconds}, {"peak_flops", p.peak_flops}, {"started", p.started}};
}

Plan plan_from_json(const Json& json, const std::string& source) {
  Config c(json, {.source = source});
  Plan p;
  for (const auto& [key, to] : std::initializer_list<std::pair<const char*, int64_t*>>{
           {"width", &p.shape.width}, {"layers", &p.shape.layers}, {"heads", &p.shape.heads}, {"hidden", &p.shape.hidden}, {"vocab", &p.shape.vocab}, {"length", &p.shape.length},
           {"experts", &p.shape.experts}, {"top_k", &p.shape.top_k}, {"steps", &p.steps}, {"cool", &p.cool}, {"tune_steps", &p.tune_steps}})
    *to = c.take<int64_t>(key);
  for (const auto& [key, to] : std::initializer_list<std::pair<const char*, double*>>{
           {"rate", &p.rate}, {"tokens_per_weight", &p.tokens_per_weight}, {"dense_seconds", &p.dense_seconds}, {"moe_seconds", &p.moe_seconds}, {"expected_seconds", &p.expected_seconds}, {"peak_flops", &p.peak_flops}})
    *to = c.take<double>(key);
  p.started = c.take<std::string>("started");
  c.finish();
  return p;
}

TrainerOptions trainer_options(const Settings& s, const Plan& p, uint64_t seed, double rate, int64_t steps) {
  TrainerOptions o;
  o.seed = seed;
  o.length = s.tier.length;
  o.batch_rows = s.tier.batch_tokens / s.tier.length;
  o.steps = steps;
  o.optimizer.lr = rate;
  // Warm-up in steps is the same for every run, however short.
  o.schedule = {.kind = "constant", .warmup = std::min(0.2, 0.03 * static_cast<double>(p.steps) / static_cast<double>(steps))};
  return o;
}

// Wider models want smaller rates; the grid around it has the last word.
double first_rate(const TwinShape& s) { return 6e-3 * std::sqrt(64.0 / static_cast<double>(s.width)); }

double time_step(const ModelSpec& spec, const TrainerOptions& options, const std::shared_ptr<const Dataset>& data, ThreadPool& pool) {
  Trainer trainer(spec, options, data, pool);
  std::vector<double> seconds;
  const auto until = Clock::now() + std::chrono::milliseconds(300);
  while (seconds.size() < 4 || (Clock::now() < until && seconds.size() < 12)) seconds.push_back(trainer.step().seconds);
  return median(std::vector<double>(seconds.begin() + 2, seconds.end()));
}

// Run equivalents of a study, in trunks of the dense and of the mixture arm.
struct Work {
  double dense, moe;
};
Work work_of(const Settings& s) {
  const double cooled = 1 + kCoolShare;
  Work w{s.tier.seeds * cooled, (s.tier.seeds + 2) * cooled};  // two controls, one seed each
  if (s.tier.tune) {
    w.dense += 4 * s.tier.tune_share;  // three rates, and one more when the best is at an edge
    w.moe += 4 * s.tier.tune_share;
  }
  return w;
}

Plan make_plan(const Settings& s, const std::shared_ptr<const Dataset>& data, ThreadPool& pool, double seconds_left) {
  Plan best;
  const Work work = work_of(s);
  const double peak = kernels::measure_peak_flops(pool, DType::bf16);
  for (TwinShape shape : s.tier.ladder) {
    shape.vocab = data->tokenizer->vocab_size();
    shape.length = s.tier.length;
    Plan p{.shape = shape};
    p.rate = first_rate(shape);
    const TrainerOptions o = trainer_options(s, {.steps = 1000}, s.seed, p.rate, 1000);
    const StepPlan dense = plan_step(dense_twin(shape), o, pool);
    p.steps = static_cast<int64_t>(std::ceil(kTokensPerWeight * dense.active_matrix / static_cast<double>(s.tier.batch_tokens)));
    p.cool = std::max<int64_t>(4, static_cast<int64_t>(kCoolShare * static_cast<double>(p.steps)));
    p.tune_steps = s.tier.tune ? std::max<int64_t>(20, static_cast<int64_t>(s.tier.tune_share * static_cast<double>(p.steps))) : 0;
    p.dense_seconds = time_step(dense_twin(shape), o, data, pool);
    p.moe_seconds = time_step(moe_twin(shape), o, data, pool);
    // Evaluations cost a fifth on top at these sizes; the null twin a fixed number of steps.
    p.expected_seconds = 1.2 * static_cast<double>(p.steps) * (work.dense * p.dense_seconds + work.moe * p.moe_seconds) + static_cast<double>(kNullSteps) * 2.2 * p.dense_seconds;
    p.tokens_per_weight = static_cast<double>(p.steps * s.tier.batch_tokens) / dense.active_matrix;
    p.peak_flops = peak;
    log::info("  width {:4} layers {} hidden {:4}: {:>6} weights a token, dense {:.1f} ms, mixture {:.1f} ms a step, {} for everything", shape.width, shape.layers, shape.hidden,
              human_count(dense.active_matrix), 1e3 * p.dense_seconds, 1e3 * p.moe_seconds, human_seconds(p.expected_seconds));
    if (best.steps == 0 || p.expected_seconds <= seconds_left) best = p;
    if (p.expected_seconds > seconds_left) break;
  }
  best.started = utc_now();
  return best;
}

Json arm_json(const std::string& id, const Json& name, const Json& short_name, const std::string& role, int slot, const std::vector<Outcome>& runs, const std::vector<std::string>& domains, double peak) {
  Json arm = {{"id", id}, {"name", name}, {"short", short_name}, {"role", role}, {"slot", slot}, {"curves", Json::array()}};
  double seconds = 0, ram = 0, n = 0, step_tokens = 0, step_seconds = 0;
  for (const Outcome& o : runs) {
    if (o.arm != id || !o.failed.empty()) continue;
    Json bpb = {{"all", o.bpb}};
    for (size_t d = 0; d < domains.size(); ++d) bpb[domains[d]] = o.domain_bpb[d];
    std::vector<double> gb_seconds;
    for (const double t : o.seconds) gb_seconds.push_back(t * o.ram_measured / 1e9);
    arm["curves"].push_back({{"seed", o.seed}, {"tokens", o.tokens}, {"flops", o.flops}, {"seconds", o.seconds}, {"gb_seconds", gb_seconds}, {"bpb", bpb}});
    arm["params_total"] = o.parameters;
    arm["params_active"] = o.active_parameters;
    arm["flops_per_token"] = o.flops_per_token;
    arm["ram_predicted"] = o.ram_predicted;
    arm["tokens"] = o.tokens.back();
    arm["flops"] = o.flops.back();
    seconds += o.seconds.back();
    ram += o.ram_measured;
    step_tokens = o.tokens.back() / o.step.back();
    step_seconds += o.median_step_seconds;
    ++n;
  }
  if (n > 0) {
    arm["seconds"] = seconds / n;
    arm["ram_measured"] = ram / n;
    arm["tokens_per_second"] = step_tokens / (step_seconds / n);
    arm["mfu"] = arm["flops_per_token"].get<double>() * arm["tokens_per_second"].get<double>() / peak;
  }
  return arm;
}

Json difference_json(const Interval& i) {
  const auto number = [](double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); };
  return {{"estimate", number(i.estimate)}, {"low", number(i.low)}, {"high", number(i.high)}, {"resolved", i.resolved(0)}, {"n", i.n}};
}

// Final numbers after the cool-down, one a seed both arms finished. index: a domain, or past them all bytes.
std::pair<std::vector<double>, std::vector<double>> cooled_pairs(const std::vector<Outcome>& runs, const std::string& a, const std::string& b, size_t index) {
  std::pair<std::vector<double>, std::vector<double>> pairs;
  for (const Outcome& x : runs)
    for (const Outcome& y : runs)
      if (x.arm == a && y.arm == b && x.seed == y.seed && x.failed.empty() && y.failed.empty()) {
        pairs.first.push_back(x.cooled_bpb[index]);
        pairs.second.push_back(y.cooled_bpb[index]);
      }
  return pairs;
}

Json text(const char* en, const char* zh) { return {{"en", en}, {"zh", zh}}; }
Json text(const std::string& en, const std::string& zh) { return {{"en", en}, {"zh", zh}}; }

class Study {
 public:
  Study(const LabContext& context, Settings settings) : context_(context), s_(std::move(settings)) {}

  Json run() {
    make_folder(s_.out);
    const fs::path plan_path = s_.out / "plan.json";
    data_ = std::make_shared<const Dataset>(prepare_dataset(s_.data, context_.pool));
    if (fs::exists(plan_path)) {
      const Json stored = read_json(plan_path);
      if (!stored.contains("chosen") || !stored.contains("plan") || stored["chosen"] != s_.chosen || stored["data_hash"] != data_->hash)
        throw Error({.who = "lab", .what = "the folder holds another study", .where = s_.out.string(), .hint = "choose another out=FOLDER, or delete this one"});
      plan_ = plan_from_json(stored["plan"], plan_path.string());
      log::info("continuing the study in {}", s_.out.string());
    } else {
      log::info("calibrating on {} threads, tier {}", context_.pool.threads(), kernels::name_of(kernels::best_tier()));
      // A tenth of the budget stays in reserve for a neighbour on the machine.
      plan_ = make_plan(s_, data_, context_.pool, 60 * s_.minutes * 0.9 - seconds() - 5);
      write_file(plan_path, Json({{"chosen", s_.chosen}, {"data_hash", data_->hash}, {"plan", gamut::to_json(plan_)}}).dump(1));
    }
    announce();
    null_twin();
    tune();
    main_runs();
    controls();
    progress_.finish("all runs done");
    Json study = report();
    study["report"] = (s_.out / "report.html").string();
    write_file(s_.out / "study.json", study.dump(1));
    write_report(s_.out / "report.html", study);
    return study;
  }

 private:
  const LabContext& context_;
  Settings s_;
  std::shared_ptr<const Dataset> data_;
  Plan plan_;
  Clock::time_point started_ = Clock::now();
  LoadWatch load_;
  Progress progress_{"dense-vs-moe", 1.0};
  double work_done_ = 0;  // share of the whole study
  std::vector<Outcome> runs_, controls_;
  Json null_ = nullptr, rates_ = nullptr;
  double dense_rate_ = 0, moe_rate_ = 0;

  double seconds() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

  void announce() const {
    const TwinShape& p = plan_.shape;
    log::info("plan: width {}, {} layers, vocabulary {}; dense {} hidden units against {} experts of {}, {} chosen", p.width, p.layers, p.vocab, p.hidden, p.experts, expert_hidden(p), p.top_k);
    log::info("plan: {} tokens a run ({:.1f} for each active matrix weight), {} seeds, {}; about {}", human_count(static_cast<double>(plan_.steps * s_.tier.batch_tokens)), plan_.tokens_per_weight, s_.tier.seeds,
              s_.tier.tune ? "learning rates tuned for each arm" : "one learning rate, not tuned at this tier", human_seconds(plan_.expected_seconds));
  }

  RaceOptions race(const std::string& name) const { return {.folder = s_.out, .name = name, .curve_bytes = s_.tier.curve_bytes, .final_bytes = s_.tier.final_bytes}; }

  Entry entry(const std::string& arm, const std::string& suffix, const ModelSpec& model, uint64_t seed, double rate, int64_t steps, int64_t cool, int64_t points) const {
    Entry e{.id = arm + "-" + suffix, .arm = arm, .model = model, .trainer = trainer_options(s_, plan_, seed, rate, steps), .cool_steps = cool};
    for (const int64_t step : log_spaced_steps(steps, points + 8))
      if (step >= std::min<int64_t>(10, steps)) e.evaluate_at.push_back(step);
    return e;
  }

  // Runs a race whose cost is `steps` of dense and mixture arms; keeps the overall progress.
  std::vector<Outcome> go(const std::string& name, const std::vector<Entry>& entries) {
    double cost = 0;
    for (const Entry& e : entries) cost += static_cast<double>(e.trainer.steps + e.cool_steps) * 1.2 * (e.arm == "dense" || e.arm == "null" ? plan_.dense_seconds : plan_.moe_seconds);
    const double share = cost / std::max(plan_.expected_seconds, cost);
    auto outcomes = run_race(race(name), entries, data_, context_.pool, [&](double done, const std::string& note) { progress_.update(std::min(0.999, work_done_ + share * done), note); });
    work_done_ += share;
    return outcomes;
  }

  void null_twin() {
    Entry dense = entry("dense", "null", dense_twin(plan_.shape), s_.seed, plan_.rate, kNullSteps, 0, 0), null = entry("null", "null", gamut::null_twin(plan_.shape), s_.seed, plan_.rate, kNullSteps, 0, 0);
    dense.evaluate_at = null.evaluate_at = {};
    const auto pair = go("null", {dense, null});
    const auto& a = pair[0].losses;
    const auto& b = pair[1].losses;
    size_t equal = 0;
    std::optional<size_t> first;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (a[i] == b[i]) ++equal;
      else if (!first) first = i + 1;
    }
    null_ = {{"losses", a.size()}, {"equal", equal}};
    if (first) null_["first_difference"] = *first;
  }

  // Three rates a factor of two apart for each arm, on a seed that is not reported; more while the best lies at an edge.
  void tune() {
    dense_rate_ = moe_rate_ = plan_.rate;
    if (!s_.tier.tune) {
      rates_ = {{"skipped", text("skipped at this tier: both arms use one rate", "此档跳过：两组使用同一学习率")}};
      return;
    }
    rates_ = {{"arms", Json::array()}, {"seeds", {kTuningSeed}}};
    for (const std::string arm : {"dense", "moe"}) {
      std::map<double, double> score;  // rate → bits per byte
      std::vector<double> wanted{plan_.rate / 2, plan_.rate, plan_.rate * 2};
      bool interior = false;
      for (int round = 0; round < 3 && !interior; ++round) {
        std::vector<Entry> entries;
        for (const double rate : wanted) {
          // Labelled by the rate, so that a resumed study finds the same races.
          entries.push_back(entry(arm, fmt::format("rate{:.6f}", rate), arm == "dense" ? dense_twin(plan_.shape) : moe_twin(plan_.shape), kTuningSeed, rate, plan_.tune_steps, std::max<int64_t>(4, plan_.tune_steps / 7), 1));
        }
        for (const Outcome& o : go(fmt::format("rates-{}-{}", arm, round), entries)) record_rate(score, entries, o);
        const auto best = std::min_element(score.begin(), score.end(), [](const auto& x, const auto& y) { return x.second < y.second; });
        interior = best != score.begin() && std::next(best) != score.end();
        wanted = {best == score.begin() ? best->first / 2 : best->first * 2};
      }
      const auto best = std::min_element(score.begin(), score.end(), [](const auto& x, const auto& y) { return x.second < y.second; });
      (arm == "dense" ? dense_rate_ : moe_rate_) = best->first;
      Json row = {{"arm", arm}, {"rate", Json::array()}, {"bpb", Json::array()}, {"best", std::distance(score.begin(), best)}, {"interior", interior}};
      for (const auto& [rate, bpb] : score) {
        row["rate"].push_back(rate);
        row["bpb"].push_back(std::isfinite(bpb) ? Json(bpb) : Json(nullptr));
      }
      rates_["arms"].push_back(row);
    }
  }

  static void record_rate(std::map<double, double>& score, const std::vector<Entry>& entries, const Outcome& o) {
    for (const Entry& e : entries)
      if (e.id == o.id) score[e.trainer.optimizer.lr] = o.failed.empty() ? o.cooled_bpb.back() : INFINITY;
  }

  void main_runs() {
    for (int r = 0; r < s_.tier.seeds; ++r) {
      const uint64_t seed = s_.seed + static_cast<uint64_t>(r);
      const std::string suffix = "seed" + std::to_string(seed);
      std::vector<Entry> entries{entry("dense", suffix, dense_twin(plan_.shape), seed, dense_rate_, plan_.steps, plan_.cool, s_.tier.points),
                                 entry("moe", suffix, moe_twin(plan_.shape), seed, moe_rate_, plan_.steps, plan_.cool, s_.tier.points)};
      if (s_.tier.total_arm && r == 0) entries.push_back(entry("total", suffix, total_twin(plan_.shape), seed, dense_rate_, plan_.steps, plan_.cool, s_.tier.points));
      for (Outcome& o : go(suffix, entries)) runs_.push_back(std::move(o));
    }
  }

  void controls() {
    std::vector<Entry> entries;
    for (const std::string router : {"hash", "random"})
      entries.push_back(entry(router, "seed" + std::to_string(s_.seed), moe_twin(plan_.shape, router), s_.seed, moe_rate_, plan_.steps, plan_.cool, 4));
    controls_ = go("controls", entries);
  }

  Json report();
};

Json Study::report() {
  const TwinShape& p = plan_.shape;
  const std::vector<std::string>& domains = data_->domains;
  Json study = {{"id", "dense-vs-moe"}, {"title", text("Dense or mixture of experts?", "稠密模型，还是混合专家？")}, {"tier", s_.tier.name}};
  const std::string moe_name = fmt::format("{} experts, top-{}", p.experts, p.top_k), moe_zh = fmt::format("{} 位专家，选 {}", p.experts, p.top_k);
  study["question"] = text(fmt::format("At equal compute a token: one feed-forward layer of {} units, or {} experts of {} units of which {} are used?", p.hidden, p.experts, expert_hidden(p), p.top_k),
                           fmt::format("每个词元计算量相同：一个 {} 单元的前馈层，还是 {} 个各 {} 单元、每次用 {} 个的专家？", p.hidden, p.experts, expert_hidden(p), p.top_k));
  for (int r = 0; r < s_.tier.seeds; ++r) study["seeds"].push_back(s_.seed + static_cast<uint64_t>(r));
  study["elapsed"] = seconds();
  study["machine"] = describe_machine(context_.pool);
  study["machine"]["peak_flops"] = plan_.peak_flops;
  const std::string tokens = human_count(static_cast<double>(plan_.steps * s_.tier.batch_tokens));
  study["budget"] = text(fmt::format("{} tokens a run", tokens), fmt::format("每次运行 {} 词元", tokens));
  study["tokens_per_active_weight"] = plan_.tokens_per_weight;
  study["domains"] = Json::array();
  for (const std::string& d : domains) study["domains"].push_back({{"id", d}, {"name", domain_name(d)}});

  study["arms"] = Json::array({arm_json("dense", text("dense", "稠密"), text("dense", "稠密"), "baseline", 0, runs_, domains, plan_.peak_flops),
                               arm_json("moe", text(moe_name, moe_zh), text("MoE", "混合专家"), "treatment", 1, runs_, domains, plan_.peak_flops)});
  if (s_.tier.total_arm) study["arms"].push_back(arm_json("total", text("dense, equal total size", "稠密，总参数相同"), text("dense, total", "稠密（总）"), "total", 2, runs_, domains, plan_.peak_flops));
  study["failed"] = Json::array();
  for (const auto* list : {&runs_, &controls_})
    for (const Outcome& o : *list)
      if (!o.failed.empty()) study["failed"].push_back({{"arm", o.arm}, {"seed", o.seed}, {"reason", o.failed}});

  study["comparison"] = compare_arms(study);
  if (study["comparison"].is_object()) {
    Json rows = Json::array();
    for (size_t d = 0; d <= domains.size(); ++d) {
      const auto [a, b] = cooled_pairs(runs_, "dense", "moe", d);
      if (a.empty()) continue;
      rows.push_back({{"id", d < domains.size() ? domains[d] : "all"}, {"baseline", mean(a)}, {"treatment", mean(b)}, {"difference", difference_json(paired_difference(b, a))}});
    }
    study["comparison"]["domains"] = rows;
  }

  const auto first_of = [&](const std::string& arm) -> const Outcome* {
    for (const Outcome& o : runs_)
      if (o.arm == arm && o.failed.empty()) return &o;
    return nullptr;
  };
  const Outcome *dense = first_of("dense"), *moe = first_of("moe");
  if (dense && moe) {
    const double mismatch = moe->flops_per_token / dense->flops_per_token - 1;
    study["held_equal"] = Json::array({
        {{"what", text("text, order, tokenizer", "文本、顺序、分词器")}, {"value", text("identical", "相同")}, {"mismatch", false}},
        {{"what", text("active FLOPs a token", "每词元有效计算量")}, {"value", text(fmt::format("{:+.2f} % MoE", 100 * mismatch), fmt::format("混合专家 {:+.2f} %", 100 * mismatch))}, {"mismatch", std::abs(mismatch) > 0.002}},
        {{"what", text("depth, width, attention, norm", "深度、宽度、注意力、归一化")}, {"value", text("identical", "相同")}, {"mismatch", false}},
        {{"what", text("initial weights outside the layer", "该层以外的初始权重")}, {"value", text("identical", "相同")}, {"mismatch", false}},
        {{"what", text("output scale at the start", "起始输出尺度")}, {"value", text("equal: gates add up to k", "相同：门控之和为 k")}, {"mismatch", false}},
        {{"what", text("learning rate", "学习率")}, {"value", s_.tier.tune ? text(fmt::format("tuned: {:.2g} and {:.2g}", dense_rate_, moe_rate_), fmt::format("分别调优：{:.2g} 与 {:.2g}", dense_rate_, moe_rate_)) : text(fmt::format("{:.2g}, not tuned", plan_.rate), fmt::format("{:.2g}，未调优", plan_.rate))}, {"mismatch", !s_.tier.tune}},
        {{"what", text("batch, schedule, decay, clipping", "批量、日程、衰减、裁剪")}, {"value", text("identical", "相同")}, {"mismatch", false}},
        {{"what", text("total parameters", "总参数量")}, {"value", text(fmt::format("{} and {}", human_count(dense->parameters), human_count(moe->parameters)), fmt::format("{} 与 {}", human_count(dense->parameters), human_count(moe->parameters)))}, {"mismatch", true}},
    });
    study["loads"] = Json::array();
    study["specialisation"] = Json::array();
    for (const Outcome::Load& load : moe->loads) {
      study["loads"].push_back({{"arm", "moe"}, {"layer", load.layer}, {"steps", load.step}, {"share", load.share}});
      std::vector<double> counts;
      Json share = Json::array();
      for (const auto& row : load.by_domain) {
        double sum = 0;
        for (const int64_t n : row) sum += static_cast<double>(n);
        Json shares = Json::array();
        for (const int64_t n : row) {
          counts.push_back(static_cast<double>(n));
          shares.push_back(static_cast<double>(n) / std::max(sum, 1.0));
        }
        share.push_back(shares);
      }
      const int rows = static_cast<int>(load.by_domain.size()), columns = static_cast<int>(load.by_domain[0].size());
      const MutualInformationNull null = mutual_information_null(counts, rows, columns, s_.seed);
      study["specialisation"].push_back({{"arm", "moe"}, {"layer", load.layer}, {"domains", domains}, {"share", share}, {"information", mutual_information_miller_madow(counts, rows, columns)}, {"null_mean", null.mean}, {"null_high", null.high}});
    }
  }
  study["rates"] = rates_;
  study["null_twin"] = null_;
  study["controls"] = Json::array();
  for (const Outcome& o : controls_) {
    if (!o.failed.empty()) continue;
    const Outcome* twin = nullptr;
    for (const Outcome& m : runs_)
      if (m.arm == "moe" && m.seed == o.seed && m.failed.empty()) twin = &m;
    const double difference = twin ? o.cooled_bpb.back() - twin->cooled_bpb.back() : NAN;
    study["controls"].push_back({{"arm", o.arm}, {"name", o.arm == "hash" ? text("experts by hash of the token", "按词元散列分配专家") : text("frozen random router", "冻结的随机路由器")}, {"bpb", o.cooled_bpb.back()}, {"difference", difference_json({difference, -INFINITY, INFINITY, 1})}});
  }

  const Json& comparison = study["comparison"];
  const auto ratio = [&](const char* axis) -> const Json* {
    return comparison.is_object() && comparison["ratios"].contains(axis) ? &comparison["ratios"][axis] : nullptr;
  };
  const auto measured = [&](const char* axis, const char* unit_en, const char* unit_zh) {
    const Json* r = ratio(axis);
    return r ? text(fmt::format("{:.2f}× the {}", (*r)["estimate"].get<double>(), unit_en), fmt::format("{:.2f}× {}", (*r)["estimate"].get<double>(), unit_zh)) : text("the dense loss is not reached", "未达到稠密模型的损失");
  };
  const auto verdict = [&](const char* axis, bool below_one) -> const char* {
    const Json* r = ratio(axis);
    if (!r) return below_one ? "differs" : "unresolved";
    if (!(*r)["resolved"].get<bool>()) return "unresolved";
    return ((*r)["estimate"].get<double>() < 1) == below_one ? "agrees" : "differs";
  };
  study["literature"] = Json::array({
      {{"claim", text("A mixture needs fewer tokens for the same loss", "达到同样损失，混合专家需要更少词元")}, {"source", "OLMoE, 2024"}, {"expected", text("about 0.33× the tokens at 1B active, 7B total", "10 亿激活、70 亿总参数时约 0.33×")}, {"measured", measured("tokens", "tokens", "词元")}, {"verdict", verdict("tokens", true)}},
      {{"claim", text("In seconds the gain is smaller than in tokens", "以时间计，收益小于以词元计")}, {"source", "OLMoE, 2024"}, {"expected", text("about 0.5× the time, throughput falls", "约 0.5× 时间，吞吐下降")}, {"measured", measured("seconds", "seconds", "时间")},
       {"verdict", ratio("tokens") && ratio("seconds") ? ((*ratio("seconds"))["estimate"].get<double>() > (*ratio("tokens"))["estimate"].get<double>() ? "agrees" : "differs") : "unresolved"}},
      {{"claim", text("Small models trained briefly gain little or lose", "训练量不足的小模型收益甚微或变差")}, {"source", "nanochat log, 2026"}, {"expected", text("better a step, worse a second", "每步更好，每秒更差")}, {"measured", measured("seconds", "seconds", "时间")}, {"verdict", verdict("seconds", false)}},
  });
  const LoadWatch::Use use = load_.since_start();
  study["load"] = {{"tainted", use.other + use.steal > 0.05}, {"other", use.other}, {"steal", use.steal}, {"loadavg", study["machine"]["loadavg"]}};
  study["limits"] = Json::array({
      text(fmt::format("One size: {} active matrix weights, {:.0f} tokens for each. Ratios at this size do not extrapolate; their direction may change with tokens per weight.", human_count(dense ? dense->active_matrix : 0), plan_.tokens_per_weight),
           fmt::format("仅一种规模：{} 个激活矩阵权重，每个 {:.0f} 词元。此处比值不可外推，方向也可能随每权重词元数改变。", human_count(dense ? dense->active_matrix : 0), plan_.tokens_per_weight)),
      text(fmt::format("{} seeds: intervals are paired Student t, wide on purpose. Controls ran with one seed and have no interval.", s_.tier.seeds), fmt::format("{} 个随机种子：区间为配对 t 区间，有意从宽。对照只用一个种子，没有区间。", s_.tier.seeds)),
      text("Ratios are measured on a trunk of constant learning rate; the table by domain shows the ends after a short cool-down.", "比值取自恒定学习率主干；分领域表为短暂退火后的终点。"),
      text(fmt::format("Curve points use {} of validation text a domain, final numbers {}.", human_bytes(static_cast<double>(s_.tier.curve_bytes)), human_bytes(static_cast<double>(s_.tier.final_bytes))),
           fmt::format("曲线各点每领域使用 {} 验证文本，终值使用 {}。", human_bytes(static_cast<double>(s_.tier.curve_bytes)), human_bytes(static_cast<double>(s_.tier.final_bytes)))),
      text("Seconds are median step times of these kernels on this machine, training alone: another engine or machine has other seconds.", "秒数为本机本引擎训练步的中位时间；换引擎或机器则不同。"),
  });

  double flops = 0;
  StreamHash checksum;
  for (const auto* list : {&runs_, &controls_})
    for (const Outcome& o : *list) {
      flops += o.flops_per_token * static_cast<double>(o.losses.size()) * static_cast<double>(s_.tier.batch_tokens);
      const std::string raw = o.to_json().dump();
      checksum.update(raw.data(), raw.size());
    }
  study["provenance"] = provenance(context_.rerun, study["machine"]);
  study["provenance"]["config"] = {{"chosen", s_.chosen}, {"plan", gamut::to_json(plan_)}, {"dense", dense_twin(p).to_json()}, {"moe", moe_twin(p).to_json()}};
  study["provenance"]["seeds"] = study["seeds"];
  study["provenance"]["started"] = plan_.started;
  study["provenance"]["data"] = data_rows(*data_);
  study["provenance"]["flops"] = flops;
  study["provenance"]["peak_flops"] = plan_.peak_flops;
  study["provenance"]["metrics_checksum"] = checksum.hex();
  return study;
}

}  // namespace

Json run_dense_vs_moe(const LabContext& context, Config& options) { return Study(context, read_settings(options)).run(); }

}  // namespace gamut
