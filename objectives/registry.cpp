#include "modules/registry.h"
#include "objectives/objective.h"

namespace gamut {

const std::vector<RegisteredObjective>& objectives() {
  static const std::vector<RegisteredObjective> rows{
      {"causal", "Next-token prediction: every position sees itself and what came before, and predicts the next token; the mean of −log p. [Bengio et al. 2003]", build_causal},
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
