// Channel mixers: what happens at each position.
#pragma once

#include "modules/module.h"
#include "ops/capacity.h"
#include "ops/ffn.h"

namespace gamut {

std::unique_ptr<ChannelMixer> build_ffn(const BuildContext& ctx, Config& options);
std::unique_ptr<ChannelMixer> build_shifted_ffn(const BuildContext& ctx, Config& options);
std::unique_ptr<ChannelMixer> build_moe(const BuildContext& ctx, Config& options);
std::unique_ptr<ChannelMixer> build_shortcut(const BuildContext& ctx, Config& options);
std::unique_ptr<ChannelMixer> build_soft_moe(const BuildContext& ctx, Config& options);

// The options that dense layers and experts share.
struct FfnOptions {
  int64_t hidden;
  kernels::Activation activation;
  bool gated, bias;
  double limit, up_shift;  // of the gated product (kernels/activation.h)
  static FfnOptions take(Config& cfg);
};

// Of the layers that look one position back.
struct ShiftedFfnOptions {
  FfnOptions ffn;
  bool receptance;   // σ(W x_r) on the result
  bool mix_present;  // mixtures are x_prev + (x − x_prev)∘μ, not x + (x_prev − x)∘μ
  static ShiftedFfnOptions take(Config& cfg);
};

// How many slots an expert takes, and who is dropped. [docs of the channel mixer "moe"]
struct DropOptions {
  double factor;          // 0 with slots = 0: dropless
  double factor_later;    // of evaluation and decoding; 0: the same
  int64_t slots, least;   // a fixed number; never fewer
  std::string formula;    // of factor: ceil | floor | tutel | fairseq | tokens
  std::string group;      // batch | sequence | tokens
  int64_t group_tokens;
  ops::DropRule rule;
  bool choices_first, always, skip_padding;
  int64_t devices;        // > 0: experts lie on so many devices, and a device's experts have one limit together
  double exempt;          // share of the sequences of which nothing is dropped in training
  double kept_sum;        // > 0: the kept gates of a token are made to sum to this
  static DropOptions take(Config& cfg);
  bool limited() const { return factor > 0 || slots > 0; }
  bool looks_ahead() const { return limited() && (rule != ops::DropRule::position || choices_first); }
  // Slots of one expert (or device) among `tokens` that compete, each with k choices of `experts` (devices).
  int64_t capacity(int64_t tokens, int64_t k, int64_t experts, bool training = true) const;
};

struct MoeOptions {
  int64_t experts, top_k, shared_hidden;
  int64_t zero_experts, identity_experts, constant_experts;  // routed like the others, after them: they give 0, or x, or a mean of x and a vector
  int64_t latent;          // > 0: routed experts work in a space of so many dimensions, between a projection down and one up
  bool shared_gate;        // σ(w·x) on what the shared expert gives
  bool shared_bias;        // biases in the shared expert
  bool residual;           // softmax(W x + b) weighs the routed and the shared part
  int64_t routed() const { return experts + zero_experts + identity_experts + constant_experts; }
  bool output_bias;        // added to what the mixture gives
  double output_orthogonality;  // coefficient of the squared cosines between what a token's experts give
  bool weigh_input;        // g multiplies an expert's input, not its output
  bool allow_lookahead;
  DropOptions drop;
  FfnOptions expert;
  std::string router;      // kind
  Json router_options;     // the rest of the router's table
  static MoeOptions take(Config& cfg);
};

// Parameters `gate`, `up`, `down` below ctx.prefix (prefixed `name`); experts = 0 makes a dense layer; width 0: the model's.
ops::FfnWeights add_ffn(const BuildContext& ctx, const FfnOptions& options, int64_t experts, double active, const std::string& name = "", int64_t width = 0);

}  // namespace gamut
