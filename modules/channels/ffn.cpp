#include "modules/channels/channels.h"

namespace gamut {
namespace {

class Ffn : public ChannelMixer {
 public:
  explicit Ffn(ops::FfnWeights weights) : weights_(std::move(weights)) {}
  Tensor forward(Pass& pass, const Tensor& x) override { return ops::ffn(pass.tape, x, weights_); }

 private:
  ops::FfnWeights weights_;
};

}  // namespace

FfnOptions FfnOptions::take(Config& cfg) {
  FfnOptions o{};
  o.hidden = cfg.take_in<int64_t>("hidden", 1, int64_t{1} << 24);
  o.activation = activation_option(cfg, "activation", "silu");
  o.gated = cfg.take<bool>("gated", true);
  o.bias = cfg.take<bool>("bias", false);
  o.limit = cfg.take_in<double>("limit", 0.0, 0, 1e6);
  o.up_shift = cfg.take_in<double>("up_shift", 0.0, -1e6, 1e6);
  if (!o.gated && (o.limit > 0 || o.up_shift != 0)) cfg.reject(o.limit > 0 ? "limit" : "up_shift", "belongs to gated layers");
  return o;
}

ops::FfnWeights add_ffn(const BuildContext& ctx, const FfnOptions& o, int64_t experts, double active, const std::string& name, int64_t width) {
  const int64_t d = width > 0 ? width : ctx.spec.width, h = o.hidden;
  const auto shape = [&](int64_t n, int64_t k) { return experts > 0 ? Shape{experts, n, k} : Shape{n, k}; };
  const auto row = [&](int64_t n) { return experts > 0 ? Shape{experts, n} : Shape{n}; };
  const auto add = [&](const std::string& what, const Shape& of, Role role, Init init, double share) {
    return ctx.add(what, of, role, init, true, share, experts > 0 && name.empty());
  };
  ops::FfnWeights w{.activation = o.activation, .limit = o.limit, .up_shift = o.up_shift};
  w.gate = add(name + "gate", shape(h, d), Role::matrix, ctx.matrix(), active);
  if (o.gated) w.up = add(name + "up", shape(h, d), Role::matrix, ctx.matrix(), active);
  w.down = add(name + "down", shape(d, h), Role::matrix, ctx.into_residual(), active);
  if (o.bias) {
    w.gate_bias = add(name + "gate_bias", row(h), Role::bias, Init::constant(0), active);
    if (o.gated) w.up_bias = add(name + "up_bias", row(h), Role::bias, Init::constant(0), active);
    w.down_bias = add(name + "down_bias", row(d), Role::bias, Init::constant(0), active);
  }
  return w;
}

std::unique_ptr<ChannelMixer> build_ffn(const BuildContext& ctx, Config& cfg) {
  return std::make_unique<Ffn>(add_ffn(ctx, FfnOptions::take(cfg), 0, 1));
}

}  // namespace gamut
