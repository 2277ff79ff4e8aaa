#include "objectives/objective.h"

#include <algorithm>

namespace gamut {

double Objective::weight(const Example& e) const {
  return static_cast<double>(std::count_if(e.labels.begin(), e.labels.end(), [](int32_t label) { return label >= 0; }));
}

ops::HeadLoss Objective::loss(Model& model, const Pass& settings, const Example& e, double scale) const {
  ExampleRun run(model, settings, sight(), e);
  return run.loss(model.head("logits"), e.labels, scale, e.weights);
}

}  // namespace gamut
