#include "modules/conversions/conversion.h"

namespace gamut {

const std::vector<UpcycleMethod>& upcycle_methods() {
  static const std::vector<UpcycleMethod> rows{
      {"copy",
       "Every expert is the dense layer, or with granularity g one g-th of it. With gates that sum to 1 the model computes what its parent does; experts part "
       "because they see "
       "different tokens. [Komatsuzaki et al., Sparse upcycling, 2022; He et al., Upcycling LLMs into mixture of experts, 2024]",
       true, build_copy},
      {"drop",
       "A share drop_share (0.5) of each expert's hidden units is drawn anew with the mean and deviation of what it replaces; the same units in all of an "
       "expert's matrices, or with "
       "drop_each others in each. Logits change. [Nakamura et al., Drop-Upcycling, 2025]",
       false, build_drop},
      {"noise", "Normal noise of noise_std (0.02) on the share noise_share (0.5) of each expert's weights. Logits change.", false, build_noise},
  };
  return rows;
}

const std::vector<DowncycleMethod>& downcycle_methods() {
  static const std::vector<DowncycleMethod> rows{
      {"merge",
       "A dense layer with the mean of all experts' weights, weighed by their measured gates (by = gate), by how often they were chosen (load), or not "
       "(uniform).",
       build_merge},
      {"top", "A dense layer that is the most used expert (by = gate or load). [Chen et al., Task-specific expert pruning, 2022]", build_top},
      {"concat",
       "A dense layer with the hidden units of the most used `experts` (all) side by side, each weighed by its share of the measured gates: undoes a split.",
       build_concat},
      {"prune", "The most used `experts` (half) of each layer are kept, with their router rows (by = gate or load); the model stays a mixture.", build_prune},
  };
  return rows;
}

}  // namespace gamut
