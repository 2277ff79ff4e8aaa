// The class of each row, from a head that looks at whole rows.
#include <algorithm>

#include "objectives/objective.h"

namespace gamut {
namespace {

class Classification : public Objective {
 public:
  kernels::Sight sight() const override { return {.causal = false}; }
  void check(const ModelSpec& spec) const override { need_both_ways(spec); }
  Number number() const override { return Number::own; }

  Example example(const TokenRows&, const Draw&) const override {
    throw Error({.who = "classification", .what = "needs a class for every row, and text has none", .hint = "train on plain text with the objective mlm"});
  }
  Example given(Example e) const override {
    if (e.row_labels.empty()) throw Error({.who = "classification", .what = "needs a class for every row", .hint = "give \"labels\": [0, 2, …], one for each row of input_ids"});
    return e;
  }
  double weight(const Example& e) const override {
    return static_cast<double>(std::count_if(e.row_labels.begin(), e.row_labels.end(), [](int32_t label) { return label >= 0; }));
  }
  ops::HeadLoss loss(Model& model, const Pass& settings, const Example& e, double scale) const override {
    const Head& head = model.head("logits");
    if (const Tensor w = head.classifier().w_NK; w && w.shape()[0] < 2) throw Error({.who = "classification", .what = "a single output is a number to regress, not a choice among classes"});
    ExampleRun run(model, settings, sight(), e);
    return run.loss(head, e.row_labels, scale);
  }
};

}  // namespace

std::unique_ptr<Objective> build_classification(Config&) { return std::make_unique<Classification>(); }

}  // namespace gamut
