// What BERT and its kin share: one stack that sees both ways, LayerNorm after each block, learned positions, heads chosen by `architectures`.
#pragma once

#include "families/skeleton.h"

namespace gamut {

// Where the families differ: keys of config.json and names of tensors below the root, BERT's where nothing else is said.
struct EncoderKeys {
  const char *width = "hidden_size", *layers = "num_hidden_layers", *heads = "num_attention_heads", *hidden = "intermediate_size", *activation = "hidden_act";
  const char *norm_eps = "layer_norm_eps", *token_types = "type_vocab_size";  // null: 1e-12; no token types
};
struct EncoderNames {
  const char *layer = "encoder.layer.", *query = "attention.self.query", *key = "attention.self.key", *value = "attention.self.value", *output = "attention.output.dense";
  const char *mixer_norm = "attention.output.LayerNorm", *up = "intermediate.dense", *down = "output.dense", *channel_norm = "output.LayerNorm";
};
struct EncoderDialect {
  const char *model_type, *prefix;            // prefix: of the architectures' names
  const char* root;                           // of the tensors' names, with the dot
  int64_t vocab;                              // transformers' class default
  EncoderKeys keys = {};
  EncoderNames names = {};
  bool positions_after_padding = false;       // the first position is pad_token_id + 1
  const char* head_activation = nullptr;      // of the vocabulary head; null: that of the layers
  const char *transform, *transform_norm, *bias, *decoder;  // names in the vocabulary head
  const char *pooler, *classifier;            // names in ForSequenceClassification
  const char* pooler_activation = "tanh";     // there
  const char* bare_pooler = "pooler.dense";   // below the root; null: the bare model has none
  const char* pairs = nullptr;                // ? the classifier of ForPreTraining
};

ModelSpec read_encoder(Config& cfg, const EncoderDialect& dialect);
Family::Written write_encoder(const ModelSpec& spec, const EncoderDialect& dialect);
std::vector<StoredTensor> encoder_tensors(const Model& model, const TensorNames& present, const EncoderDialect& dialect);
// Tensors that files may hold beside the model's: counters, what is tied to others, heads that the architecture has not.
bool encoder_ignores(const std::string& tensor, const EncoderDialect& dialect);

template <const EncoderDialect& dialect> Family encoder_family(const char* meaning) {
  return {dialect.model_type, meaning, [](Config& cfg) { return read_encoder(cfg, dialect); }, [](const ModelSpec& spec) { return write_encoder(spec, dialect); },
          [](const Model& model, const TensorNames& present) { return encoder_tensors(model, present, dialect); },
          [](const ModelSpec&, const std::string& tensor) { return encoder_ignores(tensor, dialect); }};
}

// RoBERTa's names and positions, which several families have.
constexpr EncoderDialect roberta_dialect(const char* model_type, const char* prefix, int64_t vocab) {
  return {.model_type = model_type, .prefix = prefix, .root = "roberta.", .vocab = vocab, .positions_after_padding = true, .head_activation = "gelu", .transform = "lm_head.dense",
          .transform_norm = "lm_head.layer_norm", .bias = "lm_head.bias", .decoder = "lm_head.decoder", .pooler = "classifier.dense", .classifier = "classifier.out_proj"};
}

}  // namespace gamut
