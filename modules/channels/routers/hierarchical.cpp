#include <algorithm>

#include "modules/channels/routers/noisy_topk.h"
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

struct Levels {
  int64_t groups, group_k, inner_k;
  bool gshard;         // a first group gives two experts, a second one, and tokens that do not count take none
  std::string second;  // of gshard: which second choices stay in training
  bool normalise;
  NoiseOptions noise;
  double load, balance;  // balance: of gshard, whose levels are balanced each by itself
};

class Hierarchical : public Router {
 public:
  Hierarchical(const RouterContext& ctx, Levels levels, RouterLosses losses)
      : experts_(ctx.experts),
        each_(ctx.experts / levels.groups),
        o_(std::move(levels)),
        sample_(losses.sample_variance),
        losses_(std::move(losses), false),
        name_(ctx.build.prefix),
        outer_(ctx.build, "router_groups", 1, o_.groups, o_.noise),
        inner_(ctx.build, "router", o_.groups, each_, o_.noise) {
    for (int64_t j = 0; j < ctx.k; ++j) slots_.emplace_back(j / o_.inner_k, j % o_.inner_k);  // of gshard (0, 0), (0, 1), (1, 0)
  }

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t n = x.rows(), e = experts_, k = static_cast<int64_t>(slots_.size());
    const NoisyLogits::Made groups = outer_(pass, x), within = inner_(pass, x);
    Tensor given_groups, given_within;
    if (const Tensor given = given_choices(pass, n, k, e)) take_apart(tape, given, given_groups, given_within);
    const ops::Routing outer = ops::select(tape, groups.noisy, Tensor(), select(o_.group_k), given_groups);
    const ops::Routing inner = ops::select(tape, within.noisy, Tensor(), select(o_.inner_k), given_within);
    ops::Routing r{.index_Nk = tape.empty({n, k}, DType::i32),
                   .weight_Nk = gates(tape, outer, inner),
                   .load_E = Tensor(),
                   .scores_NE = joint(tape, outer.scores_NE, inner.scores_NE),
                   .logits_NE = within.noisy.reshape({n, e})};
    if (tape.runs())
      for (int64_t t = 0; t < n; ++t)
        for (int64_t j = 0; j < k; ++j) {
          const auto [i, place] = slots_[static_cast<size_t>(j)];
          const int64_t g = outer.index_Nk.data<int32_t>()[t * o_.group_k + i];
          r.index_Nk.data<int32_t>()[t * k + j] = static_cast<int32_t>(g * each_ + inner.index_Nk.data<int32_t>()[(t * o_.groups + g) * o_.inner_k + place]);
        }
    note_choices(pass, r.index_Nk);
    if (o_.gshard) leave_out(pass, r, outer, inner);
    r.load_E = ops::count_experts(tape, r.index_Nk, e);
    losses_.add(pass, r);
    if (!tape.training()) return r;
    if (o_.load > 0) load_loss(pass, groups, within, outer.index_Nk);
    if (o_.balance > 0) {
      r.balance = ops::balance_loss(tape, outer, o_.balance * pass.loss_scale, {.count = ops::BalanceCount::first, .counted_N = &pass.counted_N});
      r.balance += balance_within(pass, outer.index_Nk, inner);
    }
    return r;
  }

  void after_step(double) override { losses_.after_step(); }

 private:
  // A single gate stays the probability: normalised it would be 1 whatever is learned.
  ops::SelectOptions select(int64_t k) const {
    return {.norm = o_.normalise && k > 1 ? kernels::GateNorm::selected : kernels::GateNorm::none, .epsilon = o_.gshard ? 1e-9 : 1e-20, .k = k};
  }

  // g = G⁰_i·G_ij, gathered from a row of the outer gates beside all groups' inner gates; the one expert of a second group has all of its gate.
  Tensor gates(Tape& tape, const ops::Routing& outer, const ops::Routing& inner) const {
    const int64_t k = static_cast<int64_t>(slots_.size()), groups = o_.groups, group_k = o_.group_k, inner_k = o_.inner_k;
    const auto place = [=, index = outer.index_Nk, slots = slots_](int64_t row, int64_t j) {
      return group_k + index.data<int32_t>()[row * group_k + slots[static_cast<size_t>(j)].first] * inner_k + slots[static_cast<size_t>(j)].second;
    };
    const auto whole = [gshard = o_.gshard](int64_t j) { return gshard && j == 2; };
    return ops::rowwise(
        tape, "router", ops::beside(tape, outer.weight_Nk, inner.weight_Nk.reshape({outer.weight_Nk.rows(), groups * inner_k})), k,
        [=, slots = slots_](int64_t row, const double* in, double* out) {
          for (int64_t j = 0; j < k; ++j) out[j] = in[slots[static_cast<size_t>(j)].first] * (whole(j) ? 1 : in[place(row, j)]);
        },
        [=, slots = slots_](int64_t row, const double* in, const double* d, double* d_in) {
          for (int64_t j = 0; j < k; ++j) {
            const int64_t i = slots[static_cast<size_t>(j)].first;
            d_in[i] += d[j] * (whole(j) ? 1 : in[place(row, j)]);
            if (!whole(j)) d_in[place(row, j)] += d[j] * in[i];
          }
        });
  }

  // Of tokens that do not count everything; in training second groups and second experts as `second` says.
  void leave_out(const Pass& pass, ops::Routing& r, const ops::Routing& outer, const ops::Routing& inner) const {
    if (!pass.tape.runs()) return;
    const RandomStream groups(pass.seed, "second group", name_), experts(pass.seed, "second choice", name_);
    for (int64_t t = 0; t < r.index_Nk.rows(); ++t) {
      int32_t* row = r.index_Nk.data<int32_t>() + 3 * t;
      const int64_t at = t * o_.groups + outer.index_Nk.data<int32_t>()[2 * t];
      if (pass.counted_N && pass.counted_N.data<uint8_t>()[t] == 0) std::fill_n(row, 3, -1);
      if (!pass.tape.training()) continue;
      const auto place = static_cast<uint64_t>(pass.first_row + t);
      if (!keeps_second(o_.second, ops::value_at(inner.weight_Nk, 2 * at + 1), experts.uniform(place))) row[1] = -1;
      if (!keeps_second(o_.second, ops::value_at(outer.weight_Nk, 2 * t + 1), groups.uniform(place))) row[2] = -1;
    }
  }

  // CV² of Load(i, j) = Load⁰_i·Load_i(X⁽ⁱ⁾)_j/|X⁽ⁱ⁾|, X⁽ⁱ⁾ the tokens that take group i.
  void load_loss(Pass& pass, const NoisyLogits::Made& outer, const NoisyLogits::Made& inner, const Tensor& group_Nk) const {
    Tape& tape = pass.tape;
    const int64_t n = group_Nk.rows(), groups = o_.groups, group_k = o_.group_k, inner_k = o_.inner_k, each = each_;
    const auto size = [](int64_t count) { return static_cast<size_t>(count); };
    std::vector<double> first(size(groups)), tokens(size(groups)), within(size(experts_)), load(size(experts_)),
        row(size(std::max(outer.both.width(), inner.both.width())));
    for (int64_t t = 0; tape.runs() && t < n; ++t) {
      ops::read_row(outer.both, t, row.data());
      add_load(outer.noise, group_k, t, row.data(), first.data());
      for (int64_t i = 0; i < group_k; ++i) {
        const int64_t g = group_Nk.data<int32_t>()[t * group_k + i];
        ++tokens[size(g)];
        ops::read_row(inner.both, t * groups + g, row.data());
        add_load(inner.noise, inner_k, t * groups + g, row.data(), within.data() + g * each);
      }
    }
    for (double& count : tokens) count = std::max(count, 1.0);  // no tokens: no load within
    for (int64_t e = 0; e < experts_; ++e) load[size(e)] = first[size(e / each)] * within[size(e)] / tokens[size(e / each)];
    const double coefficient = o_.load * pass.loss_scale;
    const ops::SquaredVariation cv = ops::squared_variation(load, sample_);
    std::vector<double> d_first(size(groups)), d_within(size(experts_));
    for (int64_t e = 0; e < experts_; ++e) {
      const double d = coefficient * cv.slope[size(e)] / tokens[size(e / each)];
      d_first[size(e / each)] += d * within[size(e)];
      d_within[size(e)] = d * first[size(e / each)];
    }
    ops::row_loss(tape, "router", outer.both, coefficient * cv.value,
                  [noise = outer.noise, group_k, d_first](int64_t t, const double* in, double* d) { give_load(noise, group_k, t, in, d_first.data(), d); });
    ops::row_loss(tape, "router", inner.both, 0, [=, noise = inner.noise](int64_t at, const double* in, double* d) {
      const int32_t* taken = group_Nk.data<int32_t>() + at / groups * group_k;
      if (std::find(taken, taken + group_k, at % groups) != taken + group_k) give_load(noise, inner_k, at, in, d_within.data() + at % groups * each, d);
    });
  }

  // The mean over groups of each·Σ_j f_ij·P_ij: first choices and mean scores of the tokens whose first group is i.
  double balance_within(Pass& pass, const Tensor& group_N2, const ops::Routing& inner) const {
    Tape& tape = pass.tape;
    const int64_t groups = o_.groups, each = each_;
    std::vector<double> tokens(static_cast<size_t>(groups)), f(static_cast<size_t>(experts_)), score(static_cast<size_t>(each));
    std::vector<double> p = f;
    // Whether a row of the inner level is one of a token and its first group.
    const auto first = [groups, group_N2, counted = pass.counted_N](int64_t at) {
      return group_N2.data<int32_t>()[at / groups * 2] == at % groups && (!counted || counted.data<uint8_t>()[at / groups] != 0);
    };
    for (int64_t at = 0; tape.runs() && at < inner.scores_NE.rows(); ++at) {
      if (!first(at)) continue;
      const int64_t g = at % groups;
      ++tokens[static_cast<size_t>(g)];
      ++f[static_cast<size_t>(g * each + inner.index_Nk.data<int32_t>()[2 * at])];
      ops::read_row(inner.scores_NE, at, score.data());
      for (int64_t j = 0; j < each; ++j) p[static_cast<size_t>(g * each + j)] += score[static_cast<size_t>(j)];
    }
    double value = 0;
    const double share = static_cast<double>(each) / static_cast<double>(groups), coefficient = o_.balance * pass.loss_scale;
    for (size_t e = 0; e < f.size(); ++e) {
      const double count = std::max(tokens[e / static_cast<size_t>(each)], 1.0);
      f[e] *= share / (count * count);  // ∂/∂Σ_t p
      value += f[e] * p[e];
    }
    ops::row_loss(tape, "router", inner.scores_NE, coefficient * value, [=](int64_t at, const double*, double* d) {
      for (int64_t j = 0; j < each && first(at); ++j) d[j] += coefficient * f[static_cast<size_t>(at % groups * each + j)];
    });
    return value;
  }

  // Chosen experts as chosen groups, and as places within every group; where fewer are chosen, the first others fill up.
  void take_apart(Tape& tape, const Tensor& given, Tensor& groups, Tensor& within) const {
    const int64_t n = given.rows(), k = given.width(), inner_k = o_.inner_k;
    groups = tape.empty({n, o_.group_k}, DType::i32);
    within = tape.empty({n * o_.groups, inner_k}, DType::i32);
    std::fill_n(within.data<int32_t>(), within.elements(), -1);
    for (int64_t t = 0; t < n; ++t)
      for (int64_t j = 0; j < k; ++j) {
        const int32_t expert = given.data<int32_t>()[t * k + j];
        const auto [i, place] = slots_[static_cast<size_t>(j)];
        groups.data<int32_t>()[t * o_.group_k + i] = static_cast<int32_t>(expert / each_);
        within.data<int32_t>()[(t * o_.groups + expert / each_) * inner_k + place] = static_cast<int32_t>(expert % each_);
      }
    for (int32_t* row = within.data<int32_t>(); row < within.data<int32_t>() + within.elements(); row += inner_k)
      for (int64_t i = 0; i < inner_k; ++i)
        for (int32_t free = 0; row[i] < 0; ++free)
          if (std::find(row, row + inner_k, free) == row + inner_k) row[i] = free;
  }

  int64_t experts_, each_;
  Levels o_;
  bool sample_;
  LossKeeper losses_;
  std::string name_;
  NoisyLogits outer_, inner_;
  std::vector<std::pair<int64_t, int64_t>> slots_;  // which of the chosen groups, and which of its chosen experts
};

}  // namespace

