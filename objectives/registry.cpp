#include "modules/registry.h"
#include "objectives/objective.h"

namespace gamut {

const std::vector<RegisteredObjective>& objectives() {
  static const std::vector<RegisteredObjective> rows{
      {"causal", "Next-token prediction: every position sees itself and what came before, and predicts the next token; the mean of −log p. [Bengio et al. 2003]", build_causal},
      {"prefix", "Prefix language model: the first tokens of a row see each other, the rest is predicted from left to right and bears the loss; rows are cut at a random place. [Raffel et al., T5, 2020]",
       build_prefix},
      {"masked_diffusion",
       "Every row hides each token behind the mask with probability p = (1 − ε)·t + ε for a time t of its own (evenly spread over rows) and predicts the hidden ones from all others: Σ −log p(x)/p, an upper "
       "bound of the negative log-likelihood in expectation. Options: specials (the mask's id), shift (a token is predicted at the position before it), epsilon. [Sahoo et al., MDLM, 2024; Nie et al., LLaDA, 2025]",
       build_masked_diffusion},
  };
  return rows;
}

std::unique_ptr<Objective> build_objective(const Component& component) {
  Config options(component.options, {.source = "model"}, "objective");
  auto built = find_registered(objectives(), component.kind, "objective").build(options);
  options.finish();
  return built;
}

}  // namespace gamut
