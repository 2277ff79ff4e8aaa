// What encoder-decoder families share.
#pragma once

#include "families/skeleton.h"
#include "modules/channels/channels.h"

namespace gamut {

// decoder_start_token_id and eos_token_id (defaults where the file has none), as the objective seq2seq with them.
Component take_seq2seq(Config& cfg, int32_t start, int32_t end);
// The same two into `config`, as far as the spec's objective knows them.
void write_seq2seq(const ModelSpec& spec, Json& config);

// What no encoder-decoder family expresses; empty: nothing.
std::string beyond_encoder_decoder(const ModelSpec& spec);

// The options of a layer's attention and of a cross-attention, read as the mixers do.
AttentionOptions mixer_options(const ModelSpec& spec, const Component& mixer);

// Where a stack's parameters are, and where its tensors are in files.
struct StackNames {
  bool encoder;
  std::string theirs, ours;
  const std::vector<LayerSpec>& layers;
};
std::vector<StackNames> stacks(const ModelSpec& spec, const std::string& root);

}  // namespace gamut
