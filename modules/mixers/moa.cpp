// Mixture of attention heads: an expert is a map to queries and one back from what they find; keys and values are common to all.
// [Zhang et al., Mixture of attention heads, 2022; Shen et al., JetMoE, 2024]
#include <algorithm>
#include <cmath>

#include "modules/channels/routers/router.h"
#include "modules/mixers/mixers.h"
#include "modules/positions/rope.h"
#include "modules/state.h"
#include "ops/add.h"
#include "ops/attention.h"
#include "ops/constant.h"
#include "ops/expert_linear.h"
#include "ops/linear.h"
#include "ops/map.h"
#include "ops/rotary.h"
#include "ops/rowwise.h"
#include "ops/slots.h"

namespace gamut {
namespace {

// Column j of what a token's choices are, and of their gates.
Tensor choice(Tape& tape, const Tensor& index_Nk, int64_t j) {
  const Tensor out = tape.empty({index_Nk.rows(), 1}, DType::i32);
  if (tape.runs())
    for (int64_t t = 0; t < out.elements(); ++t) out.data<int32_t>()[t] = index_Nk.data<int32_t>()[t * index_Nk.width() + j];
  return out;
}
Tensor gate(Tape& tape, const Tensor& weight_Nk, int64_t j) {
  return ops::rowwise(
      tape, "router", weight_Nk, 1, [j](int64_t, const double* in, double* out) { out[0] = in[j]; },
      [j](int64_t, const double*, const double* d, double* d_in) { d_in[j] = d[0]; });
}

class AttentionExperts : public SequenceMixer {
 public:
  AttentionExperts(const BuildContext& ctx, const MoaOptions& o)
      : o_(o), dtype_(dtype_named(ctx.spec.dtype)), rope_({.rotary = o.head_dim, .theta = o.theta, .scaling = o.scaling}, parameter_dtype(dtype_)) {
    const int64_t d = ctx.spec.width, inner = o.heads * o.head_dim;
    const double active = static_cast<double>(o.top_k) / static_cast<double>(o.experts);
    query_ = ctx.add("query", {o.experts, inner, d}, Role::matrix, ctx.matrix(), true, active);
    key_value_ = {{ctx.add("key", {inner, d}, Role::matrix, ctx.matrix()), Tensor()}, {ctx.add("value", {inner, d}, Role::matrix, ctx.matrix()), Tensor()}};
    output_ = ctx.add("output", {o.experts, d, inner}, Role::matrix, ctx.into_residual(), true, active);
    if (o.bias) bias_ = ctx.add("output_bias", {d}, Role::bias, Init::constant(0));
    Json keys{{"normalise", true}, {"balance", o.pooled > 0 ? "pooled" : "none"}};
    if (o.pooled > 0) keys["balance_loss"] = o.pooled;
    Config router(keys);
    router_ = build_topk({ctx, o.experts, o.top_k}, router);
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch(), t = pass.length(), n = b * t, inner = o_.heads * o_.head_dim;
    const ops::Routing routing = router_->route(pass, x);
    // The loss pooled over layers meets these scores as those of the mixture and as those of its router. [transformers' JetMoE]
    if (o_.pooled > 0 && tape.training()) pass.pooled.push_back(pass.pooled.back());
    std::vector<Tensor> kv = ops::linear(tape, x, key_value_);
    for (Tensor& one : kv) one = one.reshape({b, t, o_.heads, o_.head_dim});
    const RopeTable& table = rope_.table(tape, pass.offset + t);
    const auto turned = [&](const Tensor& heads) {
      return ops::rotary(tape, heads, pass.positions_N, table.cos_MR, table.sin_MR, kernels::RotaryStyle::half_split);
    };
    kv[0] = turned(kv[0]);
    int64_t seen = t;
    if (auto* state = static_cast<PositionsState*>(pass.state)) {
      kv = state->append(tape, {kv[0], kv[1]});
      seen = state->length();
    }
    Tensor y;
    for (int64_t j = 0; j < o_.top_k; ++j) {
      const Tensor expert = choice(tape, routing.index_Nk, j);
      const Tensor queries = turned(ops::expert_linear(tape, x, expert, query_).reshape({b, t, o_.heads, o_.head_dim}));
      const Tensor found =
          ops::attention(tape, queries, kv[0], kv[1], pass.visibility, {.scale = 1 / std::sqrt(static_cast<double>(o_.head_dim))}, pass.offset, seen);
      const Tensor out =
          ops::weighted_copies(tape, ops::expert_linear(tape, found.reshape({n, inner}), expert, output_), gate(tape, routing.weight_Nk, j)).reshape(x.shape());
      y = y ? ops::add(tape, y, out) : out;
    }
    return bias_ ? ops::map(tape, kernels::Formula::affine, {y}, {one(tape), bias_}) : y;
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t capacity) const override {
    const Shape each{batch, capacity, o_.heads, o_.head_dim};
    return std::make_unique<PositionsState>(tape, std::vector{each, each}, dtype_);
  }

 private:
  Tensor one(Tape& tape) const { return ops::constant(tape, bias_.shape(), bias_.dtype(), 1); }

  MoaOptions o_;
  DType dtype_;
  Rope rope_;
  Tensor query_, output_, bias_;
  std::vector<ops::LinearWeight> key_value_;
  std::unique_ptr<Router> router_;
};

}  // namespace

MoaOptions MoaOptions::take(Config& cfg, const ModelSpec& spec) {
  MoaOptions o{};
  o.experts = cfg.take_in<int64_t>("experts", 8, 1, 1 << 16);
  o.top_k = cfg.take_in<int64_t>("top_k", std::min<int64_t>(2, o.experts), 1, 1 << 16);
  if (o.top_k > o.experts) cfg.reject("top_k", "is " + std::to_string(o.top_k) + ", more than the " + std::to_string(o.experts) + " experts");
  o.heads = cfg.take_in<int64_t>("heads", 4, 1, 65536);
  o.head_dim = cfg.take_in<int64_t>("head_dim", spec.width / o.heads / 2 * 2, 2, 65536);
  if (o.head_dim % 2 != 0) cfg.reject("head_dim", "must be even, not " + std::to_string(o.head_dim));
  o.bias = cfg.take<bool>("bias", false);
  o.theta = cfg.take_in<double>("rope_theta", 10000.0, 1e-9, 1e30);
  o.pooled = cfg.take_in<double>("pooled", 0.0, 0, 100);
  Config scaling = cfg.sub("rope_scaling");
  o.scaling = RopeScaling::take(scaling);
  scaling.finish();
  return o;
}

std::unique_ptr<SequenceMixer> build_moa(const BuildContext& ctx, Config& cfg) {
  return std::make_unique<AttentionExperts>(ctx, MoaOptions::take(cfg, ctx.spec));
}

}  // namespace gamut
