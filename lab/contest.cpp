#include "lab/contest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "base/text.h"
#include "generation/plan.h"
#include "kernels/peak.h"
#include "lab/plan.h"
#include "lab/provenance.h"
#include "lab/report/comparison.h"
#include "lab/report/parts.h"

namespace gamut {
namespace {

constexpr int64_t kFewestSteps = 60;
constexpr double kTuneShare = 0.15;

// Every field under its name: for writing and for reading.
template <class P, class Field> void each_field(P& p, const Field& field) {
  field("width", p.rung.width);
  field("layers", p.rung.layers);
  field("size", p.size);
  field("steps", p.steps);
  field("cool", p.cool);
  field("tune_steps", p.tune_steps);
  field("step_seconds", p.step_seconds);
  field("rate", p.rate);
  field("tokens_per_weight", p.tokens_per_weight);
  field("epochs", p.epochs);
  field("expected_seconds", p.expected_seconds);
  field("peak_flops", p.peak_flops);
  field("started", p.started);
}
Json plan_json(const ContestPlan& plan) {
  Json j;
  each_field(plan, [&](const char* key, const auto& value) { j[key] = value; });
  return j;
}

TrainerOptions options_of(const StudyTier& tier, uint64_t seed, double rate, int64_t steps, int64_t trunk_steps) {
  return {.seed = seed, .length = tier.length, .batch_rows = tier.batch_tokens / tier.length, .steps = steps, .optimizer = {.lr = rate},
          .schedule = {.kind = "constant", .warmup = std::min(0.2, 0.03 * static_cast<double>(trunk_steps) / static_cast<double>(steps))}};  // as many steps in every run, however short
}

}  // namespace

int64_t usual_hidden(const Rung& rung) { return (8 * rung.width / 3 + 15) / 16 * 16; }

ModelSpec attention_decoder(const Rung& rung, int64_t vocab, int64_t length, const Component& channel) {
  const int64_t head = rung.width % 32 == 0 ? 32 : 16;
  ModelSpec spec{.vocab = vocab, .width = rung.width, .max_positions = length};
  spec.layers.assign(static_cast<size_t>(rung.layers), {{"attention", {{"heads", rung.width / head}}}, channel});
  return spec;
}

Contest::Contest(std::string id, const LabContext& context, TieredSettings<ContestTier> settings, std::vector<Arm> arms, ContestRules rules)
    : Study(std::move(id), context, settings), tier_(std::move(settings.tier)), arms_(std::move(arms)), rules_(std::move(rules)) {}

ModelSpec Contest::model_of(size_t arm) const { return arms_[arm].model(plan_.rung, data()->tokenizer->vocab_size(), tier_.length, plan_.size[arm]); }

TrainerOptions Contest::trainer_of(size_t arm, uint64_t seed, double rate, int64_t steps) const { return options_of(tier_, seed, rate, steps, plan_.steps[arm]); }

double Contest::flops_a_token(const ModelSpec& spec) const {
  return plan_step(spec, options_of(tier_, 1, 1e-3, 100, 100), pool()).cost.matmul_flops / static_cast<double>(tier_.batch_tokens);
}

// The widest rung whose runs fit, the arms' sizes and times.
Json Contest::make_plan(double seconds) {
  const double limit = rules_.share * seconds;
  const int64_t vocab = data()->tokenizer->vocab_size();
  const TrainerOptions any = options_of(tier_, settings().seed, 1e-3, 1000, 1000);
  const double peak = kernels::measure_peak_flops(pool(), DType::bf16);
  ContestPlan best;
  for (const Rung& rung : tier_.ladder) {
    stop_if_interrupted();
    ContestPlan p{.rung = rung, .rate = 6e-3 * std::sqrt(64.0 / static_cast<double>(rung.width)), .peak_flops = peak};
    const auto model = [&](size_t arm, int64_t size) { return arms_[arm].model(rung, vocab, tier_.length, size); };
    const int64_t size = rules_.size(rung);
    const double wanted = flops_a_token(model(0, size));
    std::vector<double> longer;  // steps of an arm, over the baseline's
    double step = 0, kilobyte = 0, baseline_step = 0;
    for (size_t a = 0; a < arms_.size(); ++a) {
      int64_t chosen = size;
      if (rules_.equal == ContestRules::Equal::flops_a_token && a > 0) {
        const int64_t unit = rules_.size_step;
        const double low = flops_a_token(model(a, unit)), slope = flops_a_token(model(a, 2 * unit)) - low;
        chosen = unit * std::max<int64_t>(1, std::llround((wanted - low) / slope + 1));
      }
      p.size.push_back(chosen);
      longer.push_back(arms_[a].longer * (rules_.equal == ContestRules::Equal::flops_a_run ? wanted / flops_a_token(model(a, chosen)) : 1));
      const ArmTiming timing = time_arm(model(a, chosen), any, data(), pool());
      p.step_seconds.push_back(timing.step);
      step += longer[a] * timing.step;
      kilobyte += timing.evaluation;
      if (a == 0) baseline_step = timing.step;
    }
    const double weights = plan_step(model(0, size), any, pool()).active_matrix;
    const double evaluated = static_cast<double>(data()->domains.size()) * (tier_.points * static_cast<double>(tier_.curve_bytes) + static_cast<double>(tier_.final_bytes)) / 1000;
    const auto cost = [&](double steps) {  // of all runs; of a grid three rates, and one more when the best is at an edge
      return tier_.seeds * (steps * (1 + kCoolShare) * step + evaluated * kilobyte) + (tier_.tune ? 4 * (1 + kCoolShare) * kTuneShare * steps * step : 0) +
             rules_.extra_runs * steps * (1 + kCoolShare) * baseline_step;
    };
    const double full = std::ceil(kTokensPerWeight * weights / static_cast<double>(tier_.batch_tokens));
    const double fitting = std::floor(full * std::min(1.0, (limit - cost(0)) / std::max(1e-9, cost(full) - cost(0))));
    const double steps = std::max<double>(kFewestSteps, fitting);
    for (const double share : longer) {
      p.steps.push_back(std::llround(steps * share));
      p.cool.push_back(std::max<int64_t>(4, static_cast<int64_t>(kCoolShare * static_cast<double>(p.steps.back()))));
      p.tune_steps.push_back(tier_.tune ? std::max<int64_t>(20, static_cast<int64_t>(kTuneShare * static_cast<double>(p.steps.back()))) : 0);
    }
    p.tokens_per_weight = static_cast<double>(p.steps[0] * tier_.batch_tokens) / weights;
    p.epochs = static_cast<double>((p.steps[0] + p.cool[0]) * tier_.batch_tokens) / static_cast<double>(std::max<int64_t>(1, data()->train_tokens()));
    p.expected_seconds = cost(steps) / rules_.share * 0.6;
    log::info("  width {:4} layers {}: {:>6} weights a token of the baseline, all {} arms {:.1f} ms a step, {} for everything", rung.width, rung.layers, human_count(weights), arms_.size(), 1e3 * step, human_seconds(p.expected_seconds));
    if (best.rung.width > 0 && (fitting < full || p.epochs > kMostEpochs)) break;
    best = p;
    if (fitting < full) break;
  }
  best.started = utc_now();
  return plan_json(best);
}

void Contest::take_plan(const Json& plan) {
  each_field(plan_, [&](const char* key, auto& value) { plan.at(key).get_to(value); });
  if (plan_.size.size() != arms_.size()) throw Error({.who = "lab", .what = "the kept plan has " + std::to_string(plan_.size.size()) + " arms, this study has " + std::to_string(arms_.size()), .where = (settings().out / "plan.json").string(), .hint = "choose another out=FOLDER"});
  log::info("plan: width {}, {} layers, {} tokens a run ({:.1f} for each active matrix weight of the baseline), {} seeds of {} arms, {}; about {}", plan_.rung.width, plan_.rung.layers, human_count(static_cast<double>(plan_.steps[0] * tier_.batch_tokens)),
            plan_.tokens_per_weight, tier_.seeds, arms_.size(), tier_.tune ? "learning rates tuned for each arm" : "one learning rate, not tuned at this tier", human_seconds(plan_.expected_seconds));
}

void Contest::race_arms(double share) {
  double all = 0;
  for (size_t a = 0; a < arms_.size(); ++a) all += tier_.seeds * static_cast<double>(plan_.steps[a] + plan_.cool[a]) + (tier_.tune ? 4.6 * static_cast<double>(plan_.tune_steps[a]) : 0);
  const auto go = [&](const std::string& name, const std::vector<Entry>& entries) {
    double cost = 0;
    for (const Entry& e : entries) cost += static_cast<double>(e.trainer.steps + e.cool_steps);
    return race(race_options(name), entries, share * cost / all);
  };
  if (tier_.tune) rates_json_ = {{"arms", Json::array()}, {"seeds", {kTuningSeed}}};
  else rates_json_ = {{"skipped", text("skipped at this tier: all arms use one rate", "此档跳过：各组使用同一学习率")}};
  for (size_t a = 0; a < arms_.size(); ++a) {
    const std::string& id = arms_[a].name.id;
    rates_[id] = plan_.rate;
    if (!tier_.tune) continue;
    const RateSearch found = search_rate(id, plan_.rate, [&](const std::string& suffix, double rate) {
      Entry e = race_entry(id, suffix, model_of(a), trainer_of(a, kTuningSeed, rate, plan_.tune_steps[a]), std::max<int64_t>(4, plan_.tune_steps[a] / 7), 1);
      if (rules_.start) e.start = start_of(e);
      return e;
    }, go);
    rates_[id] = found.best;
    rates_json_["arms"].push_back(found.row);
  }
  for (int r = 0; r < tier_.seeds; ++r) {
    const uint64_t seed = settings().seed + static_cast<uint64_t>(r);
    const std::string suffix = "seed" + std::to_string(seed);
    std::vector<Entry> entries;
    for (size_t a = 0; a < arms_.size(); ++a) {
      entries.push_back(race_entry(arms_[a].name.id, suffix, model_of(a), trainer_of(a, seed, rate_of(a), plan_.steps[a]), plan_.cool[a], tier_.points));
      settle(entries.back());
    }
    for (Outcome& o : go(suffix, entries)) runs_.push_back(std::move(o));
  }
}

std::function<void(Parameters&)> Contest::start_of(const Entry& e) const {
  return [start = rules_.start, arm = e.arm, seed = e.trainer.seed](Parameters& p) { start(arm, seed, p); };
}

void Contest::settle(Entry& e) const {
  if (rules_.start) e.start = start_of(e);
  if (rules_.watch) e.watch = [watch = rules_.watch, arm = e.arm](Trainer& t) { return watch(t, arm); };
  if (rules_.probe) e.probe = [probe = rules_.probe, arm = e.arm](Trainer& t) { return probe(t, arm); };
}

const Outcome* Contest::run_of(const std::string& arm) const {
  for (const Outcome& o : runs_)
    if (o.arm == arm && o.failed.empty()) return &o;
  return nullptr;
}

std::vector<double> Contest::finals(const std::string& arm, const std::string& paired_with) const {
  std::vector<double> values;
  for (const Outcome& o : runs_)
    if (o.arm == arm && o.failed.empty())
      for (const Outcome& other : runs_)
        if (other.arm == paired_with && other.seed == o.seed && other.failed.empty()) values.push_back(o.cooled_bpb.back());
  return values;
}

double Contest::mean_probe(const std::string& arm, const std::function<double(const Json&)>& of) const {
  std::vector<double> values;
  for (const Outcome& o : runs_)
    if (o.arm == arm && o.failed.empty() && !o.probe.is_null()) values.push_back(of(o.probe));
  return values.empty() ? NAN : mean(values);
}

Json Contest::standings(const std::function<bool(const Outcome&)>& comparable) const {
  std::vector<double> p_values;
  Json rows = Json::array();
  const std::string& baseline = arms_[0].name.id;
  for (size_t a = 0; a < arms_.size(); ++a) {
    const std::string& id = arms_[a].name.id;
    const std::vector<double> own = finals(id, id), paired = finals(id, baseline), base = finals(baseline, id);
    if (own.empty() || (comparable && !comparable(*run_of(id)))) continue;
    Json row = {{"arm", id}, {"bpb", mean(own)}, {"state_bytes", nullptr}};
    if (const ModelSpec spec = model_of(a); spec.encoder.empty() && build_objective(spec.objective)->writing() == Objective::Writing::left_to_right) row["state_bytes"] = plan_serving(spec, 1, tier_.length, pool()).state_bytes;
    if (a > 0 && !paired.empty()) {
      row["difference"] = difference_json(paired_difference(paired, base));
      p_values.push_back(paired_p_value(paired, base));
    }
    rows.push_back(row);
  }
  const std::vector<double> corrected = holm(p_values);
  size_t k = 0;
  for (Json& row : rows)
    if (row.contains("difference")) row["difference"]["resolved"] = row["difference"]["resolved"].get<bool>() && corrected[k++] < 0.05;
  return rows;
}

Json Contest::contest_report(const Json& title, const std::function<bool(const Outcome&)>& comparable, double other_seconds) const {
  Json study = heading(title, tier_, plan_.peak_flops, static_cast<double>(plan_.steps[0] * tier_.batch_tokens), other_seconds);
  study["tokens_per_active_weight"] = plan_.tokens_per_weight;
  const std::map<std::string, double> time = step_seconds(runs_, arms_[0].name.id);
  for (const Arm& arm : arms_) {
    Json row = arm_json(arm.name, runs_, time, data()->domains, plan_.peak_flops);
    const Outcome* run = run_of(arm.name.id);
    if (run && comparable && !comparable(*run)) row["curves"] = Json::array();
    study["arms"].push_back(row);
  }
  study["failed"] = failed_json({&runs_});
  if (const Json comparison = compare_arms(study); comparison.is_object()) study["comparison"] = {{"noise", comparison["noise"]}, {"seeds", comparison["seeds"]}, {"confidence", comparison["confidence"]}};
  study["standings"] = standings(comparable);
  study["rates"] = rates_json_;
  double worst = 0;
  std::string sizes;
  bool same_size = true;
  const double wanted = flops_a_token(model_of(0)) * static_cast<double>(plan_.steps[0]);
  for (size_t a = 0; a < arms_.size(); ++a) {
    worst = std::max(worst, std::abs(flops_a_token(model_of(a)) * static_cast<double>(plan_.steps[a]) / wanted / arms_[a].longer - 1));
    sizes += (a > 0 ? ", " : "") + std::to_string(plan_.size[a]);
    same_size = same_size && plan_.size[a] == plan_.size[0];
  }
  const bool by_token = rules_.equal == ContestRules::Equal::flops_a_token;
  study["held_equal"] = Json::array({
      {{"what", text("text, order, tokenizer", "文本、顺序、分词器")}, {"value", text("identical", "相同")}, {"mismatch", false}},
      {{"what", by_token ? text("FLOPs a token, recurrences included", "每 token 计算量（含递推）") : text("FLOPs of a run", "每次运行的计算量")}, {"value", text(fmt::format("within {:.2f} %", 100 * worst), fmt::format("相差不超过 {:.2f} %", 100 * worst))}, {"mismatch", worst > 0.01}},
      {{"what", text("depth, width, norm, embedding", "深度、宽度、归一化、嵌入")}, {"value", text("identical", "相同")}, {"mismatch", false}},
      {{"what", text("batch, schedule, decay, clipping", "批量、日程、衰减、裁剪")}, {"value", text("identical", "相同")}, {"mismatch", false}},
      {{"what", text("learning rate", "学习率")}, {"value", tier_.tune ? text("tuned for each arm", "各组分别调优") : text(fmt::format("{:.2g}, not tuned", plan_.rate), fmt::format("{:.2g}，未调优", plan_.rate))}, {"mismatch", !tier_.tune}},
  });
  if (by_token) study["held_equal"].push_back({{"what", text("hidden units of a feed-forward layer or expert", "前馈层或专家的单元数")}, {"value", text(sizes, sizes)}, {"mismatch", !same_size}});
  study["limits"] = Json::array({
      text(fmt::format("One size: width {}, {} layers, {:.0f} tokens for each active matrix weight, texts of {} tokens. The order of the arms may change with any of them.", plan_.rung.width, plan_.rung.layers, plan_.tokens_per_weight, tier_.length),
           fmt::format("仅一种规模：宽度 {}，{} 层，每个激活矩阵权重 {:.0f} token，文本长 {} token；任何一项改变，名次都可能改变。", plan_.rung.width, plan_.rung.layers, plan_.tokens_per_weight, tier_.length)),
      text(fmt::format("{} seeds: intervals are paired Student t{}.", tier_.seeds, tier_.seeds < 3 ? ", which two seeds leave so wide that only large effects are resolved" : ""),
           fmt::format("{} 个随机种子：区间为配对 t 区间{}。", tier_.seeds, tier_.seeds < 3 ? "，两个种子时极宽，只有很大的差异才有定论" : "")),
  });
  if (plan_.epochs > 1.2) study["limits"].push_back(text(fmt::format("Every run reads the training text {:.1f} times.", plan_.epochs), fmt::format("每次运行将训练文本读 {:.1f} 遍。", plan_.epochs)));
  return study;
}

void Contest::finish_report(Json& study, const OutcomeLists& lists) const {
  add_provenance(study, {.rerun = context().rerun, .started = plan_.started, .config = {{"chosen", settings().chosen}, {"plan", plan_json(plan_)}}, .data = *data(), .batch_tokens = tier_.batch_tokens, .use = use()}, lists);
}

}  // namespace gamut
