// Speed of the row kernels on one thread, every tier of this machine: best of several runs, as a share of what the machine can
// do.
//   rows [substring of a kernel's name] [tier]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/threads.h"
#include "kernels/activation.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/peak.h"
#include "kernels/rotary.h"
#include "kernels/router.h"

using namespace gamut;
using namespace gamut::kernels;

namespace {

std::string wanted, wanted_tier;
double peak_flops = 0, bandwidth = 0;

// Seconds of one call, the best of runs that together take about a fifth of a second.
double seconds(const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9, total = 0;
  for (int i = 0; i < 3 || (total < 0.2 && i < 10000); ++i) {
    const auto start = Clock::now();
    run();
    const double took = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, took);
    total += took;
  }
  return best;
}

enum class Unit { bytes, flops };

template <class List, class Call>
void measure(const std::string& name, Unit unit, double work, const List& list, const Call& call) {
  if (name.find(wanted) == std::string::npos) return;
  for (const auto& c : list.runnable_here()) {
    if (c.needs == Tier::ref || (!wanted_tier.empty() && wanted_tier != c.name)) continue;
    const double rate = work / seconds([&] { call(c.fn); });
    const double limit = unit == Unit::bytes ? bandwidth : peak_flops;
    fmt::print("{:<44} {:<12} {:8.2f} {}  {:5.1f} % of {}\n", name, c.name, rate * 1e-9,
               unit == Unit::bytes ? "GB/s   " : "GFLOP/s", 100 * rate / limit,
               unit == Unit::bytes ? "memory reads" : "f32 peak");
  }
}

// Noise in [−1, 1).
template <class T> std::vector<T> noise(int64_t n, uint64_t seed = 1) {
  std::vector<T> out(static_cast<size_t>(n));
  for (T& x : out) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    x = T(static_cast<float>(static_cast<int32_t>(seed >> 32)) * 0x1p-31f);
  }
  return out;
}

template <class T> void streams(const std::string& type) {
  const int64_t rows = 2048, d = 512, n = rows * d;
  const double each = static_cast<double>(n) * sizeof(T);
  const auto x = noise<T>(n), y = noise<T>(n, 2), z = noise<T>(n, 3);
  std::vector<T> out(x.size()), out2(x.size()), out3(x.size());
  std::vector<float> gain(d, 1.0f), inv(rows, 1.0f), d_gain(d), weight(rows, 1.0f), d_weight(rows), wide = noise<float>(n);
  measure("add " + type, Unit::bytes, 3 * each, add<T>(), [&](auto f) { f(n, x.data(), y.data(), out.data()); });
  measure("from_parameter " + type, Unit::bytes, each + 4.0 * n, from_parameter<T>(),
          [&](auto f) { f(n, wide.data(), out.data()); });
  measure("accumulate " + type, Unit::bytes, each + 8.0 * n, accumulate<T>(), [&](auto f) { f(n, x.data(), wide.data()); });
  measure("norm_forward 512 " + type, Unit::bytes, 4 * each, norm_forward<T>(), [&](auto f) {
    f({.kind = NormKind::rms,
       .rows = rows,
       .d = d,
       .eps = 1e-5,
       .x_ND = x.data(),
       .y_ND = y.data(),
       .gain_D = gain.data(),
       .bias_D = nullptr,
       .sum_ND = out.data(),
       .out_ND = out2.data(),
       .mean_N = nullptr,
       .inv_N = inv.data()});
  });
  measure("norm_backward 512 " + type, Unit::bytes, 4 * each, norm_backward<T>(), [&](auto f) {
    f({.kind = NormKind::rms,
       .rows = rows,
       .d = d,
       .sum_ND = x.data(),
       .gain_D = gain.data(),
       .mean_N = nullptr,
       .inv_N = inv.data(),
       .d_out_ND = y.data(),
       .d_sum_ND = z.data(),
       .dx_ND = out.data(),
       .d_gain_D = d_gain.data(),
       .d_bias_D = nullptr});
  });
  for (const auto& [activation, name] : {std::pair{Activation::silu, "silu"}, std::pair{Activation::gelu, "gelu"}}) {
    measure(std::string("gated_forward ") + name + " " + type, Unit::bytes, 3 * each, gated_forward<T>(), [&](auto f) {
      f({.activation = activation,
         .rows = rows,
         .h = d,
         .gate_NH = x.data(),
         .up_NH = y.data(),
         .weight_N = nullptr,
         .out_NH = out.data()});
    });
    measure(std::string("gated_backward ") + name + " " + type, Unit::bytes, 6 * each, gated_backward<T>(), [&](auto f) {
      f({.activation = activation,
         .rows = rows,
         .h = d,
         .gate_NH = x.data(),
         .up_NH = y.data(),
         .weight_N = weight.data(),
         .d_out_NH = z.data(),
         .d_gate_NH = out.data(),
         .d_up_NH = out2.data(),
         .d_weight_N = d_weight.data(),
         .out_NH = out3.data()});
    });
  }
  std::vector<int32_t> position(rows);
  for (size_t i = 0; i < position.size(); ++i) position[i] = static_cast<int32_t>(i % 256);
  for (const auto& [style, name] :
       {std::pair{RotaryStyle::half_split, "half_split"}, std::pair{RotaryStyle::interleaved, "interleaved"}})
    for (const int64_t head_dim : {32, 64})
      measure(std::string("rotary ") + name + " " + std::to_string(head_dim) + " " + type, Unit::bytes, 2 * each, rotary<T>(),
              [&](auto f) {
                f({.style = style,
                   .inverse = false,
                   .rows = rows,
                   .heads = d / head_dim,
                   .head_dim = head_dim,
                   .rotary = head_dim,
                   .position_N = position.data(),
                   .cos_MR = wide.data(),
                   .sin_MR = wide.data(),
                   .x_NHK = x.data(),
                   .out_NHK = out.data()});
              });
  for (const int64_t vocab : {512, 4096, 50257}) {
    const int64_t tokens = 1 << 20 >> (vocab > 4096 ? 2 : 1);
    const int64_t r = std::max<int64_t>(1, tokens / vocab);
    const auto logits = noise<float>(r * vocab);
    std::vector<T> d_logits(logits.size());
    std::vector<int32_t> target(static_cast<size_t>(r), 3);
    std::vector<float> loss(target.size());
    measure("cross_entropy " + std::to_string(vocab) + " " + type, Unit::bytes, static_cast<double>(r * vocab) * (4 + sizeof(T)),
            cross_entropy<T>(), [&](auto f) {
              f({.rows = r,
                 .vocab = vocab,
                 .logits_NV = logits.data(),
                 .target_N = target.data(),
                 .scale = 1,
                 .z = 0,
                 .loss_N = loss.data(),
                 .lse_N = nullptr,
                 .d_logits_NV = d_logits.data()});
            });
  }
}

