// A step as training does it: forward, backward, clipping, optimizer, on random tokens and random weights.
#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>

#include "base/rng.h"
#include "base/text.h"
#include "bench/measure.h"
#include "bench/parts.h"
#include "families/family.h"
#include "kernels/cpu.h"
#include "kernels/gemm.h"
#include "kernels/peak.h"
#include "training/memory.h"
#include "training/trainer.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

// Random tokens in a file of their own, as training reads them.
std::shared_ptr<const Dataset> random_dataset(int64_t vocab, int64_t tokens) {
  std::string pattern = (fs::temp_directory_path() / "gamut-bench-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) throw Error({.who = "bench", .what = "cannot make a temporary folder", .where = pattern, .exit = Exit::failed});
  const fs::path folder = pattern, file = folder / "random.bin";
  TokenDocument document;
  const RandomStream stream(1, "bench", "tokens");
  for (int64_t i = 0; i < tokens; ++i) document.ids.push_back(static_cast<int32_t>(stream.below(static_cast<uint64_t>(i), static_cast<uint64_t>(vocab))));
  document.text_bytes = tokens;
  auto data = std::make_shared<Dataset>();
  std::error_code ignored;
  try {
    write_token_shard(file, std::span(&document, 1), vocab, std::string(32, '0'));
    data->train = {std::make_shared<TokenShard>(file)};  // stays mapped
  } catch (...) {
    fs::remove_all(folder, ignored);
    throw;
  }
  fs::remove_all(folder, ignored);
  data->domains = {"random"};
  return data;
}

struct Row {
  std::string name;
  double forward, backward, flops;  // seconds and FLOP of matrix products a step
  int64_t calls;
};

// Medians over the profiled steps of every entry, scaled so that they add up to the median step.
std::vector<Row> rows_of(const std::vector<Profile>& steps, const StepPlan& plan, double step_seconds) {
  std::vector<Row> rows;
  double sum = 0;
  for (const auto& [name, entry] : steps[0].entries()) {
    std::vector<double> forward, backward;
    for (const Profile& p : steps) {
      const auto it = p.entries().find(name);
      forward.push_back(it == p.entries().end() ? 0 : it->second.forward);
      backward.push_back(it == p.entries().end() ? 0 : it->second.backward);
    }
    const auto cost = plan.ledger.find(name);
    rows.push_back({name, timing_of(forward).median, timing_of(backward).median, cost == plan.ledger.end() ? 0 : cost->second.matmul_flops, entry.calls});
    sum += rows.back().forward + rows.back().backward;
  }
  for (Row& row : rows) {
    row.forward *= step_seconds / sum;
    row.backward *= step_seconds / sum;
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.forward + a.backward > b.forward + b.backward; });
  return rows;
}

}  // namespace

