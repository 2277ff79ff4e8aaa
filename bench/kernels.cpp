// Kernels one at a time, on the shapes models use: forward and gradients, beside the limits of this machine.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <iostream>

#include "base/rng.h"
#include "bench/measure.h"
#include "bench/parts.h"
#include "kernels/activation.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/cpu.h"
#include "kernels/cross_entropy.h"
#include "kernels/gemm.h"
#include "kernels/norm.h"
#include "kernels/peak.h"
#include "ops/cases.h"
#include "training/optimizer.h"

namespace gamut {
namespace {

constexpr double kSeconds = 0.3;  // of each measurement, at least
constexpr int kRuns = 5;

// One line: what was done, by whom, how fast, and the share of what limits it.
struct Line {
  std::string name, part, candidate;
  double flops = 0, bytes = 0;  // of matrix products; of memory where these are few
  Timing time;
  bool right = true;
  std::vector<std::pair<double, std::string>> of_time = {};  // of a compound: shares of the time by operation, largest first
};

class Table {
 public:
  Table(BenchRun& run, const Limits& limits) : run_(run), limits_(limits) {
    if (!run_.json)
      std::cout << fmt::format("{:<38}{:<10}{:<13}{:>10}{:>9}{:>14}{:>10}\n", "case", "part", "candidate", "ms", "spread", "rate", "share");
  }

  // A product of matrices is measured by its type's arithmetic peak, all else by what memory gives when it is read and written.
  void add(const Line& line, DType type) {
    const bool products = line.flops > 0;
    const double limit = products ? type == DType::bf16 ? limits_.bf16 : limits_.f32 : limits_.update, rate = (products ? line.flops : line.bytes) / line.time.median;
    Json row = {{"case", line.name}, {"part", line.part}, {"dtype", std::string(name_of(type))}, {"candidate", line.candidate}, {"agrees", line.right}};
    if (line.right) {
      row["seconds"] = line.time.to_json();
      row[products ? "gflops" : "gigabytes_per_s"] = rate * 1e-9;
      row["share"] = rate / limit;
      for (const auto& [share, operation] : line.of_time) row["of_time"][operation] = share;
    } else {
      run_.disagreed = true;
    }
    rows_.push_back(row);
    if (run_.json) return;
    const std::string head = fmt::format("{:<38}{:<10}{:<13}", line.name, line.part, line.candidate);
    if (!line.right) {
      const bool colour = ::isatty(STDOUT_FILENO) == 1;
      std::cout << (colour ? "\x1b[31m" : "") << head << " RED: disagrees with the reference" << (colour ? "\x1b[0m" : "") << '\n';
      return;
    }
    std::cout << head
              << fmt::format("{:>10.3f}{:>7.0f} %{:>7.1f} {:<6}{:>8.1f} %\n", 1e3 * line.time.median, 100 * line.time.spread(), rate * 1e-9,
                             products ? "GFLOP/s" : "GB/s", 100 * rate / limit);
    if (line.of_time.size() > 1) {
      std::cout << "    of its time";
      for (const auto& [share, operation] : line.of_time) std::cout << fmt::format(" {} {:.1f} %", operation, 100 * share);
      std::cout << '\n';
    }
    std::cout << std::flush;
  }

  Json json() const {
    return {{"tier", std::string(kernels::name_of(kernels::best_tier()))}, {"threads", run_.pool.threads()},
            {"limits", {{"f32", limits_.f32}, {"bf16", limits_.bf16}, {"read", limits_.read}, {"update", limits_.update}}}, {"cases", rows_}};
  }

 private:
  BenchRun& run_;
  Limits limits_;
  Json rows_ = Json::array();
};

// ---- products of matrices ----

// A matrix in an arena, on huge pages as training has them, with the values of a named stream or zeros.
struct Matrix {
  Tensor tensor;

  Matrix(const std::shared_ptr<Arena>& arena, int64_t rows, int64_t columns, DType type, const char* name = nullptr) : tensor(arena, {rows, columns}, type) {
    std::memset(tensor.raw(), 0, tensor.bytes());
    if (!name) return;
    const RandomStream stream(1, "bench", name);
    with_float_type(type, [&]<class T>() {
      for (int64_t i = 0; i < rows * columns; ++i) tensor.data<T>()[i] = T(static_cast<accumulator<T>>(stream.normal(static_cast<uint64_t>(i))));
    });
  }
  std::byte* row(int64_t r) const { return tensor.raw() + static_cast<size_t>(r * tensor.width()) * size_of(tensor.dtype()); }
  double at(int64_t r, int64_t c) const {
    return with_float_type(tensor.dtype(), [&]<class T>() { return static_cast<double>(tensor.data<T>()[r * tensor.width() + c]); });
  }
};

struct Packed {
  Tensor storage;
  kernels::PackedMatrix matrix;

