#include "modules/mixers/attention.h"
#include "modules/mixers/mixers.h"
#include "modules/mixers/mla.h"
#include "modules/registry.h"

namespace gamut {

std::vector<Registered<SequenceMixer>>& sequence_mixers() {
  static std::vector<Registered<SequenceMixer>> rows{
      {"attention",
       "Softmax attention over the visible positions: softmax(q·kᵀ/√K)·v, heads in parallel. kv_heads = heads is multi-head "
       "attention, 1 is multi-query, anything between grouped-query. Options: heads, kv_heads, head_dim, rope, rope_theta, rotary (dimensions "
       "that rotate), rope_interleaved, rope_scaling = {kind = linear | dynamic | yarn | llama3 | longrope | proportional, factor, original_positions, …}, window (0: unlimited), chunk (only keys of the same chunk of so many positions; 0: all), qk_norm (none, head, all: "
       "RMSNorm of each head or of all together; layer: LayerNorm of each head with weights of its own, layer_shared: with the same), norm_rotated (after rotation), norm_gain (its learnt weights), temperature and temperature_span (queries grow by "
       "1 + temperature·ln(⌊(position + 1)/span⌋ + 1); 0: they do not), scale (of q·k; 1/√K), bias, output_bias, gate (σ(W x) on the result), gate_bias (as bias), "
       "alibi (exponent of the slopes of a bias −slope·distance, usually 8; 0: none) and alibi_scale (of the slopes), softcap (c·tanh(score/c); 0: none), sinks (a learnt score per head that takes part of the softmax), clip (q, k and v are cut off at ±clip, after norms; 0: nowhere), "
       "relative_bias = {buckets, max_distance} (a learnt bias by distance) or {shared = true} (that of the last layer that has one). "
       "[Vaswani et al. 2017; Ainslie et al. 2023; Su et al. 2021; Press et al. 2021; Raffel et al. 2020]",
       build_attention,
       {R"({"heads": 4, "kv_heads": 2, "qk_norm": "head", "rotary": 4, "gate": true})", R"({"heads": 2, "head_dim": 12, "window": 9, "bias": true, "qk_norm": "all", "rope_interleaved": true})",
        R"({"heads": 4, "kv_heads": 2, "qk_norm": "layer"})", R"({"heads": 4, "kv_heads": 2, "qk_norm": "layer_shared"})", R"({"qk_norm": "head", "norm_rotated": true, "norm_gain": false, "temperature": 0.4, "temperature_span": 3})", R"({"window": 20, "softcap": 2, "sinks": true})", R"({"chunk": 16, "clip": 4})", R"({"rope": false, "alibi": 8, "alibi_scale": 0.5, "kv_heads": 2})", R"([{"rope": false, "relative_bias": {"buckets": 8, "max_distance": 40}}, {"relative_bias": {"shared": true}}])"}, Looks::both_ways},
      {"mla",
       "Multi-head latent attention: keys and values are linear maps of a short latent c = norm(W x), and a rotating part of each key is shared by all heads; only these are remembered. Decoding takes "
       "scores in the latent space (absorbed form). Options: heads, nope and rotary (dimensions of a head's query and key that stay and that rotate), value, latent, query_rank (0: queries straight from "
       "x), bias (of the maps from x and of the output), norm_eps, query_scale and latent_scale (of the normalised latents), rope (false: the rotary part stays, too), rope_theta, rope_interleaved, "
       "rope_scaling, mscale (scores times (0.1·mscale·ln factor + 1)²), indexer = {heads, head_dim, keys, interleaved} (each query sees the `keys` positions with the largest Σ w·ReLU(q·k); not trained). "
       "[DeepSeek-AI, DeepSeek-V2, 2024; DeepSeek-V3.2, 2025]",
       build_mla,
       {R"({"heads": 4, "nope": 8, "rotary": 4, "value": 6, "latent": 20, "rope_interleaved": true})",
        R"({"heads": 2, "nope": 5, "rotary": 6, "value": 9, "latent": 11, "query_rank": 14, "bias": true, "query_scale": 0.8, "latent_scale": 1.3, "mscale": 0.7, "rope_scaling": {"kind": "yarn", "factor": 4, "original_positions": 16}})",
        R"({"heads": 2, "nope": 5, "rotary": 4, "value": 6, "latent": 11, "query_rank": 9, "indexer": {"heads": 3, "head_dim": 7, "keys": 24}})"},
       Looks::both_ways},
      {"moa",
       "Mixture of attention heads: of `experts` pairs of maps, to queries and from what they find, each token takes top_k by a softmax over the winners; keys and values are common to all. "
       "Options: experts, top_k, heads (of an expert, and of keys and values), head_dim, bias (of the result), rope_theta, rope_scaling, pooled (coefficient of the balancing loss pooled over layers). [Zhang et al., Mixture of attention heads, 2022]",
       build_moa,
       {R"({"experts": 3, "heads": 2, "head_dim": 6, "bias": true})"}, Looks::both_ways},
      {"cross_attention",
       "Attention of a decoder over the encoded source: softmax(q·kᵀ·scale)·v with q from x, k and v from the encoder's last layer; all of the source is visible. Options: heads, kv_heads, "
       "head_dim, scale (1/√K), bias. [Vaswani et al. 2017]",
       build_cross_attention,
       {R"({"heads": 4, "kv_heads": 2, "bias": true})"}, Looks::at_source},
      {"gated_deltanet",
       "A state S per head that decays and is corrected towards what it should hold: S ← e^g·S, S ← S + kᵀ·β(v − k·S), o = q·S/√K, with q, k, v after a short causal "
       "convolution, q and k of length 1, and o normalised and gated. Constant memory. Options: key_heads, value_heads, key_dim, value_dim, conv (taps; 0: no convolution), "
       "gate (SiLU(W x) on the result), beta_scale (of β, up to 2), norm_eps, activation (after the convolution). "
       "[Yang et al., Gated Delta Networks, 2024]",
       [](const BuildContext& ctx, Config& o) { return build_gated_deltanet(ctx, o, true); },
       {R"({"key_heads": 2, "value_heads": 4, "key_dim": 12, "value_dim": 9, "conv": 3})", R"({"key_heads": 2, "key_dim": 4, "activation": "gelu"})"}},
      {"deltanet",
       "A state S per head that is corrected towards what it should hold: S ← S + kᵀ·β(v − k·S), o = q·S/√K, with q, k, v after a short causal convolution, q and k of length 1, and o "
       "normalised. Constant memory. Options: those of gated_deltanet, without a gate by default. [Schlag et al. 2021; Yang et al., Parallelizing linear transformers with the "
       "delta rule, 2024]",
       [](const BuildContext& ctx, Config& o) { return build_gated_deltanet(ctx, o, false); },
       {R"({"key_heads": 2, "key_dim": 9, "value_dim": 5, "beta_scale": 2})", R"({"key_heads": 2, "value_heads": 4, "key_dim": 6, "conv": 0, "gate": true})"}},
      {"gated_conv",
       "A short causal convolution between two gates: y = W_o(c∘conv(b∘v)), b, c, v = W x. Its memory is the last inputs of the convolution. Options: taps, bias (of the maps and the convolution). "
       "[Liquid AI, LFM2, 2025]",
       build_gated_conv,
       {R"({"taps": 3})", R"({"taps": 5, "bias": true})"}},
      {"kda",
       "Kimi delta attention: a state S per head whose rows decay each at their own rate and are corrected towards what they should hold: S ← diag(e^g)·S, S ← S + kᵀ·β(v − k·S), o = q·S/√K, with q, k, v "
       "after a short causal convolution, q and k of length 1, g from a map of low rank, and o normalised and gated by σ. Constant memory. Options: heads, key_dim, value_dim, conv, decay_rank, gate_rank, "
       "gate_bias, beta_scale (2 allows that a key's slot turns its sign), norm_eps, activation (after the convolution). [Kimi Team, Kimi Linear, 2025]",
       build_kda,
       {R"({"heads": 2, "key_dim": 12, "value_dim": 9, "conv": 3, "gate_bias": true, "beta_scale": 2})", R"({"heads": 2, "key_dim": 4, "activation": "gelu"})"}},
      {"lightning",
       "Linear attention whose state decays by a fixed number, smaller for later heads and layers: S ← e^(−s)·S + kᵀv, o = q·S, with q, k, v activated and o normalised over all heads and gated by "
       "σ(W x). Constant memory. Options: heads, head_dim, activation, norm_eps. [Qin et al., Lightning Attention-2, 2024; MiniMax, MiniMax-01, 2025]",
       build_lightning,
       {R"({"heads": 3, "head_dim": 10})"}},
      {"retnet",
       "Retention: a state S per head that decays by a constant: S ← γ·S + kᵀv, o = q·S/√K, γ = 1 − 2^(−5−h) for head h = 0 …, with rotated q and k, and o normalised and gated by "
       "SiLU(W x). Constant memory. Options: heads, key_dim, value_dim, rope_theta, norm_eps. [Sun et al., Retentive Network, 2023]",
       build_retnet,
       {R"({"heads": 3, "key_dim": 6, "value_dim": 9})"}},
      {"gla",
       "Gated linear attention: a state S per head that decays by a number for each key channel and token: S ← diag(e^g)·S + kᵀv, o = q·S/√K, g = log σ(W_2·W_1 x + b)/divisor, and o "
       "normalised and gated by SiLU(W x). Constant memory. Options: heads, key_dim, value_dim, decay_rank, decay_divisor (16), decay_min (least g), norm_eps. "
       "[Yang et al., Gated linear attention transformers, 2023]",
       build_gla,
       {R"({"heads": 2, "key_dim": 5, "value_dim": 9, "decay_rank": 3})", R"({"heads": 3, "decay_divisor": 2, "decay_min": -2})"}},
      {"mamba",
       "A selective state space: h ← e^(ΔA)·h + Δ·B·x, y = C·h + D·x for `state` numbers per channel, with Δ, B and C computed from x after a short causal convolution; gated by SiLU(z). Constant "
       "memory. Options: inner, state, rank (of Δ), conv, conv_bias, bias, norms (of Δ, B, C: none, plain, gain), norm_eps, activation (after the convolution). [Gu & Dao, Mamba, 2023]",
       build_mamba,
       {R"({"state": 5, "rank": 3, "norms": "gain"})", R"({"inner": 40, "state": 4, "conv": 2, "bias": true, "conv_bias": false, "norms": "plain", "activation": "gelu"})"}},
      {"mamba2",
       "A selective state space with one decay per head: h ← e^(ΔA)·h + Δ·Bᵀx, y = C·h + D·x, with x, B, C after a short causal convolution and Δ = softplus(dt + bias); gated by SiLU(z) and "
       "normalised in groups. Constant memory. Options: heads, head_dim, groups, state, conv, conv_bias, bias, norm, norm_groups, norm_eps, step_min, step_max, activation (after the "
       "convolution). [Dao & Gu, Transformers are SSMs, 2024]",
       build_mamba2,
       {R"({"heads": 4, "head_dim": 6, "groups": 2, "state": 9})", R"({"heads": 3, "head_dim": 16, "state": 16, "norm": false, "bias": true, "conv_bias": false, "activation": "gelu_tanh"})"}},
      {"rwkv4",
       "A mean of all values so far, channel by channel, with weights e^k that decay by a constant a token, the current one with e^(u + k): gated by σ(r), inputs mixed with those of the "
       "position before. Constant memory, one token after another. Options: inner. [Peng et al., RWKV, 2023]",
       build_rwkv4,
       {R"({"inner": 18})"}},
      {"rwkv5",
       "A state S per head that decays per channel: o = r·(S + diag(u)·kᵀv), S ← diag(w)·S + kᵀv, with inputs mixed with those of the position before, and o normalised and gated. "
       "Constant memory. Options: inner (width of all heads), head_dim, norm_eps. [Peng et al., Eagle and Finch, 2024]",
       [](const BuildContext& ctx, Config& o) { return build_rwkv6(ctx, o, false); },
       {R"({"inner": 18, "head_dim": 6})"}},
      {"rwkv6",
       "RWKV-5 whose decays w and mixtures with the position before depend on the text, by maps of low rank. Constant memory. Options: those of rwkv5, mix_rank, decay_rank. "
       "[Peng et al., Eagle and Finch, 2024]",
       [](const BuildContext& ctx, Config& o) { return build_rwkv6(ctx, o, true); },
       {R"({"head_dim": 4, "mix_rank": 3, "decay_rank": 5})"}},
      {"rwkv7",
       "A state S per head that decays per channel and replaces what it held under the current key: S ← diag(w)·S + (κ̂∘a)ᵀ(−κ̂·S) + k̃ᵀv, o = r·S, with inputs mixed with those of the position before. Later "
       "layers mix in the first layer's values. Constant memory. Options: head_dim, decay_rank, rate_rank, residual_rank, gate_rank, norm_eps, key_eps (in the length of κ̂), first_layer. [Peng et al., RWKV-7, 2025]",
       build_rwkv7,
       {R"({"head_dim": 8})"}},
      {"lstm",
       "Long short-term memory: c ← σ(f)·c + σ(i)·tanh(g), h = σ(o)·tanh(c), gates from W x + U h. Constant memory, one token after another. Options: hidden, bias, output (a map from h to the width). "
       "[Hochreiter & Schmidhuber 1997]",
       [](const BuildContext& ctx, Config& o) { return build_rnn(ctx, o, kernels::Cell::lstm); }, {R"({"hidden": 21})"}},
      {"gru",
       "Gated recurrent unit: n = tanh(W x + σ(r)·U h), h ← (1 − σ(z))·n + σ(z)·h. Constant memory, one token after another. Options: hidden, bias, output (a map from h to the width). [Cho et al. 2014]",
       [](const BuildContext& ctx, Config& o) { return build_rnn(ctx, o, kernels::Cell::gru); }, {R"({"hidden": 21})"}},
      {"rnn", "A plain recurrent network: h ← tanh(W x + U h). Constant memory, one token after another. Options: hidden, bias, output (a map from h to the width). [Elman 1990]",
       [](const BuildContext& ctx, Config& o) { return build_rnn(ctx, o, kernels::Cell::tanh); }, {R"({"output": false, "bias": false})"}},
      {"none", "No sequence mixer: the layer is its channel mixer alone.", [](const BuildContext&, Config&) { return std::unique_ptr<SequenceMixer>(); }},
  };
  return rows;
}

}  // namespace gamut
