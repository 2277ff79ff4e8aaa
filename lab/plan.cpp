#include "lab/plan.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/config.h"
#include "base/log.h"
#include "base/text.h"
#include "kernels/peak.h"
#include "lab/provenance.h"
#include "lab/race.h"

namespace gamut {
namespace {

using Clock = std::chrono::steady_clock;

// What a plan may fill: machines shared with others change their speed while a study runs.
constexpr double kBudgetShare = 0.65;

// Wider models want smaller rates; the grid around it has the last word.
double first_rate(const TwinShape& s) { return 6e-3 * std::sqrt(64.0 / static_cast<double>(s.width)); }

// Seconds of a whole study.
double study_seconds(const Tier& tier, const Plan& p, const ArmTiming& dense, const ArmTiming& moe, size_t domains) {
  const auto run = [&](const ArmTiming& t, double steps, double points) {
    const double kilobytes = static_cast<double>(domains) * (points * static_cast<double>(tier.curve_bytes) + static_cast<double>(tier.final_bytes)) / 1000;
    return steps * t.step + kilobytes * t.evaluation;
  };
  const auto trunk = static_cast<double>(p.steps + p.cool), grid = 1.15 * static_cast<double>(p.tune_steps);
  double total = 2 * run(dense, kNullSteps, 1);
  total += tier.seeds * (run(dense, trunk, tier.points) + run(moe, trunk, tier.points));
  total += 2 * run(moe, trunk, 4);                                            // controls
  if (tier.tune) total += 4 * (run(dense, grid, 1) + run(moe, grid, 1));      // three rates, and one more when the best is at an edge
  if (tier.total_arm) total += run(dense, trunk, tier.points) * static_cast<double>(p.shape.experts) / static_cast<double>(p.shape.top_k);
  return total;
}

}  // namespace

ArmTiming time_arm(const ModelSpec& spec, const TrainerOptions& options, const std::shared_ptr<const Dataset>& data, ThreadPool& pool) {
  Trainer trainer(spec, options, data, pool);
  std::vector<double> seconds;
  const auto until = Clock::now() + std::chrono::milliseconds(400);
  while (seconds.size() < 6 || (Clock::now() < until && seconds.size() < 18)) seconds.push_back(trainer.step().seconds);
  // Without the first two, which pack weights; the lower quartile, because a moment of other work lasts several steps.
  const auto quartile = seconds.begin() + 2 + static_cast<std::ptrdiff_t>(seconds.size() - 2) / 4;
  std::nth_element(seconds.begin() + 2, quartile, seconds.end());
  std::vector<ValidationSet> set;
  set.emplace_back(data->validation.front(), *data->tokenizer, options.length, 16000);
  trainer.evaluate(set);  // plans memory and packs weights
  const auto begin = Clock::now();
  trainer.evaluate(set);
  return {*quartile, 1000 * std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(std::max<int64_t>(1, set[0].bytes()))};
}

const std::vector<Tier>& tiers() {
  // {width, layers, heads, hidden}: hidden so that k experts of a multiple of 16 units and the router cost within 1.1 % of it.
  static const std::vector<Tier> rows{
      {{"smoke", 2, 2, 512, 64, 2048, false, 24, 24 << 10, 96 << 10}, {{24, 2, 2, 128}, {32, 2, 2, 128}, {40, 2, 2, 160}, {48, 2, 3, 192}, {64, 2, 4, 256}}, 0, false},
      {{"quick", 15, 3, 1024, 128, 4096, true, 40, 48 << 10, 256 << 10}, {{32, 2, 2, 128}, {48, 2, 3, 128}, {48, 3, 3, 128}, {64, 3, 4, 192}, {80, 3, 5, 224}, {96, 3, 6, 256}, {128, 4, 4, 352}, {160, 4, 5, 448}}, 0.2, false},
      {{"full", 120, 5, 2048, 128, 8192, true, 48, 96 << 10, 1 << 20}, {{48, 3, 3, 128}, {64, 3, 4, 192}, {96, 3, 6, 256}, {112, 4, 7, 320}, {128, 4, 4, 352}, {160, 5, 5, 448}, {192, 6, 6, 512}, {256, 6, 8, 672}}, 0.2, true},
  };
  return rows;
}

TrainerOptions trainer_options(const Tier& tier, const Plan& plan, uint64_t seed, double rate, int64_t steps) {
  TrainerOptions o;
  o.seed = seed;
  o.length = tier.length;
  o.batch_rows = tier.batch_tokens / tier.length;
  o.steps = steps;
  o.optimizer.lr = rate;
  // Warm-up in steps is the same for every run, however short.
  o.schedule = {.kind = "constant", .warmup = std::min(0.2, 0.03 * static_cast<double>(plan.steps) / static_cast<double>(steps))};
  return o;
}

Plan make_plan(const Tier& tier, const std::shared_ptr<const Dataset>& data, ThreadPool& pool, uint64_t seed, double seconds) {
  Plan best;
  const double peak = kernels::measure_peak_flops(pool, DType::bf16), limit = kBudgetShare * seconds;
  for (TwinShape shape : tier.ladder) {
    stop_if_interrupted();
    shape.vocab = data->tokenizer->vocab_size();
    shape.length = tier.length;
    Plan p{.shape = shape, .rate = first_rate(shape), .peak_flops = peak};
    const TrainerOptions o = trainer_options(tier, {.steps = 1000}, seed, p.rate, 1000);
    const double weights = plan_step(dense_twin(shape), o, pool).active_matrix;
    p.steps = static_cast<int64_t>(std::ceil(kTokensPerWeight * weights / static_cast<double>(tier.batch_tokens)));
    p.cool = std::max<int64_t>(4, static_cast<int64_t>(kCoolShare * static_cast<double>(p.steps)));
    p.tune_steps = tier.tune ? std::max<int64_t>(20, static_cast<int64_t>(tier.tune_share * static_cast<double>(p.steps))) : 0;
    p.tokens_per_weight = static_cast<double>(p.steps * tier.batch_tokens) / weights;
    p.epochs = static_cast<double>((p.steps + p.cool) * tier.batch_tokens) / static_cast<double>(std::max<int64_t>(1, data->train_tokens()));
    if (best.steps > 0 && p.epochs > kMostEpochs) {
      log::info("  width {:4} layers {} hidden {:4}: would read the text {:.1f} times", shape.width, shape.layers, shape.hidden, p.epochs);
      break;
    }
    for (int attempt = 0; attempt < 2 && (attempt == 0 || p.expected_seconds > limit); ++attempt) {  // once more before giving a shape up
      const ArmTiming dense = time_arm(dense_twin(shape), o, data, pool), moe = time_arm(moe_twin(shape), o, data, pool);
      const double expected = study_seconds(tier, p, dense, moe, data->domains.size());
      if (attempt == 0 || expected < p.expected_seconds) {
        p.dense_seconds = dense.step;
        p.moe_seconds = moe.step;
        p.expected_seconds = expected;
      }
    }
    log::info("  width {:4} layers {} hidden {:4}: {:>6} weights a token, dense {:.1f} ms, mixture {:.1f} ms a step, {} for everything", shape.width, shape.layers, shape.hidden,
              human_count(weights), 1e3 * p.dense_seconds, 1e3 * p.moe_seconds, human_seconds(p.expected_seconds));
    if (best.steps == 0 || p.expected_seconds <= limit) best = p;
    if (p.expected_seconds > limit) break;
  }
  if (best.epochs > kMostEpochs) log::warn("little text: every run reads it {:.0f} times and may learn it by heart; {:.0f} times as much would do", best.epochs, std::ceil(best.epochs / kMostEpochs));
  best.started = utc_now();
  return best;
}

Json Plan::to_json() const {
  const Plan& p = *this;
  const TwinShape& s = p.shape;
  return {{"width", s.width}, {"layers", s.layers}, {"heads", s.heads}, {"hidden", s.hidden}, {"vocab", s.vocab}, {"length", s.length}, {"experts", s.experts}, {"top_k", s.top_k},
          {"steps", p.steps}, {"cool", p.cool}, {"tune_steps", p.tune_steps}, {"rate", p.rate}, {"tokens_per_weight", p.tokens_per_weight}, {"epochs", p.epochs}, {"dense_seconds", p.dense_seconds},
          {"moe_seconds", p.moe_seconds}, {"expected_seconds", p.expected_seconds}, {"peak_flops", p.peak_flops}, {"started", p.started}};
}

Plan Plan::from_json(const Json& json, const std::string& source) {
  Config c(json, {.source = source});
  Plan p;
  for (const auto& [key, to] : std::initializer_list<std::pair<const char*, int64_t*>>{
           {"width", &p.shape.width}, {"layers", &p.shape.layers}, {"heads", &p.shape.heads}, {"hidden", &p.shape.hidden}, {"vocab", &p.shape.vocab}, {"length", &p.shape.length},
           {"experts", &p.shape.experts}, {"top_k", &p.shape.top_k}, {"steps", &p.steps}, {"cool", &p.cool}, {"tune_steps", &p.tune_steps}})
    *to = c.take<int64_t>(key);
  for (const auto& [key, to] : std::initializer_list<std::pair<const char*, double*>>{
           {"rate", &p.rate}, {"tokens_per_weight", &p.tokens_per_weight}, {"epochs", &p.epochs}, {"dense_seconds", &p.dense_seconds}, {"moe_seconds", &p.moe_seconds}, {"expected_seconds", &p.expected_seconds}, {"peak_flops", &p.peak_flops}})
    *to = c.take<double>(key);
  p.started = c.take<std::string>("started");
  c.finish();
  return p;
}

}  // namespace gamut
