// T5 and its kin: RMSNorm before each part, attention without scale whose scores have a learnt bias by distance, no biases.
#pragma once

#include "families/encoder_decoder.h"

namespace gamut {

// Where the families differ; the numbers are transformers' class defaults.
struct TextToTextDialect {
  const char *model_type, *architecture;
  int64_t vocab = 32128, width = 512, hidden = 2048, layers = 6, heads = 8;
  const char* projection = "relu";  // feed_forward_proj
  // Hidden states are multiplied by width^-½ before the head: as scale_decoder_outputs says and else where the embedding is tied, where it is tied, or never.
  enum class Scale { key, tied, never } scale = Scale::tied;
  bool own_bias = false;            // every layer has its own bias by distance; else the first layer's is shared
  bool experts = false;             // some layers are mixtures of experts
};

ModelSpec read_text_to_text(Config& cfg, const TextToTextDialect& dialect);
Family::Written write_text_to_text(const ModelSpec& spec, const TextToTextDialect& dialect);
std::vector<StoredTensor> text_to_text_tensors(const Model& model, const TextToTextDialect& dialect);
bool text_to_text_ignores(const ModelSpec& spec, const std::string& tensor);
// A head of its own is in the file or not, whatever config.json says.
void complete_text_to_text(ModelSpec& spec, const SafetensorsReader& file);

}  // namespace gamut
