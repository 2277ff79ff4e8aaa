// BART and its kin: LayerNorm, multi-head attention and plain feed-forward layers with biases, one embedding for both stacks and the head.
#pragma once

#include "families/encoder_decoder.h"

namespace gamut {

// Where the families differ; the numbers are transformers' class defaults.
struct BartDialect {
  const char *model_type, *architecture;
  NormPlacement placement = NormPlacement::post;
  bool embedding_norm = true;           // layernorm_embedding of each stack
  const char* activation = "gelu";
  int32_t start = 2, end = 2, pad = 1;  // decoder_start_token_id and eos_token_id where the file has none; pad_token_id in files that are written
};

ModelSpec read_bart(Config& cfg, const BartDialect& dialect);
Family::Written write_bart(const ModelSpec& spec, const BartDialect& dialect);
std::vector<StoredTensor> bart_tensors(const Model& model, const BartDialect& dialect);
bool bart_ignores(const ModelSpec& spec, const std::string& tensor);

}  // namespace gamut