void parameters() {
  const int64_t n = 1 << 22;
  auto w = noise<float>(n), g = noise<float>(n), m = noise<float>(n), v = std::vector<float>(n, 1.0f);
  measure("adamw", Unit::bytes, 32.0 * n, adamw<float>(), [&](auto f) {
    f({.n = n,
       .w = w.data(),
       .g = g.data(),
       .m = m.data(),
       .v = v.data(),
       .lr = 1e-3f,
       .beta1 = 0.9f,
       .beta2 = 0.95f,
       .eps = 1e-8f,
       .decay = 0.1f,
       .clip = 1,
       .c1 = 0.1f,
       .c2 = 0.05f});
  });
  measure("sum_squares", Unit::bytes, 4.0 * n, sum_squares<float>(),
          [&](auto f) { g[0] += static_cast<float>(f(n, w.data())) * 1e-30f; });
  for (const auto& [experts, k] : {std::pair{8, 2}, std::pair{64, 8}}) {
    const int64_t rows = 8192;
    const auto logits = noise<float>(rows * experts);
    std::vector<float> scores(logits.size()), d_logits(logits.size()), weight(rows * k), d_weight(rows * k, 0.5f);
    std::vector<int32_t> index(rows * k);
    const Route<float> r{.score = RouterScore::softmax,
                         .norm = GateNorm::selected,
                         .scale = 1,
                         .rows = rows,
                         .experts = experts,
                         .k = k,
                         .logits_NE = logits.data(),
                         .bias_E = nullptr,
                         .scores_NE = scores.data(),
                         .index_Nk = index.data(),
                         .weight_Nk = weight.data()};
    const double bytes = static_cast<double>(rows) * (experts * 8 + k * 8);
    const std::string shape = " 8192 rows, " + std::to_string(k) + " of " + std::to_string(experts);
    measure("route" + shape, Unit::bytes, bytes, route<float>(), [&](auto f) { f(r); });
    measure("route_backward" + shape, Unit::bytes, bytes, route_backward<float>(), [&](auto f) {
      f({.forward = r, .d_weight_Nk = d_weight.data(), .d_scores_NE = nullptr, .d_logits_NE = d_logits.data()});
    });
  }
}