std::unique_ptr<Router> build_hierarchical(const RouterContext& ctx, Config& cfg) {
  int64_t square = 1;  // the largest divisor up to the square root, unless told
  for (int64_t g = 1; g * g <= ctx.experts; ++g)
    if (ctx.experts % g == 0) square = g;
  Levels o{};
  o.gshard = cfg.take_choice("gating", "noisy_topk", {"noisy_topk", "gshard"}) == "gshard";
  o.groups = cfg.take_in<int64_t>("groups", square, 1, 1 << 16);
  if (ctx.experts % o.groups != 0) cfg.reject("groups", "must divide the " + std::to_string(ctx.experts) + " experts, not be " + std::to_string(o.groups));
  const int64_t each = ctx.experts / o.groups;
  if (o.gshard) {
    if (ctx.k != 3) cfg.reject("gating", "= \"gshard\" takes two experts of a first group and one of a second, but top_k is " + std::to_string(ctx.k));
    if (o.groups < 2 || each < 2) cfg.reject("groups", "must be two or more, of two or more experts");
    o.group_k = o.inner_k = 2;
    o.normalise = true;
    o.noise = {.learned = false, .deviation = 0, .zero_start = false};
    o.second = cfg.take_choice("second", "random_mesh", {"all", "random", "random_mesh"});
    o.balance = cfg.take_in<double>("balance_loss", 0.01, 0, 100);
    return std::make_unique<Hierarchical>(ctx, o, RouterLosses::take(cfg));
  }
  o.group_k = cfg.take_in<int64_t>("group_k", std::min<int64_t>(o.groups, ctx.k % 2 == 0 ? 2 : 1), 1, 1 << 16);
  o.inner_k = ctx.k / o.group_k;
  if (o.group_k > o.groups || ctx.k % o.group_k != 0 || o.inner_k > each)
    cfg.reject("group_k", "is " + std::to_string(o.group_k) + ": of " + std::to_string(o.groups) + " groups of " + std::to_string(each) +
                              " experts that cannot choose " + std::to_string(ctx.k));
  o.normalise = cfg.take<bool>("normalise", true);
  o.noise = NoiseOptions::take(cfg, true);
  const bool noisy = o.noise.learned || o.noise.deviation > 0, chooses = ctx.k < ctx.experts;
  o.load = cfg.take_in<double>("load_loss", noisy && chooses ? 0.01 : 0.0, 0, 100);
  if (o.load > 0 && !noisy) cfg.reject("load_loss", "looks at another draw of the noise, but noise = \"none\"");
  if (o.load > 0 && !chooses) cfg.reject("load_loss", "needs an expert that is not chosen, but top_k is all " + std::to_string(ctx.experts));
  const double balance = cfg.take_in<double>("balance_loss", 0.0, 0, 100);
  return std::make_unique<Hierarchical>(ctx, o, RouterLosses::take(cfg, {.balance = balance, .importance = 0.01}));
}

}  // namespace gamut
