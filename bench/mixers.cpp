// What a token costs in training, by the sequence mixer and by the length of the text: forward and backward of one layer's mixer with its
// projections, all of equal width, on random weights.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "base/rng.h"
#include "bench/measure.h"
#include "bench/parts.h"
#include "kernels/cpu.h"
#include "modules/registry.h"

namespace gamut {
namespace {

class MixerRun {
 public:
  MixerRun(const Registered<SequenceMixer>& row, const ModelSpec& spec, ThreadPool& pool) : kind(row.kind), device_(Device::real(pool)), parameters_(device_.arena, DType::f32), dtype_(dtype_named(spec.dtype)), width_(spec.width) {
    Config options(Json::object(), {.source = "defaults"});
    mixer_ = row.build({parameters_, spec, "mixer", 0, spec.width}, options);
    if (!mixer_) return;
    parameters_.initialise(1, pool);
    parameters_.allocate_gradients();
  }
  explicit operator bool() const { return mixer_ != nullptr; }

  // Forward and backward of `rows` texts of `length`; the mixer's parameters gather gradients.
  void step(int64_t rows, int64_t length) {
    Tape tape(device_, Tape::Mode::training);
    Pass pass{.tape = tape, .ids_BT = tape.empty({rows, length}, DType::i32), .visibility = {.sight = {.causal = true}}};
    pass.positions_N = tape.empty({rows * length}, DType::i32);
    for (int64_t i = 0; i < rows * length; ++i) pass.positions_N.data<int32_t>()[i] = static_cast<int32_t>(i % length);
    const Tensor x = random({rows, length, width_}, tape, "x"), source = random({rows, length, width_}, tape, "source");
    pass.encoded_BSD = &source;
    Tensor wanted = x;
    wanted.require_grad();
    const Tensor y = mixer_->forward(pass, wanted);
    tape.give(y.grad(), random({rows, length, width_}, tape, "dy"));
    tape.backward();
    flops = 0;
    for (const auto& [name, cost] : tape.ledger()) flops += cost.matmul_flops;
  }

  std::string kind;
  double flops = 0;  // of matrix products in the last step

 private:
  Device device_;
  Parameters parameters_;
  DType dtype_;
  int64_t width_;
  std::unique_ptr<SequenceMixer> mixer_;

  Tensor random(Shape shape, Tape& tape, const char* name) {
    const Tensor t = tape.empty(shape, dtype_);
    const RandomStream stream(1, "bench", name);
    constexpr int64_t kPeriod = 4099;  // normal numbers are slow to draw
    if (values_.empty())
      for (int64_t i = 0; i < kPeriod; ++i) values_.push_back(static_cast<float>(stream.normal(static_cast<uint64_t>(i))));
    for (int64_t i = 0; i < t.elements(); ++i) {
      const float v = values_[static_cast<size_t>(i % kPeriod)];
      if (dtype_ == DType::bf16) t.data<bf16>()[i] = bf16(v);
      else t.data<float>()[i] = v;
    }
    return t;
  }
  std::vector<float> values_;
};

}  // namespace

Json bench_mixers(BenchRun& run) {
  ModelSpec spec{.vocab = 1, .width = run.settings.take_in<int64_t>("width", 256, 8, 1 << 16), .layers = {LayerSpec{}}};
  const auto lengths = run.settings.take<std::vector<int64_t>>("lengths", {256, 1024, 4096, 16384});
  const auto tokens = run.settings.take_in<int64_t>("tokens", 4096, 1, int64_t{1} << 32);  // of a step, at least
  const auto only = run.settings.take<std::vector<std::string>>("mixers", {});
  spec.dtype = run.settings.take_choice("dtype", "bf16", {"f32", "bf16"});
  const auto rounds = run.settings.take_in<int64_t>("rounds", 5, 1, 1000);
  for (const int64_t length : lengths)
    if (length < 1 || length > 1 << 20) run.settings.reject("lengths", "must lie between 1 and 1048576, not " + std::to_string(length));
  run.settings.finish();

  std::vector<std::unique_ptr<MixerRun>> mixers;
  for (const std::string& name : only) find_registered(sequence_mixers(), name, "sequence mixer");
  for (const auto& row : sequence_mixers()) {
    if (!only.empty() && std::find(only.begin(), only.end(), row.kind) == only.end()) continue;
    auto mixer = std::make_unique<MixerRun>(row, spec, run.pool);
    if (*mixer) mixers.push_back(std::move(mixer));
  }
  Json result = {{"width", spec.width}, {"dtype", spec.dtype}, {"tier", std::string(kernels::name_of(kernels::best_tier()))}, {"threads", run.pool.threads()}, {"lengths", Json::array()}};
  if (!run.json)
    std::cout << fmt::format("forward and backward, width {}, {}, {} threads, {}; processor time, and times that of {} in the same rounds\n{:>8}  {:<16}{:>12}{:>12}{:>10}{:>8}{:>10}\n", spec.width, spec.dtype, run.pool.threads(),
                             result["tier"].get<std::string>(), mixers[0]->kind, "tokens", "mixer", "µs a token", "wall µs", "GFLOP/s", "spread", "ratio");
  for (const int64_t length : lengths) {
    const int64_t rows = std::max<int64_t>(1, tokens / length);
    const auto count = static_cast<double>(rows * length);
    std::vector<std::vector<double>> cpu(mixers.size()), wall(mixers.size());
    for (int64_t round = -1; round < rounds; ++round)  // the first packs weights and touches memory
      for (size_t i = 0; i < mixers.size(); ++i) {
        const double before = cpu_seconds(), took = measure_once([&] { mixers[i]->step(rows, length); }), used = cpu_seconds() - before;
        if (round < 0) continue;
        cpu[i].push_back(used / count);
        wall[i].push_back(took / count);
      }
    for (size_t i = 0; i < mixers.size(); ++i) {
      std::vector<double> ratios;
      for (size_t r = 0; r < cpu[i].size(); ++r) ratios.push_back(cpu[i][r] / cpu[0][r]);
      const Timing time = timing_of(cpu[i]), on_wall = timing_of(wall[i]);
      const double ratio = timing_of(ratios).median, rate = mixers[i]->flops / count / time.median;
      result["lengths"].push_back({{"length", length}, {"rows", rows}, {"mixer", mixers[i]->kind}, {"cpu_seconds_per_token", time.to_json()}, {"seconds_per_token", on_wall.to_json()}, {"ratio", ratio}, {"gflops", rate * 1e-9}});
      if (!run.json)
        std::cout << fmt::format("{:>8}  {:<16}{:>12.3f}{:>12.3f}{:>10.1f}{:>6.0f} %{:>10.2f}\n", length, mixers[i]->kind, 1e6 * time.median, 1e6 * on_wall.median, rate * 1e-9, 100 * time.spread(), ratio) << std::flush;
    }
  }
  return result;
}

}  // namespace gamut
