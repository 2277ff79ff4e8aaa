// Several next tokens at once: −Σ log p(x_{t+1}) as causal, and λ/D times the same of each of D heads for tokens further on.
#include "objectives/objective.h"

namespace gamut {
namespace {

class MultiToken : public Objective {
 public:
  explicit MultiToken(Config& cfg) : weight_(cfg.take_in<double>("weight", 0.3, 0, 1e6)) {}

  kernels::Sight sight() const override { return {.causal = true}; }
  void check(const ModelSpec& spec) const override {
    for (const Component& head : spec.heads)
      if (head.kind == "further") return;
    throw Error({.who = "multi_token",
                 .what = "the model has no head for tokens beyond the next",
                 .hint = "heads = [\"vocabulary\", {kind = \"further\", depth = 1, mixer = {…}, channel = {…}}]"});
  }
  Example example(const TokenRows& text, const Draw&) const override {
    return {.rows = text.rows, .length = text.length, .ids = {text.inputs.begin(), text.inputs.end()}, .labels = {text.targets.begin(), text.targets.end()}};
  }
  Example given(Example e) const override {
    shift_labels(e);
    return e;
  }
  // Every depth's sum is divided by the number of next tokens, as the paper divides by T: so micro-batches add up.
  ops::HeadLoss loss(Model& model, const Pass& settings, const Example& e, double scale) const override {
    check(model.spec());
    ExampleRun run(model, settings, sight(), e);
    const ops::HeadLoss next = run.loss(model.head("logits"), e.labels, scale, e.weights);
    int64_t heads = 0;
    for (const auto& head : model.heads()) heads += head->further() > 0;
    for (const auto& head : model.heads()) {
      const int64_t depth = head->further();
      if (depth == 0) continue;
      std::vector<int32_t> labels(e.labels.size(), -100);
      for (int64_t i = 0; i < static_cast<int64_t>(labels.size()); ++i)
        if (i % e.length + depth < e.length) labels[static_cast<size_t>(i)] = e.labels[static_cast<size_t>(i + depth)];
      run.loss(*head, labels, scale * weight_ / static_cast<double>(heads));
    }
    return next;
  }
  Number number() const override { return Number::exact; }
  Writing writing() const override { return Writing::left_to_right; }

 private:
  double weight_;
};

}  // namespace

std::unique_ptr<Objective> build_multi_token(Config& cfg) { return std::make_unique<MultiToken>(cfg); }

}  // namespace gamut
