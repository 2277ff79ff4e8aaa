// DistilBERT: BERT's layers without token types and pooler, under other names. [Sanh et al. 2019]
#include "families/encoder_layers.h"

namespace gamut::family {
namespace {
constexpr EncoderDialect kDialect{.model_type = "distilbert", .prefix = "DistilBert", .root = "distilbert.", .vocab = 30522,
                                  .keys = {.width = "dim", .layers = "n_layers", .heads = "n_heads", .hidden = "hidden_dim", .activation = "activation", .norm_eps = nullptr, .token_types = nullptr},
                                  .names = {.layer = "transformer.layer.", .query = "attention.q_lin", .key = "attention.k_lin", .value = "attention.v_lin", .output = "attention.out_lin",
                                            .mixer_norm = "sa_layer_norm", .up = "ffn.lin1", .down = "ffn.lin2", .channel_norm = "output_layer_norm"},
                                  .transform = "vocab_transform", .transform_norm = "vocab_layer_norm", .bias = "vocab_projector.bias", .decoder = "vocab_projector",
                                  .pooler = "pre_classifier", .classifier = "classifier", .pooler_activation = "relu", .bare_pooler = nullptr};
}

Family distilbert() {
  Family family = encoder_family<kDialect>("BERT's layers without token types, distilled from a larger one. [Sanh et al., DistilBERT, 2019]");
  family.read = [](Config& cfg) {
    if (cfg.take<bool>("sinusoidal_pos_embds", false)) cfg.reject("sinusoidal_pos_embds", "is true: positions that are not trained, which is not supported");
    return read_encoder(cfg, kDialect);
  };
  return family;
}

}  // namespace gamut::family