Json bench_train(BenchRun& run) {
  if (run.model.empty()) throw Error({.who = "bench train", .what = "needs a model", .hint = "for example gamut bench train config.json tokens=8192 seq=256"});
  ModelSpec spec = read_model_config(run.model).spec;
  const auto length = run.settings.take_in<int64_t>("seq", std::min<int64_t>(512, spec.max_positions), 1, spec.max_positions);
  const auto tokens = run.settings.take_in<int64_t>("tokens", std::max<int64_t>(length, 8192 / length * length), length, int64_t{1} << 32);
  if (tokens % length != 0) run.settings.reject("tokens", "must be a multiple of seq (" + std::to_string(length) + "), not " + std::to_string(tokens));
  spec.dtype = run.settings.take_choice("dtype", spec.dtype, {"f32", "bf16"});
  const auto micro = run.settings.take_in<int64_t>("micro", tokens, length, tokens);  // tokens run at a time
  if (micro % length != 0) run.settings.reject("micro", "must be a multiple of seq (" + std::to_string(length) + "), not " + std::to_string(micro));
  const auto seconds = run.settings.take_in<double>("seconds", 5.0, 0.0, 1e5);
  const auto steps = run.settings.take_in<int64_t>("steps", 5, 1, 1 << 20);  // at least
  run.settings.finish();

  const DType dtype = dtype_named(spec.dtype);
  TrainerOptions options{.length = length, .batch_rows = tokens / length, .micro_rows = micro / length, .steps = 1 << 20};
  const StepPlan plan = plan_step(spec, options, run.pool);
  Trainer trainer(spec, options, random_dataset(spec.vocab, 4 * tokens + 1), run.pool);
  const double peak_before = kernels::measure_peak_flops(run.pool, dtype);
  trainer.step();  // packs weights, touches memory
  std::vector<double> took, cpu;
  std::vector<Profile> profiles;
  for (double total = 0; total < seconds || static_cast<int64_t>(took.size()) < steps; total += took.back()) {
    Profile profile;
    trainer.set_profile(&profile);
    const double before = cpu_seconds();
    took.push_back(trainer.step().seconds);
    cpu.push_back(cpu_seconds() - before);
    trainer.set_profile(nullptr);
    profiles.push_back(std::move(profile));
  }
  const Timing step = timing_of(took), processor = timing_of(cpu);
  const double peak = std::max(peak_before, kernels::measure_peak_flops(run.pool, dtype)), rate = plan.cost.matmul_flops / step.median;
  // On a machine that others use, too: the share of the processor time this process was given.
  const double cpu_share = plan.cost.matmul_flops / processor.median / (peak / run.pool.threads());
  const std::vector<Row> rows = rows_of(profiles, plan, step.median);

  Json result = {{"model", fs::path(run.model).stem().string()}, {"tokens", tokens}, {"seq", length}, {"micro", micro}, {"dtype", spec.dtype}, {"tokens_per_s", static_cast<double>(tokens) / step.median},
                 {"best_tokens_per_s", static_cast<double>(tokens) / step.best}, {"gflops", rate * 1e-9}, {"peak_gflops", peak * 1e-9}, {"share", rate / peak}, {"share_of_cpu_time", cpu_share},
                 {"step_seconds", step.to_json()}, {"cpu_seconds", processor.median}, {"peak_rss_bytes", peak_resident_bytes()}, {"tensor_bytes", plan.arena_bytes},
                 {"parameters", plan.parameters}, {"active_matrix_parameters", plan.active_matrix}, {"tier", std::string(kernels::name_of(kernels::best_tier()))},
                 {"gemm", kernels::gemm_candidate_name(dtype)}, {"threads", run.pool.threads()}};
  for (const Row& row : rows) {
    Json& op = result["ops"][row.name] = {{"forward", row.forward}, {"backward", row.backward}, {"calls", row.calls}};
    if (row.flops > 0) op["share"] = row.flops / (row.forward + row.backward) / peak;
  }
  if (run.json) return result;
  std::cout << fmt::format("{}: {} tokens a step in rows of {}, {}, {} threads, {}\n", result["model"].get<std::string>(), tokens, length, spec.dtype, run.pool.threads(), result["gemm"].get<std::string>());
  std::cout << fmt::format("{:.0f} tokens/s (best {:.0f}, half of {} steps within {:.0f} %), {:.1f} GFLOP/s, {:.1f} % of {:.1f}; {:.1f} % of the processor time had; {} at most in memory\n\n",
                           static_cast<double>(tokens) / step.median, static_cast<double>(tokens) / step.best, step.runs, 100 * step.spread(), rate * 1e-9, 100 * rate / peak, peak * 1e-9, 100 * cpu_share,
                           human_bytes(static_cast<double>(peak_resident_bytes())));
  std::cout << fmt::format("{:<18}{:>12}{:>12}{:>10}{:>8}{:>14}\n", "operation", "forward ms", "backward ms", "of step", "calls", "share of peak");
  for (const Row& row : rows)
    std::cout << fmt::format("{:<18}{:>12.2f}{:>12.2f}{:>8.1f} %{:>8}{:>14}\n", row.name, 1e3 * row.forward, 1e3 * row.backward, 100 * (row.forward + row.backward) / step.median, row.calls,
                             row.flops > 0 ? fmt::format("{:.1f} %", 100 * row.flops / (row.forward + row.backward) / peak) : "");
  std::cout << fmt::format("{:<18}{:>24.2f}\n", "step", 1e3 * step.median);
  return result;
}

}  // namespace gamut
