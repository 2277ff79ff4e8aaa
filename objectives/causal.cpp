// Next-token prediction: −Σ log p(x_{t+1} | x_{≤t}).
#include "objectives/objective.h"

namespace gamut {
namespace {

class Causal : public Objective {
 public:
  kernels::Sight sight() const override { return {.causal = true}; }
  Example example(const TokenRows& text, const Draw&) const override {
    return {.rows = text.rows, .length = text.length, .ids = {text.inputs.begin(), text.inputs.end()}, .labels = {text.targets.begin(), text.targets.end()}};
  }
  std::optional<Example> hiding(const TokenRows& text, std::span<const uint8_t> hidden) const override { return asking_for(text, hidden); }
  Example given(Example e) const override {
    shift_labels(e);
    return e;
  }
  Number number() const override { return Number::exact; }
  Writing writing() const override { return Writing::left_to_right; }
};

}  // namespace

std::unique_ptr<Objective> build_causal(Config&) { return std::make_unique<Causal>(); }

}  // namespace gamut
