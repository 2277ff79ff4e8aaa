// Attention of a decoder over what the encoder made of the source: queries from x, keys and values from Pass::encoded_BSD.
// [Vaswani et al. 2017]
#include <cmath>
#include <cstring>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/attention.h"
#include "ops/linear.h"

namespace gamut {
namespace {

// Keys and values of the source, made at the first call and never changed.
class SourceState : public MixerState {
 public:
  SourceState(int64_t batch, int64_t heads, int64_t dim, DType dtype) : batch_(batch), heads_(heads), dim_(dim), dtype_(dtype) {}
  std::unique_ptr<MixerState> clone() const override { return std::make_unique<SourceState>(*this); }
  size_t bytes() const override { return keys ? keys.bytes() + values.bytes() : 0; }
  int64_t length() const override { return seen; }
  bool truncate(int64_t length) override {
    seen = std::min(seen, length);
    return true;
  }
  std::vector<std::byte> to_bytes() const override {
    StateWriter out(seen);
    const int64_t source = keys ? keys.shape()[1] : 0;
    out.put(&source, sizeof source);
    if (keys)
      for (const Tensor* t : {&keys, &values}) out.put(t->raw(), t->bytes());
    return out.take();
  }
  void from_bytes(Tape& tape, std::span<const std::byte> bytes) override {
    int64_t source = 0;
    if (bytes.size() >= 2 * sizeof source) std::memcpy(&source, bytes.data() + sizeof source, sizeof source);
    const size_t position = static_cast<size_t>(batch_ * heads_ * dim_) * size_of(dtype_);
    if (source < 0 || static_cast<size_t>(source) > bytes.size()) source = 0;  // which does not fit
    StateReader in(bytes, sizeof source + 2 * position * static_cast<size_t>(source), 0);
    int64_t again;
    in.take(&again, sizeof again);
    seen = in.length();
    keys = values = Tensor();
    if (source == 0) return;
    for (Tensor* t : {&keys, &values}) {
      *t = tape.empty({batch_, source, heads_, dim_}, dtype_);
      in.take(t->raw(), t->bytes());
    }
  }

  Tensor keys, values;  // [B, S, G, K]; null before the first call
  int64_t seen = 0;

 private:
  int64_t batch_, heads_, dim_;
  DType dtype_;
};

class CrossAttention : public SequenceMixer {
 public:
  CrossAttention(const BuildContext& ctx, Config& cfg) : dtype_(dtype_named(ctx.spec.dtype)) {
    const int64_t d = ctx.spec.width;
    heads_ = cfg.take_in<int64_t>("heads", 4, 1, 65536);
    kv_heads_ = cfg.take_in<int64_t>("kv_heads", heads_, 1, 65536);
    if (heads_ % kv_heads_ != 0) cfg.reject("kv_heads", "must divide heads (" + std::to_string(heads_) + "), not " + std::to_string(kv_heads_));
    head_dim_ = cfg.take_in<int64_t>("head_dim", 0, 0, 65536);
    if (head_dim_ == 0 && d % heads_ != 0) cfg.reject("heads", "must divide width (" + std::to_string(d) + "), not " + std::to_string(heads_), "or give head_dim");
    if (head_dim_ == 0) head_dim_ = d / heads_;
    scale_ = cfg.take_in<double>("scale", 1.0 / std::sqrt(static_cast<double>(head_dim_)), -1e9, 1e9);
    const bool bias = cfg.take<bool>("bias", false);
    const auto projection = [&](const std::string& name, int64_t out, int64_t in, Init init) {
      ops::LinearWeight w{ctx.add(name, {out, in}, Role::matrix, init), Tensor()};
      if (bias) w.bias_N = ctx.add(name + "_bias", {out}, Role::bias, Init::constant(0));
      return w;
    };
    query_ = projection("query", heads_ * head_dim_, d, ctx.matrix());
    key_value_ = {projection("key", kv_heads_ * head_dim_, d, ctx.matrix()), projection("value", kv_heads_ * head_dim_, d, ctx.matrix())};
    output_ = projection("output", d, heads_ * head_dim_, ctx.into_residual());
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch(), t = pass.length();
    auto* state = static_cast<SourceState*>(pass.state);
    Tensor keys = state ? state->keys : Tensor(), values = state ? state->values : Tensor();
    if (!keys) {
      if (!pass.encoded_BSD) throw Error({.who = "cross_attention", .what = "there is no encoded source to look at", .hint = "it is the `cross` of a decoder's layers"});
      const Shape shape{b, pass.encoded_BSD->shape()[1], kv_heads_, head_dim_};
      const std::vector<Tensor> made = ops::linear(tape, *pass.encoded_BSD, key_value_);
      keys = made[0].reshape(shape);
      values = made[1].reshape(shape);
    }
    if (state) {
      state->keys = keys;
      state->values = values;
      state->seen += t;
    }
    const Tensor q = ops::linear(tape, x, query_).reshape({b, t, heads_, head_dim_});
    return ops::linear(tape, ops::attention(tape, q, keys, values, pass.source_visibility, {.scale = scale_}), output_);
  }

  std::unique_ptr<MixerState> start(Tape&, int64_t batch, int64_t) const override { return std::make_unique<SourceState>(batch, kv_heads_, head_dim_, dtype_); }

 private:
  DType dtype_;
  int64_t heads_, kv_heads_, head_dim_;
  double scale_;
  ops::LinearWeight query_, output_;
  std::vector<ops::LinearWeight> key_value_;
};

}  // namespace

std::unique_ptr<SequenceMixer> build_cross_attention(const BuildContext& ctx, Config& cfg) { return std::make_unique<CrossAttention>(ctx, cfg); }

}  // namespace gamut
