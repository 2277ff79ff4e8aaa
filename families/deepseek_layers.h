// What DeepSeek's models and their kin share: the keys of experts beside shared ones, and of latent attention, with its tensors.
#pragma once

#include "families/decoder.h"

namespace gamut {

// Experts beyond what the dialect says; numbers are transformers' class defaults. A null name: the family has no such key.
struct SparseKeys {
  int64_t dense_hidden = 11008;             // of layers without experts
  const char* shared = "n_shared_experts";  // units of the shared expert, in multiples of an expert's
  int64_t shared_experts = 1;
  const char *groups = "n_group", *kept_groups = "topk_group";  // of experts; the best are chosen by the sum of their two largest scores
  int64_t group_count = 1, kept_count = 1;
  const char *first = "first_k_dense_replace", *every = nullptr;  // sparse layers: from the first, those whose index is a multiple
  int64_t first_sparse = 0;
  const char* types = nullptr;  // or each layer's type, dense or sparse
};
void sparse_keys(Keys& k, PlainDecoder& d, const ExpertDialect& dialect, const SparseKeys& keys);

// Groups of experts, of which the best are chosen by the sum of their two largest scores.
void group_keys(Keys& k, Experts& e, const SparseKeys& keys);

// The experts of DeepSeek-V3 and those who took them over: sigmoid scores with a bias for selection, gates times `scale`.
constexpr ExpertDialect deepseek_experts(int64_t experts, int64_t top_k, int64_t hidden, double scale = 1, bool normalise = true) {
  return {.count_key = "n_routed_experts",
          .hidden_key = "moe_intermediate_size",
          .experts = experts,
          .top_k = top_k,
          .hidden = hidden,
          .balance_key = nullptr,
          .normalise_key = "norm_topk_prob",
          .normalise = normalise,
          .scale_key = "routed_scaling_factor",
          .scale = scale,
          .score = "sigmoid",
          .selection_bias = true,
          .shared = "shared_experts"};
}

// A layer beyond the last that predicts a token further: whether it is there, the file's tensors say.
void further_layer(Keys& k, const PlainDecoder& d);

// Latent attention in place of d.attention; sizes() has read heads and qk_rope_head_dim (kLatentSizes), rotation() the rotation.
struct LatentDefaults {
  int64_t query_rank = 1536, latent = 512, nope = 128, value = 128;
};
inline constexpr SizeKeys kLatentSizes{.head_dim = "qk_rope_head_dim", .hidden = nullptr};
void latent_keys(Keys& k, PlainDecoder& d, const LatentDefaults& defaults);
// The tensors below `theirs` (model.layers.0.self_attn.) of the parameters below `ours`.
void name_latent(NameMap& map, const std::string& theirs, const std::string& ours, const MlaOptions& options);

}  // namespace gamut
