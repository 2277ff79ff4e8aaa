#include <algorithm>
#include <cmath>
#include <numeric>

#include "modules/channels/routers/router.h"
#include "modules/channels/routers/sinkhorn.h"
#include "ops/rowwise.h"

namespace gamut {

std::vector<double> sinkhorn(std::span<const double> logits_TE, int64_t tokens, int64_t experts, double tolerance, int64_t most_rounds) {
  std::vector<double> a(logits_TE.begin(), logits_TE.end()), rows(static_cast<size_t>(tokens), 1.0), columns(static_cast<size_t>(experts), 1.0);
  const double top = a.empty() ? 0.0 : *std::max_element(a.begin(), a.end());  // a common factor, which the scaling takes out again
  for (double& x : a) x = std::exp(x - top);
  for (int64_t round = 0; round < most_rounds; ++round) {
    std::vector<double> sums(static_cast<size_t>(experts));
    for (int64_t t = 0; t < tokens; ++t) {
      double sum = 0;
      for (int64_t e = 0; e < experts; ++e) sum += columns[static_cast<size_t>(e)] * a[static_cast<size_t>(t * experts + e)];
      rows[static_cast<size_t>(t)] = 1 / (static_cast<double>(tokens) * (sum + 1e-8));
      for (int64_t e = 0; e < experts; ++e) sums[static_cast<size_t>(e)] += rows[static_cast<size_t>(t)] * a[static_cast<size_t>(t * experts + e)];
    }
    double change = 0;
    for (int64_t e = 0; e < experts; ++e) {
      const double now = 1 / (static_cast<double>(experts) * (sums[static_cast<size_t>(e)] + 1e-8));
      change += std::abs(now - columns[static_cast<size_t>(e)]) / static_cast<double>(experts);
      columns[static_cast<size_t>(e)] = now;
    }
    if (change < tolerance) break;
  }
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t e = 0; e < experts; ++e) a[static_cast<size_t>(t * experts + e)] *= rows[static_cast<size_t>(t)] * columns[static_cast<size_t>(e)];
  return a;
}

namespace {

class Sinkhorn : public Router {
 public:
  explicit Sinkhorn(const RouterContext& ctx)
      : experts_(ctx.experts), k_(ctx.k), weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix())) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t n = x.rows();
    const Tensor logits = ops::router_logits(tape, x, weight_, Tensor());
    Tensor chosen;
    if (tape.training()) {
      chosen = tape.empty({n, k_}, DType::i32);
      if (tape.runs()) choose(logits, chosen);
    }
    const auto score = k_ == 1 ? kernels::RouterScore::sigmoid : kernels::RouterScore::softmax;
    return select_experts(pass, logits, Tensor(), {.score = score, .norm = kernels::GateNorm::none, .k = k_}, chosen);
  }

 private:
  void choose(const Tensor& logits, const Tensor& chosen) const {
    const int64_t n = logits.rows(), e = experts_;
    std::vector<double> h(static_cast<size_t>(n * e));
    for (size_t i = 0; i < h.size(); ++i) h[i] = ops::value_at(logits, static_cast<int64_t>(i));
    const std::vector<double> plan = sinkhorn(h, n, e, 1e-4, 1000);
    std::vector<int32_t> order(static_cast<size_t>(e));
    for (int64_t t = 0; t < n; ++t) {
      const double* row = plan.data() + t * e;
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + k_, order.end(), [&](int32_t a, int32_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
      std::copy_n(order.begin(), k_, chosen.data<int32_t>() + t * k_);
    }
  }

  int64_t experts_, k_;
  Tensor weight_;
};

}  // namespace

std::unique_ptr<Router> build_sinkhorn(const RouterContext& ctx, Config&) { return std::make_unique<Sinkhorn>(ctx); }

}  // namespace gamut
