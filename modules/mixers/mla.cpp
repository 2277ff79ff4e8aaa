// Multi-head latent attention: keys and values are linear maps of one short latent per position; a part of each key rotates and is
// shared by all heads.
//
// c = norm(W_c·x), k_h = [U_h·c | rot(W_r·x)], v_h = V_h·c; q_h = [nope | rot] of x or of norm(W_q·x); softmax(scale·q·k)·v; output map.
// Only c and the rotated part are kept of earlier positions. Two forms give the same: expanded, keys and values of every position are made;
// absorbed, queries are mapped into the latent space, scores and sums are taken there and mapped out. [DeepSeek-AI, DeepSeek-V2, 2024]
//
// With an indexer each query sees, absorbed, the `keys` positions with the largest Σ_h w_h·ReLU(q_h·k) alone, w = W_w·x, k = rot(LayerNorm(W_k·x)), q of
// what the other queries are made of. A choice has no gradient: training leaves the indexer as it is. [DeepSeek-AI, DeepSeek-V3.2, 2025]
#include "modules/mixers/mla.h"

#include <cmath>
#include <cstring>

#include "modules/state.h"
#include "ops/attention.h"
#include "ops/head_linear.h"
#include "ops/join.h"
#include "ops/linear.h"
#include "ops/map.h"
#include "ops/norm.h"
#include "ops/rotary.h"
#include "ops/sparse_attention.h"

