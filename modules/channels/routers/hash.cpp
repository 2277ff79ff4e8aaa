#include <algorithm>

#include "base/rng.h"
#include "modules/channels/routers/router.h"

namespace gamut {
namespace {

class Hash : public Router {
 public:
  Hash(const RouterContext& ctx, double scale) : experts_(ctx.experts), k_(ctx.k), scale_(scale), dtype_(ctx.build.parameters.dtype()), vocab_(ctx.build.spec.vocab) {
    // The same table in every layer and run: the control has no randomness of its own.
    const RandomStream stream(0, "hash router", std::to_string(ctx.build.layer));
    table_.resize(static_cast<size_t>(vocab_ * k_));
    std::vector<int32_t> order(static_cast<size_t>(experts_));
    for (int64_t v = 0; v < vocab_; ++v) {
      for (int64_t e = 0; e < experts_; ++e) order[static_cast<size_t>(e)] = static_cast<int32_t>(e);
      for (int64_t j = 0; j < k_; ++j) {  // k distinct experts: the first steps of a shuffle
        const auto other = static_cast<size_t>(j) + stream.below(static_cast<uint64_t>(v * k_ + j), static_cast<uint64_t>(experts_ - j));
        std::swap(order[static_cast<size_t>(j)], order[other]);
        table_[static_cast<size_t>(v * k_ + j)] = order[static_cast<size_t>(j)];
      }
    }
  }

  ops::Routing route(Pass& pass, const Tensor&) override {
    Tape& tape = pass.tape;
    const int64_t n = pass.ids_BT.elements();
    ops::Routing r{.index_Nk = tape.empty({n, k_}, DType::i32), .weight_Nk = tape.empty({n, k_}, dtype_), .load_E = tape.zeros({experts_}, DType::i32), .scores_NE = Tensor(), .logits_NE = Tensor()};
    if (!tape.runs()) return r;
    const double gate = scale_ / static_cast<double>(k_);
    for (int64_t t = 0; t < n; ++t)
      for (int64_t j = 0; j < k_; ++j) {
        const int32_t e = table_[static_cast<size_t>(pass.ids_BT.data<int32_t>()[t] * k_ + j)];
        r.index_Nk.data<int32_t>()[t * k_ + j] = e;
        ++r.load_E.data<int32_t>()[e];
      }
    with_float_type(dtype_, [&]<class P>() { std::fill_n(r.weight_Nk.data<P>(), n * k_, P(static_cast<float>(gate))); });
    return r;
  }

 private:
  int64_t experts_, k_;
  double scale_;
  DType dtype_;
  int64_t vocab_;
  std::vector<int32_t> table_;  // [V, k]
};

}  // namespace

std::unique_ptr<Router> build_hash(const RouterContext& ctx, Config& cfg) { return std::make_unique<Hash>(ctx, cfg.take<double>("scale", 1.0)); }

}  // namespace gamut
