// Multi-head attention with grouped key/value heads: MHA (kv_heads = heads), GQA, MQA (kv_heads = 1).
//
// q, k, v = x·Wᵀ (+ b); optional norm of queries and keys; rotary positions; softmax(q·kᵀ/√K)·v; output map.
// [Vaswani et al. 2017; Shazeer 2019; Ainslie et al., GQA, 2023; Su et al., RoFormer, 2021]
#include "modules/mixers/attention.h"

#include <algorithm>
#include <cmath>

#include "modules/state.h"
#include "ops/attention.h"
#include "ops/linear.h"
#include "ops/map.h"
#include "ops/norm.h"
#include "ops/relative_bias.h"
#include "ops/rotary.h"
#include "ops/slots.h"

namespace gamut {
namespace {

const std::vector<std::string> kQkNorms{"none", "head", "all", "layer", "layer_shared"};  // as QkNorm counts

class Attention : public SequenceMixer {
 public:
  Attention(const BuildContext& ctx, const AttentionOptions& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)), rope_(o.rotation, parameter_dtype(dtype_)) {
    const int64_t d = ctx.spec.width;
    const auto projection = [&](const char* name, int64_t out, int64_t in, bool bias, Init init) {
      ops::LinearWeight w{ctx.add(std::string(name), {out, in}, Role::matrix, init), Tensor()};
      if (bias) w.bias_N = ctx.add(std::string(name) + "_bias", {out}, Role::bias, Init::constant(0));
      return w;
    };
    qkv_ = {projection("query", o.heads * o.head_dim, d, o.bias, ctx.matrix()), projection("key", o.kv_heads * o.head_dim, d, o.bias, ctx.matrix()),
            projection("value", o.kv_heads * o.head_dim, d, o.bias, ctx.matrix())};
    if (o.gate) qkv_.push_back(projection("gate", o.heads * o.head_dim, d, o.gate_bias, ctx.matrix()));
    if (o.qk_norm != QkNorm::none)
      for (const auto& [name, heads] : {std::pair("query_norm", o.heads), std::pair("key_norm", o.kv_heads)}) {
        ops::NormWeight w{.kind = o.qk_norm == QkNorm::layer || o.qk_norm == QkNorm::layer_shared ? kernels::NormKind::layer : kernels::NormKind::rms,
                          .eps = o.norm_eps};
        if (o.norm_gain) w.gain_D = ctx.add(name, {(of_each_head() ? 1 : heads) * o.head_dim}, Role::norm, Init::constant(1));
        if (o.norm_gain && o.qk_norm == QkNorm::layer_shared) w.bias_D = ctx.add(std::string(name) + "_bias", {o.head_dim}, Role::norm, Init::constant(0));
        qk_norm_.push_back(w);
      }
    if (o.relative_bias.buckets > 0) table_ = ctx.add("relative_bias", {o.relative_bias.buckets, o.heads}, Role::bias, Init::normal(ctx.spec.init_std));
    if (o.sinks) sinks_ = ctx.add("sinks", {o.heads}, Role::bias, Init::constant(0));
    output_ = projection("output", d, o.heads * o.head_dim, o.output_bias, ctx.into_residual());
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch(), t = pass.length();
    std::vector<Tensor> qkv = ops::linear(tape, x, qkv_);
    for (size_t i = 0; i < 3; ++i) {
      qkv[i] = qkv[i].reshape({b, t, i == 0 ? o_.heads : o_.kv_heads, o_.head_dim});
      if (!o_.norm_rotated) qkv[i] = normalised(tape, qkv[i], i);
      if (o_.clip > 0) qkv[i] = ops::map(tape, kernels::Formula::clip, {qkv[i]}, {}, -o_.clip, o_.clip);
    }
    if (o_.rope) {
      const RopeTable& table = rope_.table(tape, pass.offset + t);
      const auto style = o_.interleaved ? kernels::RotaryStyle::interleaved : kernels::RotaryStyle::half_split;
      for (size_t i = 0; i < 2; ++i) qkv[i] = ops::rotary(tape, qkv[i], pass.positions_N, table.cos_MR, table.sin_MR, style);
    }
    if (o_.norm_rotated)
      for (size_t i = 0; i < 2; ++i) qkv[i] = normalised(tape, qkv[i], i);
    if (o_.temperature > 0) qkv[0] = tempered(pass, qkv[0]);
    ops::Visibility visibility = pass.visibility;
    if (o_.window > 0) visibility.sight.window = o_.window;
    if (o_.chunk > 0) visibility.sight.chunk = o_.chunk;
    Tensor mixed;
    if (pass.state) {
      auto& state = static_cast<PositionsState&>(*pass.state);
      const std::vector<Tensor>& kept = state.append(tape, {qkv[1], qkv[2]});
      const ops::AttentionScores scores = this->scores(pass, visibility, state.length());
      mixed = ops::attention(tape, qkv[0], kept[0], kept[1], visibility, scores, pass.offset, state.length());
    } else {
      mixed = ops::attention(tape, qkv[0], qkv[1], qkv[2], visibility, scores(pass, visibility, t), pass.offset);
    }
    if (o_.gate) mixed = ops::map(tape, kernels::Formula::sigmoid_gate, {mixed.reshape(qkv[3].shape()), qkv[3]});
    return ops::linear(tape, mixed, output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t capacity) const override {
    const Shape each{batch, capacity, o_.kv_heads, o_.head_dim};
    return std::make_unique<PositionsState>(tape, std::vector{each, each}, dtype_);
  }

 private:
  bool of_each_head() const { return o_.qk_norm == QkNorm::head || o_.qk_norm == QkNorm::layer_shared; }  // with the same weights

  Tensor normalised(Tape& tape, const Tensor& heads, size_t i) const {  // of queries (0), keys (1) and values (2)
    if (i >= qk_norm_.size()) return heads;
    const Shape shape = heads.shape();
    if (o_.qk_norm == QkNorm::layer) {
      const Tensor out = ops::norm(tape, heads, {.kind = qk_norm_[i].kind, .eps = qk_norm_[i].eps});
      if (!qk_norm_[i].gain_D) return out;
      return ops::map(tape, kernels::Formula::times_vector, {out.reshape({shape[0], shape[1], shape[2] * shape[3]})}, {qk_norm_[i].gain_D}).reshape(shape);
    }
    return of_each_head() ? ops::norm(tape, heads, qk_norm_[i])
                          : ops::norm(tape, heads.reshape({shape[0], shape[1], shape[2] * shape[3]}), qk_norm_[i]).reshape(shape);
  }

  Tensor tempered(const Pass& pass, const Tensor& queries) const {
    Tape& tape = pass.tape;
    const int64_t n = pass.positions_N.elements();
    const Tensor factor = tape.empty({n, 1}, parameter_dtype(dtype_));
    if (tape.runs())
      for (int64_t i = 0; i < n; ++i) {
        const int64_t reached = (pass.positions_N.data<int32_t>()[i] + int64_t{1}) / o_.temperature_span;
        const double value = 1 + o_.temperature * std::log1p(static_cast<double>(reached));
        if (factor.dtype() == DType::f64) factor.data<double>()[i] = value;
        else factor.data<float>()[i] = static_cast<float>(value);
      }
    return ops::weighted_copies(tape, queries.reshape({n, o_.heads * o_.head_dim}), factor).reshape(queries.shape());
  }

  ops::AttentionScores scores(Pass& pass, const ops::Visibility& visibility, int64_t keys) const {
    ops::AttentionScores scores{.scale = o_.scale, .softcap = o_.softcap, .sink_H = sinks_};
    const ops::Distances distances = ops::occurring_distances(visibility, pass.length(), keys, pass.offset);
    if (o_.alibi > 0) scores.bias = ops::alibi(pass.tape, o_.heads, distances, parameter_dtype(dtype_), o_.alibi, o_.alibi_scale);
    if (table_) pass.relative_bias = ops::relative_bias(pass.tape, table_, distances, o_.relative_bias.max_distance, !visibility.sight.causal);
    if (table_ || o_.relative_bias.shared) scores.bias = pass.relative_bias;
    if (o_.relative_bias.shared && !scores.bias.value_HR)
      throw Error({.who = "attention", .what = "layer " + std::to_string(pass.layer) + " shares a relative bias, but no layer before it has one", .hint = "relative_bias = {buckets = 32} in the first layer"});
    return scores;
  }

  AttentionOptions o_;
  DType dtype_;
  std::vector<ops::LinearWeight> qkv_;  // and the gate
  ops::LinearWeight output_;
  std::vector<ops::NormWeight> qk_norm_;
  Tensor table_, sinks_;
  Rope rope_;
};

}  // namespace

AttentionOptions AttentionOptions::take(Config& cfg, const ModelSpec& spec) {
  AttentionOptions o{};
  o.heads = cfg.take_in<int64_t>("heads", 4, 1, 65536);
  o.kv_heads = cfg.take_in<int64_t>("kv_heads", o.heads, 1, 65536);
  if (o.heads % o.kv_heads != 0) cfg.reject("kv_heads", "must divide heads (" + std::to_string(o.heads) + "), not " + std::to_string(o.kv_heads));
  o.head_dim = cfg.take_in<int64_t>("head_dim", 0, 0, 65536);
  if (o.head_dim == 0) {
    if (spec.width % o.heads != 0)
      cfg.reject("heads", "must divide width (" + std::to_string(spec.width) + "), not " + std::to_string(o.heads), "or give head_dim");
    o.head_dim = spec.width / o.heads;
  }
  o.rope = cfg.take<bool>("rope", true);
  o.rotation.theta = cfg.take_in<double>("rope_theta", 10000.0, 1e-9, 1e30);
  if (o.rope || cfg.has("rotary")) o.rotation.rotary = cfg.take_in<int64_t>("rotary", o.head_dim / 2 * 2, 2, o.head_dim);
  if (o.rope && o.rotation.rotary % 2 != 0) cfg.reject("rotary", "must be even, not " + std::to_string(o.rotation.rotary));
  Config scaling = cfg.sub("rope_scaling");
  o.rotation.scaling = RopeScaling::take(scaling);
  scaling.finish();
  o.interleaved = cfg.take<bool>("rope_interleaved", false);
  o.window = cfg.take_in<int64_t>("window", 0, 0, int64_t{1} << 40);
  o.chunk = cfg.take_in<int64_t>("chunk", 0, 0, int64_t{1} << 40);
  const std::string qk_norm = cfg.take_choice("qk_norm", kQkNorms[0], kQkNorms);
  o.qk_norm = static_cast<QkNorm>(std::find(kQkNorms.begin(), kQkNorms.end(), qk_norm) - kQkNorms.begin());
  o.norm_rotated = cfg.take<bool>("norm_rotated", false);
  o.norm_gain = cfg.take<bool>("norm_gain", true);
  o.temperature = cfg.take_in<double>("temperature", 0, 0, 1e6);
  o.temperature_span = cfg.take_in<int64_t>("temperature_span", 8192, 1, int64_t{1} << 40);
  o.norm_eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1);
  o.scale = cfg.take_in<double>("scale", 1.0 / std::sqrt(static_cast<double>(o.head_dim)), -1e9, 1e9);
  o.bias = cfg.take<bool>("bias", false);
  o.output_bias = cfg.take<bool>("output_bias", o.bias);
  o.gate = cfg.take<bool>("gate", false);
  o.gate_bias = cfg.take<bool>("gate_bias", o.gate && o.bias);
  o.alibi = cfg.take_in<double>("alibi", 0, 0, 1e6);
  o.alibi_scale = cfg.take_in<double>("alibi_scale", 1, 0, 1e6);
  o.softcap = cfg.take_in<double>("softcap", 0, 0, 1e9);
  o.sinks = cfg.take<bool>("sinks", false);
  o.clip = cfg.take_in<double>("clip", 0, 0, 1e9);
  Config relative = cfg.sub("relative_bias");
  RelativeBiasOptions& bias = o.relative_bias;
  bias.shared = relative.take<bool>("shared", false);
  if (!bias.shared && cfg.has("relative_bias")) {
    bias.buckets = relative.take_in<int64_t>("buckets", 32, 4, 1 << 20);
    bias.max_distance = relative.take_in<int64_t>("max_distance", 128, 1, int64_t{1} << 30);
    if (bias.buckets % 4 != 0) relative.reject("buckets", "must be a multiple of 4, not " + std::to_string(bias.buckets));
    if (bias.max_distance <= bias.buckets / 2) relative.reject("max_distance", "must be more than half of the buckets");
  }
  relative.finish();
  if (o.alibi > 0 && cfg.has("relative_bias")) cfg.reject("alibi", "and relative_bias exclude each other");
  return o;
}

