#include "families/deepseek_layers.h"

#include <algorithm>

namespace gamut {

void sparse_keys(Keys& k, PlainDecoder& d, const ExpertDialect& dialect, const SparseKeys& keys) {
  Experts& e = d.experts;
  const auto layers = static_cast<int64_t>(d.attention.size());
  expert_keys(k, e, dialect);
  int64_t hidden = d.hidden > 0 && !k.reading() ? d.hidden : e.hidden, shared = e.shared_hidden / std::max<int64_t>(e.hidden, 1);
  k.integer("intermediate_size", hidden, keys.dense_hidden);
  if (keys.shared) k.integer_or_null(keys.shared, shared, keys.shared_experts);
  if (keys.groups) group_keys(k, e, keys);
  if (keys.types && (!k.reading() || k.config().has(keys.types))) {
    Json types = Json::array();
    for (const bool sparse : d.sparse) types.push_back(sparse ? "sparse" : "dense");
    if (!k.reading()) {
      k.json()[keys.types] = types;
    } else {
      d.sparse.clear();
      for (const std::string& type : k.config().take<std::vector<std::string>>(keys.types)) {
        if (type != "sparse" && type != "dense") k.config().reject(keys.types, "holds '" + type + "'; expected dense or sparse");
        d.sparse.push_back(type == "sparse");
      }
      if (static_cast<int64_t>(d.sparse.size()) != layers)
        k.config().reject(keys.types, "names " + std::to_string(d.sparse.size()) + " layers, there are " + std::to_string(layers));
      k.ignore({keys.first}, "the layers' types say it");
    }
  } else {
    const auto at = std::find(d.sparse.begin(), d.sparse.end(), true);
    int64_t first = at - d.sparse.begin(), every = 1;
    if (keys.every && at != d.sparse.end())
      if (const auto next = std::find(at + 1, d.sparse.end(), true); next != d.sparse.end()) every = next - at;
    k.integer(keys.first, first, keys.first_sparse, 0);
    if (keys.every) k.integer(keys.every, every, 1);
    if (k.reading()) {
      d.sparse.clear();
      for (int64_t i = 0; i < layers; ++i) d.sparse.push_back(i >= first && i % every == 0);
    }
  }
  k.ignore({"aux_loss_alpha", "seq_aux", "ep_size", "output_router_logits"}, "training of the original");
  if (!k.reading()) return;
  d.hidden = hidden;
  d.activation = e.activation;
  e.shared_hidden = shared * e.hidden;
}

void group_keys(Keys& k, Experts& e, const SparseKeys& keys) {
  k.integer_or_null(keys.groups, e.groups, keys.group_count);
  k.integer_or_null(keys.kept_groups, e.kept_groups, keys.kept_count);
  if (!k.reading()) return;
  e.groups = std::max<int64_t>(e.groups, 1);
  e.kept_groups = e.groups > 1 ? std::max<int64_t>(e.kept_groups, 1) : 1;
  if (e.groups > 1) e.group_score = "sum2";
}

void further_layer(Keys& k, const PlainDecoder& d) {
  k.ignore({"num_nextn_predict_layers", "num_mtp_layers"}, "the tensors say it");
  if (!k.reading()) k.json()["num_nextn_predict_layers"] = d.further ? 1 : 0;
}

void latent_keys(Keys& k, PlainDecoder& d, const LatentDefaults& defaults) {
  if (!k.reading() && !d.latent) throw Error({.who = "model", .what = "attention is not latent"});
  MlaOptions a = k.reading() ? MlaOptions{} : *d.latent;
  k.integer_or_null("q_lora_rank", a.query_rank, defaults.query_rank);
  k.integer("kv_lora_rank", a.latent, defaults.latent, 1, 1 << 20);
  k.integer("qk_nope_head_dim", a.nope, defaults.nope, 1, 65536);
  k.integer("v_head_dim", a.value, defaults.value, 1, 65536);
  k.flag("attention_bias", a.bias, false);
  k.ignore({"head_dim", "qk_head_dim"}, "follows from its parts");
  if (!k.reading()) {
    if (a.mscale != 0) k.json()["rope_scaling"]["mscale_all_dim"] = a.mscale;
    return;
  }
  const AttentionOptions& read = d.attention[0];
  if (read.heads != read.kv_heads)
    k.config().reject("num_key_value_heads", "is " + std::to_string(read.kv_heads) + ", but all " + std::to_string(read.heads) + " heads share one latent",
                      "leave it out");
  a.heads = read.heads;
  a.rotary = read.head_dim;
  if (a.rotary % 2 != 0) k.config().reject("qk_rope_head_dim", "must be even, not " + std::to_string(a.rotary));
  a.rope = true;
  a.interleaved = true;
  a.rotation = read.rotation;
  a.query_scale = a.latent_scale = 1;
  a.norm_eps = 1e-6;  // whatever rms_norm_eps says
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (const Json rope = k.config().take_json(key); rope.is_object() && rope.contains("mscale_all_dim") && rope["mscale_all_dim"].is_number())
      a.mscale = rope["mscale_all_dim"];
  d.latent = a;
  d.attention.assign(d.attention.size(), latent_stand_in(a));
}

void name_latent(NameMap& map, const std::string& theirs, const std::string& ours, const MlaOptions& a) {
  // Rows of both parameters, head by head.
  const auto by_head = [&](const std::string& name, const std::string& first, int64_t first_rows, const std::string& second, int64_t second_rows,
                           int64_t columns) {
    StoredTensor tensor{name, {a.heads * (first_rows + second_rows), columns}, {}};
    for (int64_t h = 0; h < a.heads; ++h) {
      tensor.parts.push_back({first, h * first_rows * columns, first_rows * columns});
      tensor.parts.push_back({second, h * second_rows * columns, second_rows * columns});
    }
    map.add(std::move(tensor));
  };
  const std::string query = ours + "query_nope";
  if (a.query_rank > 0) {
    map.whole(theirs + "q_a_proj.weight", ours + "query_down");
    map.optional(theirs + "q_a_proj.bias", ours + "query_down_bias");
    map.whole(theirs + "q_a_layernorm.weight", ours + "query_norm");
  }
  by_head(theirs + (a.query_rank > 0 ? "q_b_proj.weight" : "q_proj.weight"), query, a.nope, ours + "query_rope", a.rotary, map.shape(query)[1]);
  map.stacked(theirs + "kv_a_proj_with_mqa.weight", {ours + "latent_down", ours + "key_rope"});
  if (a.bias) map.stacked(theirs + "kv_a_proj_with_mqa.bias", {ours + "latent_down_bias", ours + "key_rope_bias"});
  map.whole(theirs + "kv_a_layernorm.weight", ours + "latent_norm");
  by_head(theirs + "kv_b_proj.weight", ours + "key_up", a.nope, ours + "value_up", a.value, a.latent);
  map.whole(theirs + "o_proj.weight", ours + "output");
  map.optional(theirs + "o_proj.bias", ours + "output_bias");
  for (const auto& [name, parameter] :
       {std::pair("wq_b.weight", "index_query"), std::pair("wk.weight", "index_key"), std::pair("weights_proj.weight", "index_weight"),
        std::pair("k_norm.weight", "index_norm"), std::pair("k_norm.bias", "index_norm_bias")})
    map.optional(theirs + "indexer." + name, ours + parameter);
}

}  // namespace gamut
