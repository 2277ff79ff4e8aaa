#include "modules/channels/routers/router.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

// [N, G·B] = first_NG · second_[N·G, B]: of a token's share of a group and the group's of an expert, the expert's.
Tensor joint(Tape& tape, const Tensor& first, const Tensor& second) {
  const int64_t n = first.rows(), groups = first.width(), each = second.width(), e = groups * each;
  return ops::rowwise(
      tape, "router", ops::beside(tape, first, second.reshape({n, e})), e,
      [=](int64_t, const double* in, double* out) {
        for (int64_t i = 0; i < e; ++i) out[i] = in[i / each] * in[groups + i];
      },
      [=](int64_t, const double* in, const double* d, double* d_in) {
        for (int64_t i = 0; i < e; ++i) {
          d_in[i / each] += d[i] * in[groups + i];
          d_in[groups + i] += d[i] * in[i / each];
        }
      });
}

class Hierarchical : public Router {
 public:
  Hierarchical(const RouterContext& ctx, int64_t groups, int64_t group_k, bool normalise, RouterLosses losses)
      : experts_(ctx.experts),
        groups_(groups),
        group_k_(group_k),
        inner_k_(ctx.k / group_k),
        normalise_(normalise),
        losses_(std::move(losses), false),
        group_weight_(ctx.build.add("router_groups", {groups, ctx.build.spec.width}, Role::router, ctx.build.matrix())),
        weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix())) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t n = x.rows(), e = experts_, each = e / groups_, k = group_k_ * inner_k_;
    const auto norm = normalise_ ? kernels::GateNorm::selected : kernels::GateNorm::none;
    const Tensor logits = ops::router_logits(tape, x, weight_, Tensor());
    Tensor given_groups, given_within;
    if (const Tensor given = given_choices(pass, n, k, e)) take_apart(tape, given, given_groups, given_within);
    const ops::Routing outer = ops::select(tape, ops::router_logits(tape, x, group_weight_, Tensor()), Tensor(), {.norm = norm, .k = group_k_}, given_groups);
    const ops::Routing inner = ops::select(tape, logits.reshape({n * groups_, each}), Tensor(), {.norm = norm, .k = inner_k_}, given_within);
    ops::Routing r{.index_Nk = tape.empty({n, k}, DType::i32),
                   .weight_Nk = Tensor(),
                   .load_E = Tensor(),
                   .scores_NE = joint(tape, outer.scores_NE, inner.scores_NE),
                   .logits_NE = logits};
    const int32_t* group = outer.index_Nk.data<int32_t>();
    const int32_t* within = inner.index_Nk.data<int32_t>();
    if (tape.runs())
      for (int64_t t = 0; t < n; ++t)
        for (int64_t j = 0; j < k; ++j) {
          const int64_t g = group[t * group_k_ + j / inner_k_];
          r.index_Nk.data<int32_t>()[t * k + j] = static_cast<int32_t>(g * each + within[(t * groups_ + g) * inner_k_ + j % inner_k_]);
        }
    // g = G⁰_i·G_ij, gathered from a row of the outer gates beside all groups' inner gates.
    const Tensor both = ops::beside(tape, outer.weight_Nk, inner.weight_Nk.reshape({n, groups_ * inner_k_}));
    const int64_t outer_k = group_k_, inner_k = inner_k_;
    const auto place = [index = outer.index_Nk, outer_k, inner_k](int64_t row, int64_t j) {
      return outer_k + index.data<int32_t>()[row * outer_k + j / inner_k] * inner_k + j % inner_k;
    };
    r.weight_Nk = ops::rowwise(
        tape, "router", both, k,
        [=](int64_t row, const double* in, double* out) {
          for (int64_t j = 0; j < k; ++j) out[j] = in[j / inner_k] * in[place(row, j)];
        },
        [=](int64_t row, const double* in, const double* d, double* d_in) {
          for (int64_t j = 0; j < k; ++j) {
            d_in[j / inner_k] += d[j] * in[place(row, j)];
            d_in[place(row, j)] += d[j] * in[j / inner_k];
          }
        });
    note_choices(pass, r.index_Nk);
    r.load_E = ops::count_experts(tape, r.index_Nk, e);
    losses_.add(pass, r);
    return r;
  }

  void after_step(double) override { losses_.after_step(); }

 private:
  // Chosen experts as chosen groups, and as places within every group (of groups that are not chosen, the first).
  void take_apart(Tape& tape, const Tensor& given, Tensor& groups, Tensor& within) const {
    const int64_t n = given.rows(), k = given.width(), each = experts_ / groups_;
    groups = tape.empty({n, group_k_}, DType::i32);
    within = tape.empty({n * groups_, inner_k_}, DType::i32);
    for (int64_t i = 0; i < within.elements(); ++i) within.data<int32_t>()[i] = static_cast<int32_t>(i % inner_k_);
    for (int64_t t = 0; t < n; ++t)
      for (int64_t j = 0; j < k; ++j) {
        const int32_t expert = given.data<int32_t>()[t * k + j];
        const int64_t group = expert / each;
        groups.data<int32_t>()[t * group_k_ + j / inner_k_] = static_cast<int32_t>(group);
        within.data<int32_t>()[(t * groups_ + group) * inner_k_ + j % inner_k_] = static_cast<int32_t>(expert % each);
      }
  }

  int64_t experts_, groups_, group_k_, inner_k_;
  bool normalise_;
  LossKeeper losses_;
  Tensor group_weight_, weight_;
};

}  // namespace

std::unique_ptr<Router> build_hierarchical(const RouterContext& ctx, Config& cfg) {
  int64_t square = 1;  // the largest divisor up to the square root, unless told
  for (int64_t g = 1; g * g <= ctx.experts; ++g)
    if (ctx.experts % g == 0) square = g;
  const auto groups = cfg.take_in<int64_t>("groups", square, 1, 1 << 16);
  if (ctx.experts % groups != 0) cfg.reject("groups", "must divide the " + std::to_string(ctx.experts) + " experts, not be " + std::to_string(groups));
  const auto outer = cfg.take_in<int64_t>("group_k", std::min<int64_t>(groups, ctx.k % 2 == 0 ? 2 : 1), 1, 1 << 16);
  if (outer > groups || ctx.k % outer != 0 || ctx.k / outer > ctx.experts / groups)
    cfg.reject("group_k", "is " + std::to_string(outer) + ": of " + std::to_string(groups) + " groups of " + std::to_string(ctx.experts / groups) +
                              " experts that cannot choose " + std::to_string(ctx.k));
  const bool normalise = cfg.take<bool>("normalise", ctx.k > 1);
  const double balance = cfg.take_in<double>("balance_loss", 0.0, 0, 100);
  return std::make_unique<Hierarchical>(ctx, groups, outer, normalise, RouterLosses::take(cfg, {.balance = balance, .importance = 0.01}));
}

}  // namespace gamut