Json AttentionOptions::to_json(const ModelSpec& spec) const {
  Json out = {{"heads", heads}, {"kv_heads", kv_heads}, {"head_dim", head_dim}};
  const auto differs = [&](const char* key, const auto& value, const auto& usual) {
    if (value != usual) out[key] = value;
  };
  differs("rope", rope, true);
  if (rope) {
    out["rope_theta"] = rotation.theta;
    differs("rotary", rotation.rotary, head_dim / 2 * 2);
    if (rotation.scaling.kind != "none") out["rope_scaling"] = rotation.scaling.to_json();
  }
  differs("rope_interleaved", interleaved, false);
  differs("window", window, int64_t{0});
  differs("chunk", chunk, int64_t{0});
  if (qk_norm != QkNorm::none) out["qk_norm"] = kQkNorms[static_cast<size_t>(qk_norm)];
  differs("norm_rotated", norm_rotated, false);
  differs("norm_gain", norm_gain, true);
  differs("temperature", temperature, 0.0);
  if (temperature > 0) differs("temperature_span", temperature_span, int64_t{8192});
  differs("norm_eps", norm_eps, spec.norm_eps);
  differs("scale", scale, 1.0 / std::sqrt(static_cast<double>(head_dim)));
  differs("bias", bias, false);
  differs("output_bias", output_bias, bias);
  differs("gate", gate, false);
  differs("gate_bias", gate_bias, gate && bias);
  differs("alibi", alibi, 0.0);
  if (alibi > 0) differs("alibi_scale", alibi_scale, 1.0);
  differs("softcap", softcap, 0.0);
  differs("sinks", sinks, false);
  differs("clip", clip, 0.0);
  if (relative_bias.shared) out["relative_bias"] = {{"shared", true}};
  else if (relative_bias.buckets > 0) out["relative_bias"] = {{"buckets", relative_bias.buckets}, {"max_distance", relative_bias.max_distance}};
  return out;
}

std::unique_ptr<SequenceMixer> build_attention(const BuildContext& ctx, Config& cfg) {
  return std::make_unique<Attention>(ctx, AttentionOptions::take(cfg, ctx.spec));
}

}  // namespace gamut
