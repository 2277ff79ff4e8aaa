// Masked (absorbing) diffusion: each row draws a time t, each token hides behind the mask with probability p = (1 − ε)·t + ε, and the
// hidden ones are predicted from all that is left: Σ over hidden of −log p(x_i) / p, an upper bound of the row's −log likelihood in
// expectation. [Sahoo et al., MDLM, 2024; Nie et al., LLaDA, 2025]
#include <cmath>

#include "base/rng.h"
#include "objectives/objective.h"

namespace gamut {
namespace {

class MaskedDiffusion : public Objective {
 public:
  explicit MaskedDiffusion(Config& cfg) {
    const auto specials = cfg.take<std::vector<int32_t>>("specials", {});
    if (specials.size() > 1) cfg.reject("specials", "must hold one token, the mask, not " + std::to_string(specials.size()));
    if (!specials.empty()) mask_ = specials[0];
    shift_ = cfg.take<bool>("shift", false);
    epsilon_ = cfg.take_in<double>("epsilon", 1e-3, 0, 1);
  }

  kernels::Sight sight() const override { return {.causal = false}; }
  void check(const ModelSpec& spec) const override { need_both_ways(spec); }
  std::vector<std::string> special_tokens() const override { return {"<|mask|>"}; }
  std::optional<Unmasking> unmasking() const override { return Unmasking{mask_, shift_}; }
  Number number() const override { return Number::bound; }
  Writing writing() const override { return Writing::unmasking; }

  // Times of consecutive rows fill (0, 1) evenly wherever a batch is cut: steps of the golden ratio from a random start.
  Example example(const TokenRows& text, const Draw& draw) const override {
    const RandomStream hidden(draw.seed, "masked_diffusion tokens");
    const double start = RandomStream(draw.seed, "masked_diffusion time").uniform(0);
    Example e{.rows = text.rows, .length = text.length, .ids = {text.targets.begin(), text.targets.end()}};
    e.labels.assign(e.ids.size(), -100);
    for (int64_t b = 0; b < text.rows; ++b) {
      const auto row = static_cast<uint64_t>(draw.first_row + b);
      const double turns = start + 0.6180339887498949 * static_cast<double>(row);
      e.times.push_back(static_cast<float>(turns - std::floor(turns)));
      const double p = hidden_share(e.times.back());
      for (int64_t t = 0; t < text.length; ++t) {
        const auto at = static_cast<size_t>(b * text.length + t);
        if (e.ids[at] < 0) {  // no text
          if (e.mask.empty()) e.mask.assign(e.ids.size(), 1);
          e.mask[at] = 0;
          e.ids[at] = 0;
        } else if (hidden.uniform(row << 24 | static_cast<uint64_t>(t)) < p) {
          e.labels[at] = e.ids[at];
          e.ids[at] = mask_;
        }
      }
    }
    return weighted(std::move(e));
  }
  std::optional<Example> hiding(const TokenRows& text, std::span<const uint8_t> hidden) const override {
    Example e = asking_for(text, hidden);
    e.ids.assign(text.targets.begin(), text.targets.end());
    for (size_t i = 0; i < e.ids.size(); ++i)
      if (hidden[i]) e.ids[i] = mask_;
    return e;
  }
  Example given(Example e) const override {
    if (static_cast<int64_t>(e.times.size()) != e.rows)
      throw Error({.who = "masked_diffusion", .what = "needs a time for each row", .hint = "give \"t\": [0.5, …] beside input_ids, in which the mask token stands where labels are"});
    return weighted(std::move(e));
  }

  double weight(const Example& e) const override {
    double n = 0;
    for (const uint8_t seen : e.mask) n += seen;
    return e.mask.empty() ? static_cast<double>(e.rows * e.length) : n;
  }
  ops::HeadLoss loss(Model& model, const Pass& settings, const Example& e, double scale) const override {
    ExampleRun run(model, settings, sight(), e);
    if (shift_) run.look_back();
    return run.loss(model.head("logits"), e.labels, scale, e.weights);
  }

 private:
  double hidden_share(double t) const { return (1 - epsilon_) * t + epsilon_; }
  Example weighted(Example e) const {
    e.weights.resize(e.labels.size());
    for (size_t i = 0; i < e.weights.size(); ++i) e.weights[i] = static_cast<float>(1 / hidden_share(e.times[i / static_cast<size_t>(e.length)]));
    return e;
  }

  int32_t mask_ = 0;
  bool shift_;
  double epsilon_;
};

}  // namespace

std::unique_ptr<Objective> build_masked_diffusion(Config& cfg) { return std::make_unique<MaskedDiffusion>(cfg); }

}  // namespace gamut
