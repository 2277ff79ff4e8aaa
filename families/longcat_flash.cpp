// LongCat-Flash: latent attention; experts, some of which do nothing, read a layer's input and are added a layer later. [Meituan 2025]
#include <cmath>

#include "families/deepseek_layers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "n_routed_experts",
                                 .top_k_key = "moe_topk",
                                 .hidden_key = "expert_ffn_hidden_size",
                                 .experts = 512,
                                 .top_k = 12,
                                 .hidden = 2048,
                                 .balance_key = nullptr,
                                 .normalise = false,
                                 .scale_key = "routed_scaling_factor",
                                 .scale = 6,
                                 .selection_bias = true,
                                 .router = "router.classifier",
                                 .router_selection = "router.e_score_correction_bias"};

// `d`: pairs of layers as one, with the experts alone; `hidden`: of the dense layers.
void keys(Keys& k, PlainDecoder& d, int64_t& hidden) {
  SizeKeys names = kLatentSizes;
  names.layers = "num_layers";
  sizes(k, d, {.vocab = 131072, .width = 6144, .layers = 28, .heads = 64, .head_dim = 64, .positions = 131072, .eps = 1e-5}, names);
  expert_keys(k, d.experts, kExperts);
  k.integer("ffn_hidden_size", hidden, 12288, 1, int64_t{1} << 24);
  k.integer("zero_expert_num", d.experts.identity, 256, 0, 1 << 16);
  k.only("zero_expert_type", "identity", "another kind of experts without weights");
  k.only("norm_topk_prob", false, "gates divided by their sum");
  k.flag("router_bias", d.experts.linear_bias, false);
  k.only("attention_method", "MLA", "another attention");
  k.only("mla_scale_q_lora", true, "latents that are not scaled");
  k.only("mla_scale_kv_lora", true, "latents that are not scaled");
  k.ignore({"output_router_logits", "aux_loss_alpha"}, "training of the original");
  k.ignore({"num_nextn_predict_layers"}, "a model beside this one");
  rotation(k, d, 1e7);
  latent_keys(k, d, {});
  common(k, d, false);
  if (!k.reading()) return;
  MlaOptions& a = *d.latent;
  if (a.query_rank == 0) k.config().reject("q_lora_rank", "must be there");
  a.query_scale = std::sqrt(static_cast<double>(d.spec.width) / static_cast<double>(a.query_rank));
  a.latent_scale = std::sqrt(static_cast<double>(d.spec.width) / static_cast<double>(a.latent));
  d.sparse.assign(d.attention.size(), true);
}

Json table(const Component& c) {
  Json out = c.options;
  out["kind"] = c.kind;
  return out;
}

ModelSpec read(Config& cfg) {
  Keys k(cfg);
  PlainDecoder d;
  int64_t hidden = 0;
  keys(k, d, hidden);
  ModelSpec spec = spec_of(d);
  const Component dense{"ffn", {{"hidden", hidden}, {"activation", d.experts.activation}}};
  std::vector<LayerSpec> pairs;
  for (const LayerSpec& layer : spec.layers) {
    pairs.push_back({layer.mixer, {"shortcut", {{"now", table(dense)}, {"later", table(layer.channel)}}}});
    pairs.push_back({layer.mixer, {"shortcut", {{"now", table(dense)}}}});
  }
  spec.layers = pairs;
  return spec;
}

// What was written must say everything: it is read again and compared.
Family::Written write(const ModelSpec& spec) {
  ModelSpec single = spec;
  single.layers.clear();
  if (has_shares(spec)) return {{}, "shares of blocks in the residual stream"};
  for (size_t i = 0; i + 1 < spec.layers.size(); i += 2) {
    const Json& options = spec.layers[i].channel.options;
    if (spec.layers[i].channel.kind != "shortcut" || !options.contains("later") || !options.contains("now")) return {{}, "channel mixers without a shortcut"};
    Component experts{options["later"].value("kind", "none"), options["later"]};
    experts.options.erase("kind");
    single.layers.push_back({spec.layers[i].mixer, experts});
  }
  if (single.layers.empty()) return {{}, "no pairs of layers"};
  DecoderOr found = decoder_of(single);
  if (!found.decoder) return {{}, found.obstacle};
  int64_t hidden = spec.layers[0].channel.options["now"].value("hidden", int64_t{0});
  Json config = {{"architectures", {"LongcatFlashForCausalLM"}}, {"model_type", "longcat_flash"}, {"pad_token_id", Json()}};
  try {
    Keys writing(config);
    keys(writing, *found.decoder, hidden);
    Config cfg(config, {.source = "config.json"});
    cfg.ignore("model_type", "known");
    ModelSpec again = read(cfg);
    cfg.finish();
    again.init_scaled_residual = spec.init_scaled_residual;  // no key says it
    if (!(again == spec)) return {{}, difference(spec.to_json(), again.to_json())};
  } catch (const Error& e) {
    return {{}, e.what()};
  }
  return {config, ""};
}

std::vector<StoredTensor> tensors(const Model& model, const TensorNames& present) {
  NameMap map(model);
  const ModelSpec& spec = model.spec();
  map.whole("model.embed_tokens.weight", "embedding");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string layer = "model.layers." + std::to_string(i / 2) + ".", half = std::to_string(i % 2), ours = "layers." + std::to_string(i) + ".";
    map.whole(layer + "input_layernorm." + half + ".weight", ours + "mixer_norm");
    map.whole(layer + "post_attention_layernorm." + half + ".weight", ours + "channel_norm");
    name_latent(map, layer + "self_attn." + half + ".", ours + "mixer.", mla_options(spec, i));
    for (const char* part : {"gate", "up", "down"}) map.whole(layer + "mlps." + half + "." + part + "_proj.weight", ours + "channel.now." + part);
    if (i % 2 == 0) {
      Component experts{"moe", spec.layers[i].channel.options.at("later")};
      experts.options.erase("kind");
      name_experts(map, experts, ours + "channel.later.", layer, kExperts, present);
    }
  }
  map.whole("model.norm.weight", "final_norm");
  if (!spec.tied) map.whole("lm_head.weight", "head");
  return map.take();
}

bool ignores(const ModelSpec& spec, const std::string& tensor) { return skeleton_ignores(spec, tensor) || tensor.starts_with("model.mtp."); }

}  // namespace

Family longcat_flash() {
  return {"longcat_flash",
          "Attention through a latent per position; experts beside two layers, some of which give back their input. [Meituan, LongCat-Flash, 2025]",
          read,
          write,
          tensors,
          ignores};
}

}  // namespace gamut::family
