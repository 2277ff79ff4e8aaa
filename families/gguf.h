// How a family's models lie in GGUF files: small tables beside each family (Family::gguf), and what the decoders on the shared skeleton
// have in common.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "checkpoints/gguf.h"
#include "families/family.h"

namespace gamut {

struct GgufKey {
  std::string_view file;  // without the architecture before it: "block_count"
  std::string_view ours;  // of config.json; empty: without influence
  bool required = false;
};
// `*` stands for a number: of the layer, or of an expert, whose tensors are one under another in the file. Suffixes (.weight, .bias) are left out.
struct GgufName {
  std::string_view ours, file;
};

struct GgufMapping {
  std::string_view architecture;  // general.architecture
  std::string_view needs;         // ? a key that is there and not zero, where families share an architecture
  std::span<const GgufKey> keys;
  std::span<const GgufName> names;
  std::string_view defaults = "{}";  // keys of config.json, where the file says nothing: what the format means by that
  bool neighbours = false;           // rows of queries and keys are ordered so that neighbours rotate together
};

inline constexpr std::string_view kDecoderDefaults = R"({"rope_theta": 10000.0})";
inline constexpr std::array kDecoderKeys{
    GgufKey{"context_length", "max_position_embeddings", true},
    GgufKey{"embedding_length", "hidden_size", true},
    GgufKey{"block_count", "num_hidden_layers", true},
    GgufKey{"feed_forward_length", "intermediate_size", true},
    GgufKey{"attention.head_count", "num_attention_heads", true},
    GgufKey{"attention.head_count_kv", "num_key_value_heads"},
    GgufKey{"attention.key_length", "head_dim"},
    GgufKey{"attention.layer_norm_rms_epsilon", "rms_norm_eps", true},
    GgufKey{"attention.sliding_window", "sliding_window"},
    GgufKey{"rope.freq_base", "rope_theta"},
    GgufKey{"expert_count", "num_experts"},
    GgufKey{"expert_used_count", "num_experts_per_tok"},
    GgufKey{"expert_feed_forward_length", "moe_intermediate_size"},
    GgufKey{"tensor_data_layout", ""}};

inline constexpr std::array kDecoderNames{
    GgufName{"model.embed_tokens", "token_embd"},
    GgufName{"model.norm", "output_norm"},
    GgufName{"lm_head", "output"},
    GgufName{"model.layers.*.input_layernorm", "blk.*.attn_norm"},
    GgufName{"model.layers.*.post_attention_layernorm", "blk.*.ffn_norm"},
    GgufName{"model.layers.*.self_attn.q_proj", "blk.*.attn_q"},
    GgufName{"model.layers.*.self_attn.k_proj", "blk.*.attn_k"},
    GgufName{"model.layers.*.self_attn.v_proj", "blk.*.attn_v"},
    GgufName{"model.layers.*.self_attn.o_proj", "blk.*.attn_output"},
    GgufName{"model.layers.*.self_attn.q_norm", "blk.*.attn_q_norm"},
    GgufName{"model.layers.*.self_attn.k_norm", "blk.*.attn_k_norm"},
    GgufName{"model.layers.*.mlp.gate_proj", "blk.*.ffn_gate"},
    GgufName{"model.layers.*.mlp.up_proj", "blk.*.ffn_up"},
    GgufName{"model.layers.*.mlp.down_proj", "blk.*.ffn_down"},
    GgufName{"model.layers.*.mlp.gate", "blk.*.ffn_gate_inp"},
    GgufName{"model.layers.*.mlp.experts.*.gate_proj", "blk.*.ffn_gate_exps"},
    GgufName{"model.layers.*.mlp.experts.*.up_proj", "blk.*.ffn_up_exps"},
    GgufName{"model.layers.*.mlp.experts.*.down_proj", "blk.*.ffn_down_exps"},
    GgufName{"model.layers.*.block_sparse_moe.gate", "blk.*.ffn_gate_inp"},
    GgufName{"model.layers.*.block_sparse_moe.experts.*.w1", "blk.*.ffn_gate_exps"},
    GgufName{"model.layers.*.block_sparse_moe.experts.*.w3", "blk.*.ffn_up_exps"},
    GgufName{"model.layers.*.block_sparse_moe.experts.*.w2", "blk.*.ffn_down_exps"}};

// The family and the config.json that the file's metadata mean, bos and eos included. Error, naming file, key and byte, for an unknown architecture or key.
struct GgufConfig {
  const Family* family;
  Json config;
};
GgufConfig config_of(const GgufReader& file);

// The family's tensors as they lie in the file.
std::vector<StoredTensor> gguf_tensors(const Model& model, const Family& family, const GgufReader& file);
// Tensors that a file may hold and nobody needs, given that config_of has read them.
bool gguf_ignores(const std::string& tensor);

}  // namespace gamut
