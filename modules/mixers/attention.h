// Softmax attention with grouped key/value heads; see attention.cpp.
#pragma once

#include "modules/module.h"
#include "modules/positions/rope.h"

namespace gamut {

// Norm of queries and keys: RMSNorm of each head, or of all heads of a position together; LayerNorm of each head, with a gain for each (layer) or gain and
// bias for all (layer_shared).
enum class QkNorm : uint8_t { none, head, all, layer, layer_shared };

// A learnt bias of scores by distance: a table of this layer's own, or what the last layer that had one made of it.
struct RelativeBiasOptions {
  int64_t buckets = 0, max_distance = 128;
  bool shared = false;
  bool operator==(const RelativeBiasOptions&) const = default;
};

struct AttentionOptions {
  int64_t heads, kv_heads, head_dim, window, chunk;
  double norm_eps;
  double scale;  // of q·k
  QkNorm qk_norm;
  bool norm_rotated;  // after rotation, not before
  bool norm_gain;     // learnt weights of that norm
  bool rope, bias, output_bias, interleaved, gate, gate_bias;
  RopeOptions rotation;
  double alibi;    // exponent of the slopes; 0: none
  double alibi_scale;  // of the slopes
  double softcap;  // of scores; 0: none
  double clip;     // queries, keys and values are cut off at ±clip; 0: nowhere
  bool sinks;
  double temperature;         // > 0: queries are multiplied by 1 + temperature·ln(⌊(position + 1)/temperature_span⌋ + 1) [Llama 4, 2025]
  int64_t temperature_span;
  RelativeBiasOptions relative_bias;
  static AttentionOptions take(Config& cfg, const ModelSpec& spec);
  Json to_json(const ModelSpec& spec) const;  // what take reads back; defaults are left out
  bool operator==(const AttentionOptions&) const = default;
};

std::unique_ptr<SequenceMixer> build_attention(const BuildContext& ctx, Config& options);

}  // namespace gamut