namespace gamut {
namespace {

class Mla : public SequenceMixer {
 public:
  Mla(const BuildContext& ctx, const MlaOptions& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)), rope_(o.rotation, parameter_dtype(dtype_)) {
    const int64_t d = ctx.spec.width, query_in = o.query_rank > 0 ? o.query_rank : d;
    const auto projection = [&](const char* name, int64_t out, int64_t in, bool bias, Init init) {
      ops::LinearWeight w{ctx.add(std::string(name), {out, in}, Role::matrix, init), Tensor()};
      if (bias) w.bias_N = ctx.add(std::string(name) + "_bias", {out}, Role::bias, Init::constant(0));
      return w;
    };
    const auto norm = [&](const char* name, int64_t width) {
      return ops::NormWeight{.eps = o.norm_eps, .gain_D = ctx.add(name, {width}, Role::norm, Init::constant(1))};
    };
    down_ = {projection("latent_down", o.latent, d, o.bias, ctx.matrix()), projection("key_rope", o.rotary, d, o.bias, ctx.matrix())};
    if (o.query_rank > 0) {
      down_.push_back(projection("query_down", o.query_rank, d, o.bias, ctx.matrix()));
      query_norm_ = norm("query_norm", o.query_rank);
    }
    latent_norm_ = norm("latent_norm", o.latent);
    query_ = {projection("query_nope", o.heads * o.nope, query_in, false, ctx.matrix()),
              projection("query_rope", o.heads * o.rotary, query_in, false, ctx.matrix())};
    key_up_ = ctx.add("key_up", {o.heads, o.nope, o.latent}, Role::matrix, ctx.matrix());
    value_up_ = ctx.add("value_up", {o.heads, o.value, o.latent}, Role::matrix, ctx.matrix());
    output_ = projection("output", d, o.heads * o.value, o.bias, ctx.into_residual());
    if (const IndexerOptions& index = o.indexer; index.heads > 0) {
      const auto still = [&](const char* name, int64_t out, int64_t in) {
        return ops::LinearWeight{ctx.add(name, {out, in}, Role::matrix, ctx.matrix(), false), Tensor()};
      };
      index_query_ = still("index_query", index.heads * index.head_dim, query_in);
      index_key_ = still("index_key", index.head_dim, d);
      index_weight_ = still("index_weight", index.heads, d);
      index_norm_ = {.kind = kernels::NormKind::layer,
                     .eps = 1e-6,
                     .gain_D = ctx.add("index_norm", {index.head_dim}, Role::norm, Init::constant(1), false),
                     .bias_D = ctx.add("index_norm_bias", {index.head_dim}, Role::norm, Init::constant(0), false)};
    }
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch(), t = pass.length();
    const std::vector<Tensor> down = ops::linear(tape, x, down_);
    const auto scaled = [&](const Tensor& y, double scale) { return scale == 1 ? y : ops::map(tape, kernels::Formula::scale, {y}, {}, scale); };
    const Tensor latent = scaled(ops::norm(tape, down[0], latent_norm_), o_.latent_scale);
    const Tensor query_in = o_.query_rank > 0 ? scaled(ops::norm(tape, down[2], query_norm_), o_.query_scale) : x;
    const std::vector<Tensor> query = ops::linear(tape, query_in, query_);
    const Tensor q_nope = query[0].reshape({b, t, o_.heads, o_.nope});
    const auto rotated = [&](const Tensor& y, int64_t heads) {
      const Tensor parts = y.reshape({b, t, heads, o_.rotary});
      if (!o_.rope) return parts;
      const RopeTable& table = rope_.table(tape, pass.offset + t);
      return ops::rotary(tape, parts, pass.positions_N, table.cos_MR, table.sin_MR,
                         o_.interleaved ? kernels::RotaryStyle::interleaved : kernels::RotaryStyle::half_split);
    };
    const Tensor q_rope = rotated(query[1], o_.heads), k_rope = rotated(down[1], 1);
    const bool indexed = o_.indexer.heads > 0;
    Tensor mixed;
    if (!pass.state && (!indexed || t <= o_.indexer.keys)) {
      mixed = expanded(pass, q_nope, q_rope, latent, k_rope, t);
    } else {
      Tensor cache = ops::join_heads(tape, latent.reshape({b, t, 1, o_.latent}), k_rope), index_keys;
      if (indexed)
        index_keys =
            quietly(tape, [&](Tape& quiet) { return index_rotated(quiet, pass, ops::norm(quiet, ops::linear(quiet, x, index_key_), index_norm_), 1); });
      int64_t keys = t;
      if (pass.state) {
        auto& state = static_cast<PositionsState&>(*pass.state);
        const std::vector<Tensor>& kept = indexed ? state.append(tape, {cache, index_keys}) : state.append(tape, {cache});
        cache = kept[0];
        if (indexed) index_keys = kept[1];
        keys = state.length();
      }
      if (indexed && keys > o_.indexer.keys) {
        const Tensor chosen = quietly(tape, [&](Tape& quiet) { return choice(quiet, pass, x, query_in, index_keys, keys); });
        const Tensor sums = ops::sparse_attention(tape, in_latent_space(tape, q_nope, q_rope), cache, chosen, o_.latent, o_.score_scale());
        mixed = ops::head_linear(tape, sums.reshape({b, t, o_.heads, o_.latent}), value_up_, ops::Side::forward);
      } else if (absorbing_costs_less(t, keys)) {
        mixed = absorbed(pass, q_nope, q_rope, cache, keys);
      } else {
        const auto [all, ropes] = apart(tape, cache, keys);
        mixed = expanded(pass, q_nope, q_rope, all, ropes, keys);
      }
    }
    return ops::linear(tape, mixed.reshape({b, t, o_.heads * o_.value}), output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t capacity) const override {
    std::vector<Shape> kept{{batch, capacity, 1, o_.latent + o_.rotary}};
    if (o_.indexer.heads > 0) kept.push_back({batch, capacity, 1, o_.indexer.head_dim});
    return std::make_unique<PositionsState>(tape, kept, dtype_);
  }

 private:
  // Keys and values of the `keys` positions of latent [B, S, L] and k_rope [B, S, 1, R].
  Tensor expanded(Pass& pass, const Tensor& q_nope, const Tensor& q_rope, const Tensor& latent, const Tensor& k_rope, int64_t keys) {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch();
    const std::vector<Tensor> up = ops::linear(tape, latent,
                                               std::array{ops::LinearWeight{key_up_.reshape({o_.heads * o_.nope, o_.latent}), Tensor()},
                                                          ops::LinearWeight{value_up_.reshape({o_.heads * o_.value, o_.latent}), Tensor()}});
    const Tensor q = ops::join_heads(tape, q_nope, q_rope), k = ops::join_heads(tape, up[0].reshape({b, keys, o_.heads, o_.nope}), k_rope);
    return ops::attention(tape, q, k, up[1].reshape({b, keys, o_.heads, o_.value}), pass.visibility, {.scale = o_.score_scale()}, pass.offset);
  }

  Tensor in_latent_space(Tape& tape, const Tensor& q_nope, const Tensor& q_rope) const {
    return ops::join_heads(tape, ops::head_linear(tape, q_nope, key_up_, ops::Side::backward), q_rope);
  }

  // Without a record for gradients.
  template <class Make> static Tensor quietly(Tape& tape, const Make& make) {
    Tape quiet(tape.device(), Tape::Mode::inference);
    const Tensor made = make(quiet);
    for (const auto& [name, cost] : quiet.ledger()) tape.count(name.c_str(), cost);
    return made;
  }
  Tensor index_rotated(Tape& tape, const Pass& pass, const Tensor& y, int64_t heads) {
    const Tensor parts = y.reshape({pass.batch(), pass.length(), heads, o_.indexer.head_dim});
    if (!o_.rope) return parts;
    const RopeTable& table = rope_.table(tape, pass.offset + pass.length());
    return ops::rotary(tape, parts, pass.positions_N, table.cos_MR, table.sin_MR,
                       o_.indexer.interleaved ? kernels::RotaryStyle::interleaved : kernels::RotaryStyle::half_split);
  }
  // What each query sees, of `keys` positions. The factors that all scores share do not matter.
  Tensor choice(Tape& tape, const Pass& pass, const Tensor& x, const Tensor& query_in, const Tensor& index_keys, int64_t keys) {
    return ops::choose_keys(tape, index_rotated(tape, pass, ops::linear(tape, query_in, index_query_), o_.indexer.heads),
                            ops::linear(tape, x, index_weight_, parameter_dtype(dtype_)), index_keys, keys, pass.visibility, pass.offset, o_.indexer.keys);
  }

  // One key of all heads for each position: the cache's rows [B, capacity, 1, L + R], whose first L are the value, too.
  Tensor absorbed(Pass& pass, const Tensor& q_nope, const Tensor& q_rope, const Tensor& cache, int64_t keys) {
    Tape& tape = pass.tape;
    const Tensor sums = ops::attention(tape, in_latent_space(tape, q_nope, q_rope), cache, Tensor(), pass.visibility, {.scale = o_.score_scale()}, pass.offset,
                                       keys, o_.latent);
    return ops::head_linear(tape, sums.reshape({pass.batch(), pass.length(), o_.heads, o_.latent}), value_up_, ops::Side::forward);
  }

  // Multiplications of one head. A decoding step absorbs; a long piece of a prompt makes its keys and values once.
  bool absorbing_costs_less(int64_t queries, int64_t keys) const {
    const int64_t maps = (o_.nope + o_.value) * o_.latent;
    return queries * (maps + keys * (2 * o_.latent + o_.rotary)) <= keys * maps + queries * keys * (o_.nope + o_.rotary + o_.value);
  }

  // The cache's rows in use as [B, S, L] and [B, S, 1, R].
  std::pair<Tensor, Tensor> apart(Tape& tape, const Tensor& cache, int64_t keys) const {
    const int64_t b = cache.shape()[0], capacity = cache.shape()[1];
    std::pair<Tensor, Tensor> out{tape.empty({b, keys, o_.latent}, dtype_), tape.empty({b, keys, 1, o_.rotary}, dtype_)};
    const size_t element = size_of(dtype_), left = static_cast<size_t>(o_.latent) * element, right = static_cast<size_t>(o_.rotary) * element;
    if (tape.runs())
      for (int64_t i = 0; i < b * keys; ++i) {
        const std::byte* row = cache.raw() + static_cast<size_t>(i / keys * capacity + i % keys) * (left + right);
        std::memcpy(out.first.raw() + static_cast<size_t>(i) * left, row, left);
        std::memcpy(out.second.raw() + static_cast<size_t>(i) * right, row + left, right);
      }
    return out;
  }

  MlaOptions o_;
  DType dtype_;
  std::vector<ops::LinearWeight> down_, query_;  // latent, rotating key, ? query; queries' parts
  ops::NormWeight query_norm_, latent_norm_;
  Tensor key_up_, value_up_;  // [H, K, L], [H, V, L]
  ops::LinearWeight output_;
  ops::LinearWeight index_query_, index_key_, index_weight_;  // ? of the indexer
  ops::NormWeight index_norm_;
  Rope rope_;
};

}  // namespace

double MlaOptions::score_scale() const {
  const double stretch = mscale != 0 && rotation.scaling.factor > 1 ? 0.1 * mscale * std::log(rotation.scaling.factor) + 1 : 1;
  return stretch * stretch / std::sqrt(static_cast<double>(nope + rotary));
}

MlaOptions MlaOptions::take(Config& cfg, const ModelSpec& spec) {
  MlaOptions o{};
  o.heads = cfg.take_in<int64_t>("heads", 4, 1, 65536);
  o.nope = cfg.take_in<int64_t>("nope", std::max<int64_t>(spec.width / o.heads, 1), 1, 65536);
  o.rotary = cfg.take_in<int64_t>("rotary", (o.nope / 2 + 1) / 2 * 2, 2, 65536);
  if (o.rotary % 2 != 0) cfg.reject("rotary", "must be even, not " + std::to_string(o.rotary));
  o.value = cfg.take_in<int64_t>("value", o.nope, 1, 65536);
  o.latent = cfg.take_in<int64_t>("latent", 4 * o.nope, 1, 1 << 20);
  o.query_rank = cfg.take_in<int64_t>("query_rank", 0, 0, 1 << 20);
  o.bias = cfg.take<bool>("bias", false);
  o.norm_eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1);
  o.query_scale = cfg.take_in<double>("query_scale", 1.0, -1e9, 1e9);
  o.latent_scale = cfg.take_in<double>("latent_scale", 1.0, -1e9, 1e9);
  o.rope = cfg.take<bool>("rope", true);
  o.interleaved = cfg.take<bool>("rope_interleaved", false);
  o.rotation.rotary = o.rotary;
  o.rotation.theta = cfg.take_in<double>("rope_theta", 10000.0, 1e-9, 1e30);
  Config scaling = cfg.sub("rope_scaling");
  o.rotation.scaling = RopeScaling::take(scaling);
  scaling.finish();
  o.mscale = cfg.take_in<double>("mscale", 0.0, -1e6, 1e6);
  Config indexer = cfg.sub("indexer");
  o.indexer.heads = indexer.take_in<int64_t>("heads", 0, 0, 65536);
  o.indexer.head_dim = indexer.take_in<int64_t>("head_dim", o.indexer.head_dim, 1, 65536);
  o.indexer.keys = indexer.take_in<int64_t>("keys", o.indexer.keys, 1, 1 << 24);
  o.indexer.interleaved = indexer.take<bool>("interleaved", false);
  if (o.indexer.heads > 0 && o.indexer.head_dim < o.rotary)
    indexer.reject("head_dim", "must be at least rotary (" + std::to_string(o.rotary) + "), not " + std::to_string(o.indexer.head_dim));
  indexer.finish();
  return o;
}

