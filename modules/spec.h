// ModelSpec: a model as a value along four axes. Families translate published configurations to and from it; recipes write it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config.h"
#include "kernels/attention.h"

namespace gamut {

// A component by its registered kind with its own options ({"heads": 4, …}): each component reads, checks and
// documents its options itself, so a new mixer or router needs no change here.
struct Component {
  std::string kind;
  Json options = Json::object();
  bool operator==(const Component&) const = default;
};

// What a block makes of x: input·x + result·f(x).
struct Shares {
  double input = 1, result = 1;
  bool operator==(const Shares&) const = default;
};

struct LayerSpec {
  Component mixer;          // axis 1: how positions exchange information (modules/mixers/registry.cpp)
  Component channel;        // axis 2: what happens at each position (modules/channels/registry.cpp)
  Component cross{"none"};  // between the two, in decoders that read an encoder: a mixer that looks at the encoded source
  Shares mixer_shares = {}, channel_shares = {};
  bool operator==(const LayerSpec&) const = default;
};

// Of a block f: x + f(norm(x)); norm(x + f(x)) [Vaswani et al. 2017]; x + norm(f(x)) [OLMo 2]; x + norm'(f(norm(x))) [Gemma 2]; f(x), without norms and residual;
// or y + f(y) of y = norm(x) [MiniMax-01]. Where x does not leave a block normalised, it is at the end.
enum class NormPlacement : uint8_t { pre, post, none, branch, both, stream };
// Of a layer: mixer, then channel mixer; or both read the same x, each behind its norm or behind one [GPT-J, PaLM].
enum class Residual : uint8_t { sequential, parallel, parallel_one_norm };

struct ModelSpec {
  int64_t vocab = 0, width = 0;
  std::vector<LayerSpec> layers;
  std::vector<LayerSpec> encoder;  // not empty: an encoder-decoder, and `layers` are the decoder's
  std::string norm = "rms";  // rms | layer
  double norm_eps = 1e-5;
  double final_norm_eps = 0;       // of the norm at the end; 0: norm_eps
  bool norm_gain = true, norm_bias = true;  // learnt weights of norms; a bias with `layer` alone
  NormPlacement placement = NormPlacement::pre;
  Residual residual = Residual::sequential;
  double residual_scale = 1;       // of what each block adds
  bool tied = false;               // the head is the embedding
  int64_t embedding_width = 0;     // 0: width. A matrix makes another one the model's width [Lan et al., ALBERT, 2019]; with placement none the first mixer takes it as it is
  double embedding_scale = 1;
  bool embedding_norm = false;     // a norm right after the embedding
  double init_std = 0.02;          // of all matrices; projections into the residual stream: divided by √(2·layers) when scaled
  bool init_scaled_residual = true;
  std::string positions = "none";  // added to the embedding: none (mixers know positions themselves) | learned (a table of max_positions rows) | sinusoidal, sinusoidal_t2t (modules/positions/sinusoidal.h)
  int64_t max_positions = 2048;
  int64_t position_offset = 0;     // rows before the first position's in that table
  int64_t token_types = 0;         // kinds of segment with an embedding each, added as well; 0: none
  std::vector<Component> heads{{"vocabulary"}};  // what is computed from the last layer (modules/heads/registry.cpp)
  Component objective{"causal"};     // axis 3: objectives/registry.cpp
  std::string dtype = "bf16";        // axis 4: type of activations and packed weights: f32 | bf16 | f64 (reference)

  // The [model] table of a recipe; unknown keys, wrong types and impossible shapes are Errors naming key and line.
  static ModelSpec from_config(Config& cfg);
  Json to_json() const;  // such that from_config reads it back to an equal spec
  // The residual stream passes blocks by and is normalised at its end.
  bool has_final_norm() const { return placement != NormPlacement::post && placement != NormPlacement::none; }
  bool operator==(const ModelSpec&) const = default;
};

}  // namespace gamut
