// BART and its kin: LayerNorm, multi-head attention and plain feed-forward layers (or mixtures of such) with biases, one embedding for both stacks and the head.
#pragma once

#include "families/encoder_decoder.h"

namespace gamut {

// Where the families differ; the numbers are transformers' class defaults.
struct BartDialect {
  const char *model_type, *architecture;
  NormPlacement placement = NormPlacement::post;
  bool embedding_norm = true;           // layernorm_embedding of each stack
  const char* activation = "gelu";
  int32_t start = 2, end = 2, pad = 1;  // decoder_start_token_id, eos_token_id and pad_token_id where the file has none; pad is written
  int64_t vocab = 50265;
  bool scaled = false;             // scale_embedding
  // Of positions: learned; or sinusoidal, and in M2M's from the row behind pad_token_id's on.
  const char* positions = "learned";
  bool logits_bias = true;         // final_logits_bias
  bool sparse = false;             // some feed-forward layers are mixtures of experts
  // Names in a layer.
  const char *cross = "encoder_attn", *ffn = "", *channel_norm = "final_layer_norm";
};
// Both stacks and the head share one embedding, fixed positions may be stored: these are not needed.

ModelSpec read_bart(Config& cfg, const BartDialect& dialect);
Family::Written write_bart(const ModelSpec& spec, const BartDialect& dialect);
std::vector<StoredTensor> bart_tensors(const Model& model, const BartDialect& dialect);
bool bart_ignores(const ModelSpec& spec, const std::string& tensor);

}  // namespace gamut