Json MlaOptions::to_json(const ModelSpec& spec) const {
  Json out = {{"heads", heads}, {"nope", nope}, {"rotary", rotary}, {"value", value}, {"latent", latent}};
  const auto differs = [&](const char* key, const auto& given, const auto& usual) {
    if (given != usual) out[key] = given;
  };
  differs("query_rank", query_rank, int64_t{0});
  differs("bias", bias, false);
  differs("norm_eps", norm_eps, spec.norm_eps);
  differs("query_scale", query_scale, 1.0);
  differs("latent_scale", latent_scale, 1.0);
  differs("rope", rope, true);
  differs("rope_interleaved", interleaved, false);
  differs("rope_theta", rotation.theta, 10000.0);
  if (rotation.scaling.kind != "none") out["rope_scaling"] = rotation.scaling.to_json();
  differs("mscale", mscale, 0.0);
  if (indexer.heads > 0) {
    out["indexer"] = {{"heads", indexer.heads}, {"head_dim", indexer.head_dim}, {"keys", indexer.keys}};
    if (indexer.interleaved) out["indexer"]["interleaved"] = true;
  }
  return out;
}

std::unique_ptr<SequenceMixer> build_mla(const BuildContext& ctx, Config& cfg) { return std::make_unique<Mla>(ctx, MlaOptions::take(cfg, ctx.spec)); }

}  // namespace gamut
