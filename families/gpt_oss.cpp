// gpt-oss: sinks in attention, every other layer sliding, experts with biases whose gated product is cut and shifted. [OpenAI 2025]
#include "families/decoder.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "num_local_experts",
                                 .activation_key = nullptr,
                                 .experts = 128,
                                 .top_k = 4,
                                 .hidden = 2880,
                                 .activation = "quick_gelu",
                                 .linear_bias = true,
                                 .bias = true,
                                 .limit_key = "swiglu_limit",
                                 .limit = 7,
                                 .up_shift = 1,
                                 .router = "router",
                                 .layout = ExpertDialect::Layout::columns_by_turns};

// The sigmoid of quick_gelu has the slope 1.702.
void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 201088, .width = 2880, .layers = 36, .heads = 64, .kv_heads = 8, .head_dim = 64, .positions = 131072, .eps = 1e-5},
        {.hidden = nullptr});
  biases(k, d, "attention_bias", true);
  windows(k, d, 128, [](size_t layer) { return layer % 2 == 0; });
  k.only("swiglu_alpha", 1.702, "another slope of the gate");
  k.only("hidden_act", "silu", "another activation");
  k.ignore({"initial_context_length", "experts_per_token"}, "says again what other keys say");
  if (k.reading()) {
    Config& cfg = k.config();
    const Json packed = cfg.take_json("quantization_config");
    if (packed.is_object() && packed.value("quant_method", Json()) != Json("mxfp4"))
      cfg.reject("quantization_config", "has the method " + packed.value("quant_method", Json()).dump(), "\"mxfp4\" is supported");
    if (cfg.has("rope_parameters") || cfg.has("rope_scaling")) {
      rotation(k, d, 150000);
    } else {
      Config usual({{"rope_theta", cfg.take_in<double>("rope_theta", 150000, 1e-9, 1e30)},
                    {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 32.0}, {"truncate", false}, {"original_max_position_embeddings", 4096}}}});
      Keys inner(usual);
      rotation(inner, d, 150000);
    }
    for (AttentionOptions& a : d.attention) a.sinks = true;
  } else {
    rotation(k, d, 150000);
    if (k.json()["rope_scaling"].is_null()) k.json()["rope_scaling"] = {{"rope_type", "default"}};
  }
  common(k, d, false);
  experts(k, d, kExperts);
}
constexpr DecoderFamily kFamily{"gpt_oss", "GptOssForCausalLM", keys, {}, nullptr, &kExperts};

}  // namespace

Family gpt_oss() {
  return decoder_family<kFamily>(
      "Mixtures of experts with biases and a gated product that is cut and shifted; sinks in attention, every other layer sliding; experts may be in MXFP4. "
      "[OpenAI, gpt-oss, 2025]");
}

}  // namespace gamut::family
