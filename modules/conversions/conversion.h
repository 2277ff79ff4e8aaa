// One model's parameters made from another's: dense models become mixtures of experts (upcycling), mixtures become dense or lose experts.
//
//   Config cfg(Json{{"experts", 8}, {"method", "drop"}});
//   const Conversion conversion = upcycled(parent.spec(), cfg);   // shapes alone
//   Model child(conversion.spec, device);
//   conversion.fill(parent.parameters(), child.parameters(), seed, pool);
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "modules/model.h"

namespace gamut {

// A feed-forward layer, or one expert, in double.
struct FfnValues {
  int64_t hidden = 0, width = 0;
  std::vector<double> gate, up, down;                 // [H, D], ? [H, D], [D, H]
  std::vector<double> gate_bias, up_bias, down_bias;  // ? [H], [H], [D]

  FfnValues units(int64_t first, int64_t count) const;  // some of the hidden units; biases of the result stay whole
  void scale_down(double by);                           // the result with its bias
};
// FFNs whose results add up, as one of all their hidden units.
FfnValues side_by_side(std::span<const FfnValues> parts);

// Parameters below `prefix` ("layers.0.channel."), named as add_ffn names them; expert < 0: a dense layer.
FfnValues read_ffn(const Parameters& parameters, const std::string& prefix, int64_t expert = -1);
void write_ffn(Parameters& parameters, const std::string& prefix, int64_t expert, const FfnValues& values);

struct Conversion {
  ModelSpec spec;       // of the result
  std::string changes;  // why its logits are not the parent's; empty: they are, but for rounding
  struct Layer {
    std::string prefix;  // of its parameters: "layers.0.channel"
    Component before, after;
  };
  std::vector<Layer> layers;  // channel mixers that are made anew
  // Makes the parameters of one of them. All others are copied by name.
  std::function<void(const Layer& layer, const Parameters& from, Parameters& to, uint64_t seed)> convert;

  // Fills the parameters of a model of `spec`; what the parent lacks begins as the model's `seed` draws it. Both may be f32 or f64.
  void fill(const Parameters& from, Parameters& to, uint64_t seed, ThreadPool& pool) const;
};

// ---- Dense → mixture of experts ----

// How experts that begin alike are made to differ.
struct UpcycleMethod {
  std::string kind, meaning;
  bool keeps;  // what an expert computes
  using Change = std::function<void(FfnValues& expert, const RandomStream& stream)>;
  Change (*build)(Config& options);
};
const std::vector<UpcycleMethod>& upcycle_methods();  // registry.cpp

// Options: method (copy) and its own; experts (8), top_k (2); granularity g (1): each expert is one g-th of the layer's hidden units, experts/g copies of
// each; normalise (gates divided by their sum; when top_k > 1, and for routers other than topk, whose gates are taken to sum to 1); scaling of the g-ths so
// that sums stay: down (of the last matrix), spread (evenly over an expert's matrices), none; shared w (0): a shared expert gives the share w of the layer's
// result, the others 1 − w; layers: list, or every n-th (every) after the first n (first); router_init normal | uniform | zero of router_std (0.02),
// virtual_groups (with granularity > 1): the g parts of one copy get equal router rows and are chosen together; moe: more options of the channel mixer, for
// example moe.router.balance. Layers that are no `ffn` stay. Error when nothing is left to convert or the options do not fit. [Komatsuzaki et al., Sparse
// upcycling, 2022; He et al., Upcycling LLMs into mixture of experts, 2024]
Conversion upcycled(const ModelSpec& dense, Config& options);

// ---- Mixture of experts → dense, or fewer experts ----

// What one mixture becomes.
struct Reduction {
  int64_t hidden = 0;   // of the dense layer that replaces the routed experts, or
  int64_t experts = 0;  // how many experts are kept
  // One of the two. `use` is what the mixture did on some text.
  std::function<FfnValues(const std::function<FfnValues(int64_t)>& expert, const RoutingRecord& use)> dense;
  std::function<std::vector<int64_t>(const RoutingRecord& use)> kept;
};
struct DowncycleMethod {
  std::string kind, meaning;
  Reduction (*build)(Config& options, int64_t experts, int64_t hidden);
};
const std::vector<DowncycleMethod>& downcycle_methods();  // registry.cpp

// Options: method (merge) and its own. `use`: one record for each mixture, summed over the text it was measured on. Error when a layer's mixture cannot be
// expressed so.
Conversion downcycled(const ModelSpec& sparse, Config& options, std::vector<RoutingRecord> use);

// Experts by falling gate mass (importance), or by how often they were chosen; the lowest first among equals.
std::vector<int64_t> by_use(const RoutingRecord& use, bool by_gate);
// Takes the option `by`: gate (true) or load.
bool take_by_gate(Config& options);

UpcycleMethod::Change build_copy(Config& options);
UpcycleMethod::Change build_drop(Config& options);
UpcycleMethod::Change build_noise(Config& options);
Reduction build_merge(Config& options, int64_t experts, int64_t hidden);
Reduction build_top(Config& options, int64_t experts, int64_t hidden);
Reduction build_concat(Config& options, int64_t experts, int64_t hidden);
Reduction build_prune(Config& options, int64_t experts, int64_t hidden);

}  // namespace gamut
