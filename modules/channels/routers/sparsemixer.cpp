#include <algorithm>
#include <cmath>

#include "modules/channels/routers/router.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

struct Mixed {
  Tensor index_N2, weight_N2;
};

// The softmax over the experts whose logit is within 2ε of the largest, relatively, `out` left aside (−1: none); returns the largest.
int64_t near_softmax(const double* h, int64_t e, int64_t out, double epsilon, double* share) {
  int64_t top = out == 0 ? 1 : 0;
  for (int64_t i = top + 1; i < e; ++i)
    if (i != out && h[i] > h[top]) top = i;
  double sum = 0;
  for (int64_t i = 0; i < e; ++i) {
    const bool in = i != out && !((h[top] - h[i]) / std::max(std::abs(h[i]), h[top]) > 2 * epsilon);
    sum += share[i] = in ? std::exp(h[i] - h[top]) : 0.0;
  }
  for (int64_t i = 0; i < e; ++i) share[i] /= sum;
  return top;
}

// Two choices, each with its probability in such a softmax as gate; `given` ones are taken as they are. `sample`: Gumbel noise chooses among those that share,
// and a choice that is not the largest keeps a third of its gate three times out of four, whose gradient is that of the whole (Heun's third-order estimate).
Mixed sparse_mix(Tape& tape, const Tensor& logits, double epsilon, bool sample, const RandomStream& stream, int64_t first_row, const Tensor& given) {
  const int64_t n = logits.rows(), e = logits.width();
  const Tensor index = given ? given : tape.empty({n, 2}, DType::i32);
  std::vector<double> kept(static_cast<size_t>(tape.runs() ? 2 * n : 0), 1.0), h(static_cast<size_t>(e)), share(static_cast<size_t>(e));
  for (int64_t s = 0; tape.runs() && s < 2 * n; ++s) {
    ops::read_row(logits, s / 2, h.data());
    int32_t* chosen = index.data<int32_t>() + s / 2 * 2;
    const int64_t top = near_softmax(h.data(), e, s % 2 ? chosen[0] : -1, epsilon, share.data());
    const auto draw = [&](int64_t i) { return stream.uniform(static_cast<uint64_t>((2 * first_row + s) * (e + 1) + i)); };
    int64_t pick = top;
    if (given)
      pick = chosen[s % 2];
    else if (sample) {
      const auto noisy = [&](int64_t i) { return h[static_cast<size_t>(i)] - std::log(-std::log(std::max(draw(i), 1e-300))); };
      for (int64_t i = 0; i < e; ++i)
        if (share[static_cast<size_t>(i)] > 0 && noisy(i) > noisy(pick)) pick = i;
    }
    if (sample && pick != top && draw(e) <= 0.75) kept[static_cast<size_t>(s)] = 1.0 / 3;
    chosen[s % 2] = static_cast<int32_t>(pick);
  }
  const auto slot = [=](int64_t row, int64_t j, const double* in, std::vector<double>& q) {
    q.resize(static_cast<size_t>(e));
    near_softmax(in, e, j == 1 ? index.data<int32_t>()[2 * row] : -1, epsilon, q.data());
    return index.data<int32_t>()[2 * row + j];
  };
  const Tensor weight = ops::rowwise(
      tape, "router", logits, 2,
      [slot, kept](int64_t row, const double* in, double* out) {
        std::vector<double> q;
        for (int64_t j = 0; j < 2; ++j) {
          const int32_t c = slot(row, j, in, q);
          out[j] = kept[static_cast<size_t>(2 * row + j)] * q[static_cast<size_t>(c)];
        }
      },
      [slot, e](int64_t row, const double* in, const double* d, double* d_in) {  // of a softmax's share q_c: q_c(δ_ic − q_i)
        std::vector<double> q;
        for (int64_t j = 0; j < 2; ++j) {
          const int32_t c = slot(row, j, in, q);
          for (int64_t i = 0; i < e; ++i) d_in[i] += d[j] * q[static_cast<size_t>(c)] * ((i == c ? 1.0 : 0.0) - q[static_cast<size_t>(i)]);
        }
      });
  return {index, weight};
}

class SparseMixer : public Router {
 public:
  SparseMixer(const RouterContext& ctx, double epsilon, bool sample, double pooled, RouterLosses losses)
      : epsilon_(epsilon),
        sample_(sample),
        pooled_(pooled),
        losses_(std::move(losses), false),
        name_(ctx.build.prefix),
        weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix())) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const Tensor logits = ops::router_logits(tape, x, weight_, Tensor());
    ops::Routing r = ops::select(tape, logits, Tensor(), {.k = 2});  // the plain softmax: what losses and records look at
    losses_.add(pass, r);
    if (pooled_ > 0 && tape.training()) {
      pass.pooled.push_back({r.scores_NE, r.index_Nk});
      pass.pooled_coefficient = pooled_;
    }
    const Mixed mixed = sparse_mix(tape, logits, epsilon_, sample_ && tape.training(), RandomStream(pass.seed, "sparsemixer", name_), pass.first_row,
                                   given_choices(pass, logits.rows(), 2, logits.width()));
    note_choices(pass, mixed.index_N2);
    r.index_Nk = mixed.index_N2;
    r.weight_Nk = mixed.weight_N2;
    r.load_E = ops::count_experts(tape, r.index_Nk, logits.width());
    return r;
  }

  void after_step(double) override { losses_.after_step(); }

 private:
  double epsilon_;
  bool sample_;
  double pooled_;
  LossKeeper losses_;
  std::string name_;
  Tensor weight_;
};

}  // namespace

std::unique_ptr<Router> build_sparsemixer(const RouterContext& ctx, Config& cfg) {
  if (ctx.k != 2 || ctx.experts < 2)
    throw Error({.who = "model",
                 .what = "the sparsemixer router chooses two experts, but top_k is " + std::to_string(ctx.k) + " of " + std::to_string(ctx.experts),
                 .hint = "set top_k = 2 or kind = \"topk\""});
  const double epsilon = cfg.take_in<double>("epsilon", 0.01, 0, 10);
  const bool sample = cfg.take<bool>("sample", false), pooled = cfg.take_choice("balance", "loss", {"loss", "pooled"}) == "pooled";
  const double balance = cfg.take_in<double>("balance_loss", 0.01, 0, 100);
  return std::make_unique<SparseMixer>(ctx, epsilon, sample, pooled ? balance : 0.0, RouterLosses::take(cfg, {.balance = pooled ? 0.0 : balance}));
}

}  // namespace gamut
