// Families of plain decoders: layers of attention and a feed-forward layer or mixture of experts, all alike but for windows and rotation.
//
// A family says once which key means what, and where its tensors are: the same description reads, writes, and judges whether what
// was written says everything.
#pragma once

#include <array>
#include <cmath>
#include <functional>
#include <optional>

#include "families/experts.h"

namespace gamut {

// Which of its two blocks a layer has.
enum class Blocks : uint8_t { both, mixer, channel };

// A decoder with its options in the open.
struct PlainDecoder {
  ModelSpec spec;                           // but for layers and heads
  std::vector<AttentionOptions> attention;  // of each layer
  std::optional<MlaOptions> latent;         // in every layer of attention; `attention` is then latent_stand_in
  std::optional<Component> other;           // ? mixer of the layers that have no attention, whose entries above are those of the first that has
  std::vector<bool> others;                 // of each layer: it has no attention; empty: all have
  std::vector<bool> sparse;                 // ? of each layer: a mixture of experts
  std::vector<Blocks> blocks;               // of each layer; empty: all have both. What stands above for a block that is not there says nothing
  Shares attention_shares, other_shares, channel_shares;  // of each kind of block
  Experts experts;
  int64_t hidden = 0;                       // of the feed-forward layers
  std::string activation = "silu";
  bool gated = true, ffn_bias = false, head_bias = false;
  double logit_scale = 1, logit_softcap = 0;
  bool further = false;                     // one module more, with a layer like the last, predicts a token further
  bool has_mixer(size_t layer) const { return blocks.empty() || blocks[layer] != Blocks::channel; }
  bool has_channel(size_t layer) const { return blocks.empty() || blocks[layer] != Blocks::mixer; }
  bool has_attention(size_t layer) const { return has_mixer(layer) && (others.empty() || !others[layer]); }
  bool has_experts(size_t layer) const { return has_channel(layer) && !sparse.empty() && sparse[layer]; }
  bool operator==(const PlainDecoder&) const = default;
};
ModelSpec spec_of(const PlainDecoder& decoder);
// What sizes() and rotation() read and write of latent attention: its heads and what rotates.
AttentionOptions latent_stand_in(const MlaOptions& latent);
// Or why the spec is something else.
struct DecoderOr {
  std::optional<PlainDecoder> decoder;
  std::string obstacle;
};
DecoderOr decoder_of(const ModelSpec& spec);

// The keys of a config.json, one way or the other. A key that is missing means `fallback`; null means 0 where a key may be null, and false.
class Keys {
 public:
  explicit Keys(Config& cfg) : cfg_(&cfg) {}
  explicit Keys(Json& out) : out_(&out) {}
  bool reading() const { return cfg_; }
  Config& config() { return *cfg_; }
  Json& json() { return *out_; }
  // When writing: a number that transformers declares an integer.
  void whole(const char* key) {
    if (reading()) return;
    Json& value = json()[key];
    if (value.is_number() && value.get<double>() == std::floor(value.get<double>())) value = static_cast<int64_t>(value.get<double>());
  }

  void integer(const char* key, int64_t& value, int64_t fallback, int64_t low = 1, int64_t high = int64_t{1} << 40);
  void number(const char* key, double& value, double fallback, double low = -1e30, double high = 1e30);
  void flag(const char* key, bool& value, bool fallback);
  void integer_or_null(const char* key, int64_t& value, int64_t fallback);
  void number_or_null(const char* key, double& value, double fallback);
  void reciprocal(const char* key, double& value, double fallback);  // the key holds 1/value
  void activation(const char* key, PlainDecoder& d, const char* fallback) { activation(key, d.activation, fallback); }
  void activation(const char* key, std::string& value, const char* fallback);
  void shares(const char* input, const char* result, Shares& shares);
  // The family computes nothing else; another value is an Error.
  void only(const char* key, const Json& value, const std::string& what);
  void ignore(std::initializer_list<const char*> keys, const char* reason);
  // An option of every layer's attention.
  void number(const char* key, PlainDecoder& d, double AttentionOptions::*option, double fallback);
  void number_or_null(const char* key, PlainDecoder& d, double AttentionOptions::*option, double fallback);
  void integer_or_null(const char* key, PlainDecoder& d, int64_t AttentionOptions::*option, int64_t fallback);
  void flag(const char* key, PlainDecoder& d, bool AttentionOptions::*option, bool fallback);
  void integer(const char* key, PlainDecoder& d, int64_t AttentionOptions::*option, int64_t fallback);
  // The keys of a table below `key`.
  void table(const char* key, const std::function<void(Keys&)>& keys);
  // The name to read: the older one where the file has it.
  const char* either(const char* key, const char* older) const { return cfg_ && !cfg_->has(key) && cfg_->has(older) ? older : key; }