// Causal: counts the products of visible pairs alone, and none of the softmax; backward counts five products, scores made again
// among them.
template <class T> void attend(const std::string& type) {
  for (const auto& [t, d, group] : {std::tuple{64, 16, 1},
                                    {64, 32, 2},
                                    {128, 32, 1},
                                    {256, 32, 2},
                                    {256, 64, 1},
                                    {256, 64, 4},
                                    {1024, 64, 2},
                                    {1024, 128, 4}}) {
    const auto q = noise<T>(t * group * d, 1), k = noise<T>(t * d, 2), v = noise<T>(t * d, 3), d_out = noise<T>(t * group * d, 4);
    std::vector<T> out(q.size()), dq(q.size()), dk(k.size()), dv(v.size());
    std::vector<float> lse(static_cast<size_t>(t * group));
    std::vector<std::byte> memory(static_cast<size_t>(attention_scratch(DTypeOf<T>::value, t, t, group, d, d)) + 64);
    std::byte* scratch = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
    const AttentionForward<T> f{.sight = {},
                                .queries = t,
                                .keys = t,
                                .offset = 0,
                                .group = group,
                                .head_dim = d,
                                .value_dim = d,
                                .scale = 1 / std::sqrt(static_cast<float>(d)),
                                .q = q.data(),
                                .k = k.data(),
                                .v = v.data(),
                                .q_stride = group * d,
                                .k_stride = d,
                                .v_stride = d,
                                .out_stride = group * d,
                                .out = out.data(),
                                .lse = lse.data(),
                                .scratch = scratch};
    const double flops = 4.0 * d * group * t * (t + 1) / 2;
    const std::string shape = fmt::format(" T={} head_dim={} group={} {}", t, d, group, type);
    measure("attention_forward" + shape, Unit::flops, flops, attention_forward<T>(), [&](auto fn) { fn(f); });
    if (("attention_backward" + shape).find(wanted) != std::string::npos) attention_forward<T>().best().fn(f);
    measure("attention_backward" + shape, Unit::flops, 2.5 * flops, attention_backward<T>(), [&](auto fn) {
      fn({.forward = f, .d_out = d_out.data(), .dq = dq.data(), .dk = dk.data(), .dv = dv.data(), .scratch = scratch});
    });
  }
  for (const int64_t keys : {256, 4096})
    for (const int64_t group : {1, 4}) {
      const int64_t d = 64;
      const auto q = noise<T>(group * d, 1), k = noise<T>(keys * d, 2), v = noise<T>(keys * d, 3);
      std::vector<T> out(q.size());
      std::vector<float> lse(static_cast<size_t>(group));
      std::vector<std::byte> memory(static_cast<size_t>(attention_scratch(DTypeOf<T>::value, 1, keys, group, d, d)) + 64);
      std::byte* scratch = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
      measure(fmt::format("attention_forward decode keys={} group={} {}", keys, group, type), Unit::bytes,
              static_cast<double>(2 * keys * d) * sizeof(T), attention_forward<T>(), [&](auto fn) {
                fn({.sight = {},
                    .queries = 1,
                    .keys = keys,
                    .offset = keys - 1,
                    .group = group,
                    .head_dim = d,
                    .value_dim = d,
                    .scale = 0.125f,
                    .q = q.data(),
                    .k = k.data(),
                    .v = v.data(),
                    .q_stride = group * d,
                    .k_stride = d,
                    .v_stride = d,
                    .out_stride = group * d,
                    .out = out.data(),
                    .lse = lse.data(),
                    .scratch = scratch});
              });
    }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) wanted = argv[1];
  if (argc > 2) wanted_tier = argv[2];
  ThreadPool one(1);
  peak_flops = measure_peak_flops(one, DType::f32);
  bandwidth = measure_read_bandwidth(one);
  fmt::print("{}, one thread: {:.1f} GFLOP/s f32, {:.1f} GB/s read\n", cpu_model(), peak_flops * 1e-9, bandwidth * 1e-9);
  streams<float>("f32");
  streams<bf16>("bf16");
  parameters();
  attend<float>("f32");
  attend<bf16>("bf16");
}
