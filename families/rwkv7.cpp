// RWKV-7: recurrent layers with token shift. Two layouts of files: flash-linear-attention's folders, which are written, and the names of BlinkDL's own
// files (config.json says "gamut_layout": "blinkdl"), whose low-rank matrices stand transposed and whose ranks only the tensors tell. [Peng et al. 2025]
#include "families/skeleton.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

// ours, flash-linear-attention's, BlinkDL's
struct LowRank {
  const char *ours, *fla, *blink;
};
constexpr LowRank kLowRank[] = {{"decay", "w", "w"}, {"rate", "a", "a"}, {"residual", "v", "v"}, {"gate", "g", "g"}};

ModelSpec read(Config& cfg) {
  ModelSpec spec;
  const std::string layout = cfg.take_choice("gamut_layout", "fla", {"fla", "blinkdl"});
  const bool fla = layout == "fla";
  spec.vocab = cfg.take_in<int64_t>("vocab_size", 65536, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("hidden_size", 2048, 1, 1 << 20);
  spec.norm = "layer";
  spec.norm_eps = cfg.take_in<double>(fla ? "norm_eps" : "layer_norm_epsilon", 1e-5, 0, 1);
  spec.max_positions = cfg.take_in<int64_t>("max_position_embeddings", 2048, 1, 1 << 24);
  take_common(cfg, spec, false);
  auto head_dim = cfg.take_in<int64_t>(fla ? "head_dim" : "head_size", 64, 1, 1024);
  if (fla) {
    const auto heads = cfg.take_in<int64_t>("num_heads", cfg.is_null("num_heads") ? 0 : spec.width / head_dim, 0, 65536);
    if (heads > 0 && heads * head_dim != spec.width) cfg.reject("num_heads", "times head_dim is " + std::to_string(heads * head_dim) + ", but hidden_size is " + std::to_string(spec.width));
  }
  Component mixer{"rwkv7", {{"head_dim", head_dim}}};
  int64_t hidden = 0;
  if (fla) {
    mixer.options["norm_eps"] = static_cast<double>(head_dim) * spec.norm_eps;
    mixer.options["key_eps"] = 1e-6;
    for (const auto& [key, option] : {std::pair("decay_low_rank_dim", "decay_rank"), std::pair("a_low_rank_dim", "rate_rank"), std::pair("v_low_rank_dim", "residual_rank"), std::pair("gate_low_rank_dim", "gate_rank")})
      if (!cfg.is_null(key)) mixer.options[option] = cfg.take_in<int64_t>(key, 64, 1, 1 << 20);
    const double ratio = cfg.take_in<double>("hidden_ratio", 4.0, 1e-3, 1e3);
    hidden = cfg.take_in<int64_t>("intermediate_size", static_cast<int64_t>(ratio * static_cast<double>(spec.width)), 1, int64_t{1} << 24);
    if (const auto act = cfg.take<std::string>("hidden_act", "sqrelu"); act != "sqrelu") cfg.reject("hidden_act", "is '" + act + "'; these layers have sqrelu");
    for (const char* key : {"elementwise_affine", "norm_bias", "norm_first"})
      if (!cfg.take<bool>(key, true)) cfg.reject(key, "is false, which is not supported");
    if (!cfg.is_null("attn") && !cfg.take_json("attn").is_null()) cfg.reject("attn", "asks for attention in some layers, which is not supported");
    cfg.ignore("attn", "null: no attention");
    if (const Json values = cfg.take_json("value_dim"); values.is_array())
      for (const Json& v : values)
        if (v != spec.width) cfg.reject("value_dim", "holds " + v.dump() + ", expected hidden_size (" + std::to_string(spec.width) + ") in every layer");
    for (const char* key : {"attn_mode", "fuse_cross_entropy", "fuse_norm", "fuse_swiglu", "fuse_linear_cross_entropy", "use_l2warp"}) cfg.ignore(key, "how, not what, is computed");
  } else {
    hidden = cfg.take_in<int64_t>("intermediate_size", 4 * spec.width, 1, int64_t{1} << 24);
  }
  spec.embedding_norm = true;
  spec.layers.assign(static_cast<size_t>(cfg.take_in<int64_t>("num_hidden_layers", 24, 1, 4096)), {mixer, {"shifted_ffn", {{"hidden", hidden}, {"activation", "relu2"}, {"gated", false}}}});
  return spec;
}

Rwkv7Options options(const ModelSpec& spec) {
  Config cfg(spec.layers[0].mixer.options, {.source = "model"});
  return Rwkv7Options::take(cfg, spec);
}

Family::Written write(const ModelSpec& spec) {
  const auto cannot = [](const std::string& why) { return Family::Written{{}, why}; };
  if (spec.norm != "layer" || spec.placement != NormPlacement::pre || !spec.embedding_norm) return cannot("norms other than LayerNorm after the embedding and before each block");
  if (spec.embedding_scale != 1 || spec.positions != "none") return cannot("positions or scales");
  if (const std::string more = beyond_decoder(spec); !more.empty()) return cannot(more);
  for (const LayerSpec& layer : spec.layers)
    if (layer.mixer.kind != "rwkv7" || layer.channel.kind != "shifted_ffn" || !(layer == spec.layers[0])) return cannot("layers other than rwkv7 and shifted_ffn, all alike");
  const Rwkv7Options o = options(spec);
  const auto ffn = options_of<FfnOptions>(spec.layers[0].channel);
  if (ffn.gated || ffn.bias || ffn.activation != kernels::Activation::relu2) return cannot("feed-forward layers other than squared ReLU");
  if (o.first_layer != 0) return cannot("values of another layer than the first");
  if (o.key_eps != 1e-6 || o.norm_eps != static_cast<double>(o.head_dim) * spec.norm_eps) return cannot("the epsilons of BlinkDL's layout");
  return {{{"model_type", "rwkv7"}, {"architectures", {"RWKV7ForCausalLM"}}, {"vocab_size", spec.vocab}, {"hidden_size", spec.width}, {"norm_eps", spec.norm_eps},
           {"num_hidden_layers", spec.layers.size()}, {"head_dim", o.head_dim}, {"num_heads", spec.width / o.head_dim}, {"intermediate_size", ffn.hidden}, {"hidden_act", "sqrelu"},
           {"decay_low_rank_dim", o.decay_rank}, {"a_low_rank_dim", o.rate_rank}, {"v_low_rank_dim", o.residual_rank}, {"gate_low_rank_dim", o.gate_rank}, {"norm_bias", true}, {"norm_first", true},
           {"elementwise_affine", true}, {"attn", nullptr}, {"max_position_embeddings", spec.max_positions}, {"initializer_range", spec.init_std}, {"tie_word_embeddings", spec.tied},
           {"torch_dtype", dtype_key(spec.dtype)}},
          ""};
}

// The ranks of BlinkDL's files.
void complete(ModelSpec& spec, const SafetensorsReader& file) {
  if (!file.find("emb.weight")) return;
  for (LayerSpec& layer : spec.layers)
    for (const LowRank& l : kLowRank)
      for (const char* block : {"blocks.0.att.", "blocks.1.att."})  // the first block has no residual
        if (const TensorView* down = file.find(std::string(block) + l.blink + "1"); down && down->shape.size() == 2 && down->shape[1] > 0)
          layer.mixer.options[std::string(l.ours) + "_rank"] = down->shape[1];
}

std::vector<StoredTensor> tensors(const Model& model, const TensorNames& present) {
  NameMap map(model);
  const ModelSpec& spec = model.spec();
  const bool blink = present.contains("emb.weight");
  const int64_t d = spec.width;
  const auto norm = [&](const std::string& theirs, const std::string& ours) {
    map.whole(theirs + ".weight", ours);
    map.whole(theirs + ".bias", ours + "_bias");
  };
  const auto mix = [&](const std::string& theirs, const std::string& ours) { map.reshaped(theirs, ours, {1, 1, d}); };
  const auto turned = [&](const std::string& theirs, const std::string& ours) {
    const Shape& s = map.shape(ours);
    StoredTensor t{theirs, {s[1], s[0]}, {{ours, 0, s.elements()}}};
    t.transposed = true;
    map.add(std::move(t));
  };
  map.whole(blink ? "emb.weight" : "model.embeddings.weight", "embedding");
  norm(blink ? "blocks.0.ln0" : "model.layers.0.pre_norm", "embedding_norm");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string ours = "layers." + std::to_string(i) + ".", mixer = ours + "mixer.", block = blink ? "blocks." + std::to_string(i) + "." : "model.layers." + std::to_string(i) + ".";
    const std::string att = block + (blink ? "att." : "attn."), ffn = block + "ffn.";
    norm(block + (blink ? "ln1" : "attn_norm"), ours + "mixer_norm");
    norm(block + (blink ? "ln2" : "ffn_norm"), ours + "channel_norm");
    for (const char* c : {"r", "w", "k", "v", "a", "g"}) mix(att + "x_" + c, mixer + "mix_" + c);
    for (const auto& [name, fla, blinks] : {std::tuple("receptance", "r_proj", "receptance"), std::tuple("key", "k_proj", "key"), std::tuple("value", "v_proj", "value"), std::tuple("output", "o_proj", "output")})
      map.whole(att + (blink ? blinks : fla) + ".weight", mixer + name);
    for (const LowRank& l : kLowRank) {
      if (!map.has(mixer + l.ours + "_down")) continue;
      const std::string base = mixer + l.ours + "_base";
      if (blink) {
        turned(att + l.blink + "1", mixer + l.ours + "_down");
        turned(att + l.blink + "2", mixer + l.ours + "_up");
        if (map.has(base)) mix(att + l.blink + "0", base);
      } else {
        const std::string lora = att + l.fla + "_lora.lora.";
        map.whole(lora + "0.weight", mixer + l.ours + "_down");
        map.whole(lora + "2.weight", mixer + l.ours + "_up");
        map.optional(lora + "2.bias", base);
      }
    }
    for (const auto& [name, theirs] : {std::pair("key_removed", "k_k"), std::pair("key_rate", "k_a")}) {
      if (blink) mix(att + theirs, mixer + name);
      else map.whole(att + theirs, mixer + name);
    }
    map.whole(att + "r_k", mixer + "bonus");
    norm(att + (blink ? "ln_x" : "g_norm"), mixer + "norm");
    if (blink) mix(ffn + "x_k", ours + "channel.mix");
    else map.whole(ffn + "x_k", ours + "channel.mix");
    map.whole(ffn + "key.weight", ours + "channel.gate");
    map.whole(ffn + "value.weight", ours + "channel.down");
  }
  norm(blink ? "ln_out" : "model.norm", "final_norm");
  if (!spec.tied) map.whole(blink ? "head.weight" : "lm_head.weight", "head");
  return map.take();
}

// BlinkDL's first block may hold the low-rank matrices that mix in the first layer's values, which it does not use.
bool ignores(const ModelSpec& spec, const std::string& tensor) {
  return tensor == "blocks.0.att.v0" || tensor == "blocks.0.att.v1" || tensor == "blocks.0.att.v2" || (spec.tied && tensor == "lm_head.weight");
}

}  // namespace

Family rwkv7() {
  return {"rwkv7", "Recurrent layers with token shift: a state per head that decays per channel and replaces what it held under the current key. [Peng et al., RWKV-7, 2025]", read, write, tensors, ignores, complete};
}

}  // namespace gamut::family