  // Rows [first, first + rows) of w[N, K] as B = wᵀ or, from the other side, B = w.
  Packed(const std::shared_ptr<Arena>& arena, ThreadPool& pool, const Matrix& w, int64_t first, int64_t rows, DType type, bool transposed) {
    const int64_t width = w.tensor.width(), k = transposed ? width : rows, n = transposed ? rows : width;
    storage = Tensor(arena, {kernels::packed_bytes(type, k, n)}, DType::u8);
    kernels::pack(pool, type, w.row(first), k, n, transposed ? 1 : width, transposed ? width : 1, storage.raw());
    matrix = {type, k, n, storage.raw()};
  }
};

// Sampled elements against their sum in double. term(r, c, i): the i-th product.
template <class Term> bool sampled_right(const Matrix& c, int64_t depth, const Term& term) {
  const RandomStream stream(2, "bench", "samples");
  for (uint64_t s = 0; s < 64; ++s) {
    const auto r = static_cast<int64_t>(stream.below(2 * s, static_cast<uint64_t>(c.tensor.rows()))),
               col = static_cast<int64_t>(stream.below(2 * s + 1, static_cast<uint64_t>(c.tensor.width())));
    double sum = 0, size = 0;
    for (int64_t i = 0; i < depth; ++i) {
      const double x = term(r, col, i);
      sum += x;
      size += std::abs(x);
    }
    const double rounding = c.tensor.dtype() == DType::bf16 ? 0x1p-8 * std::abs(sum) : 0;
    if (!(std::abs(c.at(r, col) - sum) <= static_cast<double>(depth) * 0x1p-24 * size + rounding)) return false;
  }
  return true;
}

// Products of m rows with w[n, k], forward and both gradients; with `experts` matrices, rows are divided among them at random.
void gemm_shape(ThreadPool& pool, Table& table, DType type, int64_t m, int64_t n, int64_t k, int64_t experts = 1) {
  const std::string shape = fmt::format("{}x{}x{}", m, n, k), candidate = kernels::gemm_candidate_name(type);
  const std::string name = experts == 1 ? fmt::format("gemm {} {}", name_of(type), shape) : fmt::format("{} experts {} {}", experts, name_of(type), shape);
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const auto arena = std::make_shared<Arena>();
  const Matrix x(arena, m, k, type, "x"), dy(arena, m, n, type, "dy"), y(arena, m, n, type), dx(arena, m, k, type), w(arena, experts * n, k, DType::f32, "w"),
      dw(arena, experts * n, k, DType::f32);
  std::vector<int64_t> end(static_cast<size_t>(experts), 0);
  const RandomStream stream(3, "bench", "experts");
  for (int64_t r = 0; r < m; ++r) ++end[stream.below(static_cast<uint64_t>(r), static_cast<uint64_t>(experts))];
  for (size_t e = 1; e < end.size(); ++e) end[e] += end[e - 1];
  const auto expert_of = [&](int64_t row) { return std::upper_bound(end.begin(), end.end(), row) - end.begin(); };
  const auto first_of = [&](int64_t e) { return e == 0 ? 0 : end[static_cast<size_t>(e) - 1]; };
  const auto rounded = [&](double v) { return type == DType::bf16 ? static_cast<double>(bf16(static_cast<float>(v))) : v; };
  std::vector<Packed> packed;
  packed.reserve(static_cast<size_t>(2 * experts));
  std::vector<kernels::Gemm> to_y, to_dx;
  std::vector<kernels::GemmAtB> to_dw;
  for (int64_t e = 0; e < experts; ++e) {
    const int64_t r = first_of(e), rows = end[static_cast<size_t>(e)] - r;
    const kernels::PackedMatrix forward = packed.emplace_back(arena, pool, w, e * n, n, type, true).matrix,
                                backward = packed.emplace_back(arena, pool, w, e * n, n, type, false).matrix;
    to_y.push_back({.terms = {{x.row(r), k, forward}}, .m = rows, .n = n, .c = y.row(r), .ldc = n, .c_dtype = type});
    to_dx.push_back({.terms = {{dy.row(r), n, backward}}, .m = rows, .n = k, .c = dx.row(r), .ldc = k, .c_dtype = type});
    to_dw.push_back(
        {.dtype = type, .a = dy.row(r), .lda = n, .b = x.row(r), .ldb = k, .m = rows, .p = n, .q = k, .c = dw.row(e * n), .ldc = k, .accumulate = false});
  }
  const Timing y_time = measure(kSeconds, kRuns, [&] { kernels::gemm(pool, to_y); });
  const Timing dx_time = measure(kSeconds, kRuns, [&] { kernels::gemm(pool, to_dx); });
  const Timing dw_time = measure(kSeconds, kRuns, [&] { kernels::gemm_at_b(pool, to_dw); });
  table.add({name, "forward", candidate, flops, 0, y_time, sampled_right(y, k, [&](int64_t r, int64_t c, int64_t i) { return x.at(r, i) * rounded(w.at(expert_of(r) * n + c, i)); })}, type);
  table.add({name, "input", candidate, flops, 0, dx_time, sampled_right(dx, n, [&](int64_t r, int64_t c, int64_t i) { return dy.at(r, i) * rounded(w.at(expert_of(r) * n + i, c)); })}, type);
  const auto weight_term = [&](int64_t r, int64_t c, int64_t i) {
    const int64_t e = r / n, row = first_of(e) + i;
    return row < end[static_cast<size_t>(e)] ? dy.at(row, r % n) * x.at(row, c) : 0.0;
  };
  table.add({name, "weight", candidate, flops, 0, dw_time, sampled_right(dw, *std::max_element(end.begin(), end.end()), weight_term)}, type);
}

// ---- operations ----

double largest_error(const std::vector<double>& found, const std::vector<double>& expected) {
  double top = 1e-6, error = 0;
  for (const double e : expected) top = std::max(top, std::abs(e));
  for (size_t i = 0; i < expected.size(); ++i) error = std::max(error, std::isfinite(found[i]) ? std::abs(found[i] - expected[i]) : INFINITY);
  return error / top;
}

// Results and gradients in `type` against f64 on the reference tier.
bool agrees(ThreadPool& pool, const ops::Case& sample, DType type) {
  const ops::CaseRun found = ops::run_case(sample, pool, {.type = type});
  const ops::CaseRun expected = ops::run_case(sample, pool, {.type = DType::f64});
  for (const auto& [name, values] : expected.values)
    if (largest_error(found.values.at(name), values) > (type == DType::f32 ? sample.f32_bound : sample.bf16_bound)) return false;
  return true;
}

Cost total(const Tape& tape) {
  Cost sum;
  for (const auto& [name, cost] : tape.ledger()) sum += cost;
  return sum;
}

// What `seconds` says of each operation, as shares of the whole.
std::vector<std::pair<double, std::string>> shares_of(const Profile& profile, double Profile::Entry::*seconds) {
  std::vector<std::pair<double, std::string>> shares;
  double sum = 0;
  for (const auto& [name, entry] : profile.entries()) sum += entry.*seconds;
  for (const auto& [name, entry] : profile.entries())
    if (entry.*seconds > 0) shares.emplace_back(entry.*seconds / sum, name);
  std::sort(shares.rbegin(), shares.rend());
  return shares;
}

// Forward and backward of a case, timed apart.
void operation(ThreadPool& pool, Table& table, const ops::Case& whole, const ops::Case& sample, DType type, const std::string& candidate) {
  using Clock = std::chrono::steady_clock;
  const bool right = agrees(pool, sample, type);
  Profile profile;
  ops::CaseBench bench(whole, pool, {.type = type, .profile = &profile});
  std::vector<double> forward, backward;
  Cost forward_cost, backward_cost;
  const std::string name = whole.name + " " + std::string(name_of(type));
  double sum = 0;
  for (int i = 0; right && (i <= kRuns || sum < 2 * kSeconds); ++i) {
    const Cost before = total(bench.tape());
    const auto start = Clock::now();
    std::vector<Tensor> results = bench.forward();
    const auto middle = Clock::now();
    const Cost between = total(bench.tape());
    bench.backward(results);  // its first run also makes the random cotangents
    results.clear();
    const auto end = Clock::now();
    const Cost after = total(bench.tape());
    bench.clear_gradients();
    if (i == 0) {  // warm-up: packs weights
      profile.clear();
      continue;
    }
    forward_cost = {between.matmul_flops - before.matmul_flops, 0, between.bytes - before.bytes};
    backward_cost = {after.matmul_flops - between.matmul_flops, 0, after.bytes - between.bytes};
    forward.push_back(std::chrono::duration<double>(middle - start).count());
    backward.push_back(std::chrono::duration<double>(end - middle).count());
    sum += forward.back() + backward.back();
  }
  for (const auto& [part, times, cost, seconds] :
       {std::tuple("forward", forward, forward_cost, &Profile::Entry::forward), std::tuple("backward", backward, backward_cost, &Profile::Entry::backward)})
    if (!right || cost.matmul_flops > 0 || cost.bytes > 0)
      table.add({name, part, candidate, cost.matmul_flops, cost.bytes, right ? timing_of(times) : Timing{}, right, shares_of(profile, seconds)}, type);
}

// All model cases of one family: "attention", "moe" …
void operations(BenchRun& run, Table& table, const std::string& family, const std::function<std::string(DType)>& candidate) {
  const std::vector<ops::Case> cases = ops::model_cases(), samples = ops::model_samples();
  for (size_t i = 0; i < cases.size(); ++i)
    if (cases[i].name.starts_with(family + "/"))
      for (const DType type : {DType::bf16, DType::f32}) operation(run.pool, table, cases[i], samples[i], type, candidate(type));
}
Json operations(BenchRun& run, const std::string& family, const std::function<std::string(DType)>& candidate) {
  run.settings.finish();
  Table table(run, measure_limits(run.pool));
  operations(run, table, family, candidate);
  return table.json();
}

template <class F32, class Bf16> std::string candidate_of(DType type, const F32& f32, const Bf16& half) { return type == DType::bf16 ? half.best().name : f32.best().name; }

// A kernel of the optimizer against the reference candidate, bit patterns aside: both on the same small slice.
bool adamw_right() {
  constexpr int64_t n = 1003;
  const RandomStream stream(1, "bench", "optimizer");
  std::vector<float> tried[4], expected[4];
  for (int k = 0; k < 4; ++k)
    for (int64_t i = 0; i < n; ++i) {
      const auto x = static_cast<float>(stream.normal(static_cast<uint64_t>(k * n + i)));
      tried[k].push_back(k == 3 ? x * x : x);
      expected[k].push_back(tried[k].back());
    }
  const auto arguments = [](std::vector<float>* t) {
    return kernels::AdamW<float>{n, t[0].data(), t[1].data(), t[2].data(), t[3].data(), 1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.5f, 0.1f, 0.05f};
  };
  kernels::adamw<float>().best().fn(arguments(tried));
  kernels::adamw<float>().runnable_here().back().fn(arguments(expected));
  for (int k = 0; k < 4; ++k)
    for (size_t i = 0; i < n; ++i)
      if (!(std::abs(tried[k][i] - expected[k][i]) <= 4e-7f * std::max(1.0f, std::abs(expected[k][i])))) return false;
  return true;
}

}  // namespace

Json bench_peak(BenchRun& run) {
  run.settings.finish();
  Json tiers = Json::array();
  if (!run.json) std::cout << fmt::format("{:<14}{:>16}{:>16}{:>16}\n", "tier", "f32 GFLOP/s", "bf16 GFLOP/s", "int8 GOP/s");
  for (int t = static_cast<int>(kernels::Tier::portable); t <= static_cast<int>(kernels::best_tier()); ++t) {
    const kernels::ForcedTier forced(static_cast<kernels::Tier>(t));
    const double f32 = kernels::measure_peak_flops(run.pool, DType::f32), half = kernels::measure_peak_flops(run.pool, DType::bf16), bytes = kernels::measure_peak_int8(run.pool);
    tiers.push_back({{"tier", std::string(kernels::name_of(kernels::best_tier()))}, {"f32", f32}, {"bf16", half}, {"int8", bytes}});
    if (!run.json)
      std::cout << fmt::format("{:<14}{:>16.1f}{:>16.1f}{:>16}\n", kernels::name_of(kernels::best_tier()), f32 * 1e-9, half * 1e-9, bytes > 0 ? fmt::format("{:.1f}", bytes * 1e-9) : "–");
  }
  const double read = kernels::measure_read_bandwidth(run.pool), update = kernels::measure_update_bandwidth(run.pool);
  if (!run.json) std::cout << fmt::format("reading {:.1f} GB/s, reading and writing {:.1f} GB/s; {} threads; {}\n", read * 1e-9, update * 1e-9, run.pool.threads(), kernels::cpu_model());
  return {{"tiers", tiers}, {"read", read}, {"update", update}, {"threads", run.pool.threads()}, {"processor", kernels::cpu_model()}, {"tier", std::string(kernels::name_of(kernels::best_tier()))}};
}

Json bench_gemm(BenchRun& run) {
  struct Shape3 {
    int64_t m, n, k;
  };
  std::vector<Shape3> shapes{{512, 512, 512},  {2048, 768, 3072}, {4096, 512, 2048}, {128, 1024, 4096}, {8192, 256, 1024}, {8192, 128, 128},
                             {8192, 352, 128}, {8192, 128, 352},  {8192, 256, 256},  {8192, 672, 256},  {8192, 256, 672}};
  if (run.settings.has("m") || run.settings.has("n") || run.settings.has("k")) {
    const auto size = [&](const char* key) { return run.settings.take_in<int64_t>(key, 512, 1, 1 << 20); };
    const int64_t m = size("m"), n = size("n"), k = size("k");
    shapes = {{m, n, k}};
  }
  const std::string only = run.settings.take_choice("dtype", "both", {"both", "f32", "bf16"});
  run.settings.finish();
  Table table(run, measure_limits(run.pool));
  for (const DType type : {DType::bf16, DType::f32})
    if (only == "both" || only == name_of(type))
      for (const auto& [m, n, k] : shapes) gemm_shape(run.pool, table, type, m, n, k);
  return table.json();
}

// Fine-grained experts beside one product of equal work; then whole layers, with activation, dispatch and sums over experts.
Json bench_experts(BenchRun& run) {
  run.settings.finish();
  Table table(run, measure_limits(run.pool));
  constexpr int64_t kTokens = 8192, kWidth = 512, kHidden = 256, kExperts = 64, kTop = 8;
  for (const int64_t experts : {int64_t{1}, kExperts}) gemm_shape(run.pool, table, DType::bf16, kTokens * kTop, kHidden, kWidth, experts);
  operations(run, table, "moe", kernels::gemm_candidate_name);
  operations(run, table, "route", kernels::gemm_candidate_name);
  return table.json();
}
Json bench_ffn(BenchRun& run) { return operations(run, "ffn", kernels::gemm_candidate_name); }
Json bench_attention(BenchRun& run) {
  return operations(run, "attention", [](DType type) { return candidate_of(type, kernels::attention_forward<float>(), kernels::attention_forward<bf16>()); });
}
Json bench_norm(BenchRun& run) {
  return operations(run, "norm", [](DType type) { return candidate_of(type, kernels::norm_forward<float>(), kernels::norm_forward<bf16>()); });
}
Json bench_loss(BenchRun& run) { return operations(run, "cross_entropy", kernels::gemm_candidate_name); }

Json bench_optimizer(BenchRun& run) {
  run.settings.finish();
  Table table(run, measure_limits(run.pool));
  const bool right = adamw_right();
  for (const int64_t width : {1024, 4096}) {
    const Device device = Device::real(run.pool);
    Parameters parameters(device.arena, DType::f32);
    parameters.add("w", {width, width}, Role::matrix, Init::normal(0.02));
    parameters.allocate_gradients();
    parameters.initialise(1, run.pool);
    Optimizer optimizer({}, parameters, device);
    const double n = static_cast<double>(width * width);
    const std::string name = fmt::format("adamw {:.0f} million", n * 1e-6), candidate = kernels::adamw<float>().best().name;
    table.add({name, "norm", candidate, 0, 4 * n, measure(kSeconds, kRuns, [&] { optimizer.gradient_norm(run.pool); }), right}, DType::f32);
    table.add({name, "step", candidate, 0, 32 * n, measure(kSeconds, kRuns, [&] { optimizer.step(run.pool, 1, 1); }), right}, DType::f32);
  }
  return table.json();
}

}  // namespace gamut