 private:
  Config* cfg_ = nullptr;
  Json* out_ = nullptr;
};

// Sizes, first of all keys; with transformers' defaults. A null name: the family has no such key.
struct Sizes {
  int64_t vocab = 32000, width = 4096, layers = 32, heads = 32, kv_heads = 0, head_dim = 0, hidden = 11008, positions = 2048;  // 0: heads; width / heads; 4·width
  double eps = 1e-6;
};
struct SizeKeys {
  const char *vocab = "vocab_size", *width = "hidden_size", *layers = "num_hidden_layers", *heads = "num_attention_heads", *kv_heads = "num_key_value_heads", *head_dim = "head_dim",
             *hidden = "intermediate_size", *positions = "max_position_embeddings", *eps = "rms_norm_eps";
};
void sizes(Keys& k, PlainDecoder& d, const Sizes& defaults, const SizeKeys& keys = {});
// Dtype, tied embeddings, initial values, and what says nothing about what is computed.
void common(Keys& k, PlainDecoder& d, bool tied);
// Biases of all four projections of attention.
void biases(Keys& k, PlainDecoder& d, const char* key, bool fallback);
// Whether blocks stand side by side as `parallel` says, or one after the other.
void residual(Keys& k, PlainDecoder& d, const char* key, Residual parallel, bool fallback);
// Whether queries and keys have LayerNorms of each head, and of which of the two kinds.
void layer_norms(Keys& k, PlainDecoder& d, const char* key, QkNorm kind = QkNorm::layer);
// query_pre_attn_scalar: scores are divided by its square root.
void query_scalar(Keys& k, PlainDecoder& d, int64_t fallback);
// rope_theta, rope_scaling, and partial_rotary_factor where `partial`; in either style.
void rotation(Keys& k, PlainDecoder& d, double theta = 10000, bool partial = false, double share = 1);
// The same with parameters of their own for layers that see all (rope_theta, rope_scaling) and that slide (rope_local_base_freq), after windows().
void rotation_by_window(Keys& k, PlainDecoder& d, double theta, double sliding_theta);
// Takes the rotation from some layers.
void still_where(PlainDecoder& d, const std::function<bool(size_t)>& still);
// sliding_window, and layer_types, which without such a key are as `slides` says of a layer.
void windows(Keys& k, PlainDecoder& d, int64_t window, const std::function<bool(size_t)>& slides);
// Which layers slide as sliding_window_pattern says: all but every n-th, or where a row of letters that repeats has an L, but not in the last; without it n.
std::function<bool(size_t)> window_pattern(Config& cfg, int64_t n, size_t layers);
// Which layers have no attention, but d.other, which is read before: layer_types under any of the given names, of which the first are written; without such
// a key as `is_other` says of a layer.
struct LayerNames {
  const char* key = "layer_types";
  std::vector<std::string> attention{"full_attention", "attention"}, other{"linear_attention", "mamba"};
};
void other_layers(Keys& k, PlainDecoder& d, const std::function<bool(size_t)>& is_other, const LayerNames& names = {});
// Every layer a mixture of experts; or those that decoder_sparse_step and mlp_only_layers leave, where the dialect has dense layers.
void experts(Keys& k, PlainDecoder& d, const ExpertDialect& dialect);

// Where tensors are: names below the layer's own, without .weight. A null name: there is none.
struct DecoderNames {
  const char *embedding = "model.embed_tokens", *positions = nullptr, *embedding_norm = nullptr, *widening = nullptr, *narrowing = nullptr,
             *layer = "model.layers.", *final_norm = "model.norm", *head = "lm_head";
  const char *mixer_norm = "input_layernorm", *mixer_post_norm = nullptr, *channel_norm = "post_attention_layernorm", *channel_post_norm = nullptr;
  const char *query = "self_attn.q_proj", *key = "self_attn.k_proj", *value = "self_attn.v_proj", *output = "self_attn.o_proj";
  const char *query_norm = "self_attn.q_norm", *key_norm = "self_attn.k_norm";
  bool norm_by_head = false;  // where each head has weights of its own: a tensor for each, numbered; else one of all
  const char* qkv = nullptr;  // all three in one tensor
  bool grouped = false;       // … key head by key head: its queries, then its key and value; else one below the other
  const char *gate = "mlp.gate_proj", *up = "mlp.up_proj", *down = "mlp.down_proj";  // without gates: up, down
  const char* gate_up = nullptr;  // both in one tensor
  const char* gain = ".weight";   // of norms
  const char* attention_gate = nullptr;
  bool gated_query = false;       // or the gate's rows are behind each head's of `query`
  double centre = 0;              // gains are stored less this
  bool further_layer = false;     // files may hold one layer more, which predicts a token further
  const char* beside = nullptr;   // start of the names of such a layer's tensors where they have a place of their own
  std::array<const char*, 2> ignored = {};  // ends of names of tensors that files may hold and nobody needs
};

struct DecoderFamily {
  const char *model_type, *architecture;
  void (*keys)(Keys& k, PlainDecoder& d);
  DecoderNames names = {};
  void (*adapt)(const ModelSpec& spec, DecoderNames& names) = nullptr;  // ? where names depend on the model
  const ExpertDialect* experts = nullptr;
  // The tensors of a layer's mixer that is no attention: theirs below "model.layers.0.", ours below "layers.0.mixer.".
  void (*other)(NameMap& map, const std::string& theirs, const std::string& ours, const ModelSpec& spec, size_t layer) = nullptr;
  const GgufMapping* gguf = nullptr;
};
// The first thing in which two models differ, as a recipe would write it.
std::string difference(const Json& a, const Json& b, const std::string& where = "");
ModelSpec read_decoder(Config& cfg, const DecoderFamily& family);
Family::Written write_decoder(const ModelSpec& spec, const DecoderFamily& family);
// A file that holds such a layer makes a model that has it.
void complete_further(ModelSpec& spec, const SafetensorsReader& file);
std::vector<StoredTensor> decoder_tensors(const Model& model, const TensorNames& present, const DecoderFamily& family);

template <const DecoderFamily& kFamily> Family decoder_family(const char* meaning) {
  return {kFamily.model_type, meaning, [](Config& cfg) { return read_decoder(cfg, kFamily); }, [](const ModelSpec& spec) { return write_decoder(spec, kFamily); },
          [](const Model& model, const TensorNames& present) { return decoder_tensors(model, present, kFamily); },
          [](const ModelSpec& spec, const std::string& tensor) {
            for (const char* end : kFamily.names.ignored)
              if (end && tensor.ends_with(end)) return true;
            if (kFamily.names.beside && tensor.starts_with(kFamily.names.beside)) return true;
            const std::string further = kFamily.names.layer + std::to_string(spec.layers.size()) + ".";  // its copies of what it shares
            if (kFamily.names.further_layer && (tensor == further + "embed_tokens.weight" || tensor == further + "shared_head.head.weight")) return true;
            return skeleton_ignores(spec, tensor) || (spec.tied && tensor == std::string(kFamily.names.head) + ".weight");
          },
          kFamily.names.further_layer ? complete_further : nullptr, kFamily.gguf};
}

}  // namespace gamut
