// Softmax attention with grouped key/value heads; see attention.cpp.
#pragma once

#include "modules/module.h"

namespace gamut {

struct AttentionOptions {
  int64_t heads, kv_heads, head_dim, rotary, window;
  double rope_theta, norm_eps;
  bool rope, qk_norm, bias, output_bias, interleaved;
  static AttentionOptions take(Config& cfg, const ModelSpec& spec);
};

std::unique_ptr<SequenceMixer> build_attention(const BuildContext& ctx, Config& options);

}  // namespace gamut
