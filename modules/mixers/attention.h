// Softmax attention with grouped key/value heads; see attention.cpp.
#pragma once

#include "modules/module.h"
#include "modules/positions/rope.h"

namespace gamut {

// RMSNorm of queries and keys before rotation: of each head, or of all heads of a position together.
enum class QkNorm : uint8_t { none, head, all };

struct AttentionOptions {
  int64_t heads, kv_heads, head_dim, window;
  double norm_eps;
  double scale;  // of q·k
  QkNorm qk_norm;
  bool rope, bias, output_bias, interleaved, gate;
  RopeOptions rotation;
  static AttentionOptions take(Config& cfg, const ModelSpec& spec);
};

std::unique_ptr<SequenceMixer> build_attention(const BuildContext& ctx, Config& options);

}  // namespace gamut
