#include "objectives/objective.h"

#include <algorithm>

#include "modules/registry.h"

namespace gamut {

double Objective::weight(const Example& e) const {
  return static_cast<double>(std::count_if(e.labels.begin(), e.labels.end(), [](int32_t label) { return label >= 0; }));
}

ops::HeadLoss Objective::loss(Model& model, const Pass& settings, const Example& e, double scale) const {
  ExampleRun run(model, settings, sight(), e);
  return run.loss(model.head("logits"), e.labels, scale, e.weights);
}

Example asking_for(const TokenRows& text, std::span<const uint8_t> hidden) {
  Example e{.rows = text.rows, .length = text.length, .ids = {text.inputs.begin(), text.inputs.end()}, .labels = {text.targets.begin(), text.targets.end()}};
  for (size_t i = 0; i < e.labels.size(); ++i)
    if (!hidden[i]) e.labels[i] = -100;
  return e;
}

void need_both_ways(const ModelSpec& spec) {
  std::string seen;
  for (const LayerSpec& layer : spec.encoder.empty() ? spec.layers : spec.encoder) {
    if (find_registered(sequence_mixers(), layer.mixer.kind, "sequence mixer").looks == Looks::both_ways) return;
    seen = layer.mixer.kind;
  }
  throw Error({.who = spec.objective.kind, .what = "a hidden token is to be guessed from both sides, but no layer sees what follows a position: " + seen + " looks back only",
               .hint = "give the model attention in some layers, or train it with the objective causal"});
}

}  // namespace gamut
