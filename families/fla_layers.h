// What models in the folders of flash-linear-attention share: keys of the skeleton, tensor names, and what says how, not what, is computed.
#pragma once

#include "families/decoder.h"

namespace gamut {

// Numbers are the classes' defaults.
struct FlaSizes {
  int64_t width = 2048, layers = 24, ratio = 4;  // ratio: of the feed-forward layers' width, if no intermediate_size says it
};
// All keys but the mixer's. Every layer has it: it is d.other, which `mixer` reads and writes.
void fla_keys(Keys& k, PlainDecoder& d, const FlaSizes& sizes, void (*mixer)(Keys& k, PlainDecoder& d));
// When writing: Error unless every layer has the mixer `kind`.
void fla_needs(Keys& k, const PlainDecoder& d, const char* kind);
// expand_k, expand_v: width of all heads together as a multiple of the model's.
void fla_expansion(Keys& k, const PlainDecoder& d, const char* key, int64_t heads, int64_t& head_dim, double fallback);
// What mixers without convolutions refuse: fewer heads of keys, a feature map, no gate or norm, or a norm under another name.
void fla_plain_heads(Keys& k, int64_t heads);
// A projection, its convolution if there is one, and others by the same name below `theirs`.
void name_fla_projections(NameMap& map, const std::string& theirs, const std::string& ours);

inline constexpr DecoderNames kFlaNames{.embedding = "model.embeddings", .mixer_norm = "attn_norm", .channel_norm = "mlp_norm"};

}  // namespace gamut
