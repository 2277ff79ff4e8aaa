// Channel mixers: what happens at each position.
#pragma once

#include "modules/module.h"
#include "ops/ffn.h"

namespace gamut {

std::unique_ptr<ChannelMixer> build_ffn(const BuildContext& ctx, Config& options);
std::unique_ptr<ChannelMixer> build_shifted_ffn(const BuildContext& ctx, Config& options);
std::unique_ptr<ChannelMixer> build_moe(const BuildContext& ctx, Config& options);

// The options that dense layers and experts share.
struct FfnOptions {
  int64_t hidden;
  kernels::Activation activation;
  bool gated, bias;
  static FfnOptions take(Config& cfg);
};

struct MoeOptions {
  int64_t experts, top_k, shared_hidden;
  double capacity_factor;  // 0: dropless
  bool shared_gate;        // σ(w·x) on what the shared expert gives
  FfnOptions expert;
  std::string router;      // kind
  Json router_options;     // the rest of the router's table
  static MoeOptions take(Config& cfg);
};

// Parameters `gate`, `up`, `down` below ctx.prefix (prefixed `name`); experts = 0 makes a dense layer.
ops::FfnWeights add_ffn(const BuildContext& ctx, const FfnOptions& options, int64_t experts, double active, const std::string& name = "");

}  // namespace gamut
