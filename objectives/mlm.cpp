// Masked language modelling: −Σ log p(x_i | all that is not hidden) over the chosen tokens. [Devlin et al., BERT, 2019]
#include "objectives/masking.h"

namespace gamut {
namespace {

class MaskedLanguageModel : public Objective {
 public:
  explicit MaskedLanguageModel(Config& cfg) : masking_(Masking::take(cfg)) {}

  kernels::Sight sight() const override { return {.causal = false}; }
  void check(const ModelSpec& spec) const override { need_both_ways(spec); }
  std::vector<std::string> special_tokens() const override { return Masking::special_tokens(); }
  std::vector<std::string> frame() const override { return {"[CLS]", "[SEP]"}; }
  Number number() const override { return Number::own; }

  Example example(const TokenRows& text, const Draw& draw) const override {
    if (text.length < 3) throw Error({.who = "mlm", .what = "rows of " + std::to_string(text.length) + " tokens hold no text between [CLS] and [SEP]", .hint = "lengthen train.length"});
    Example e = Masking::empty(text);
    for (int64_t b = 0; b < text.rows; ++b) {
      const auto row = text_of(text, b);
      masking_.frame(e, b, row.first(std::min(row.size(), static_cast<size_t>(text.length - 2))));
    }
    masking_.hide(e, draw);
    return e;
  }
  // Between [CLS] and [SEP].
  std::optional<Example> hiding(const TokenRows& text, std::span<const uint8_t> hidden) const override {
    Example e{.rows = text.rows, .length = text.length + 2};
    const auto n = static_cast<size_t>(e.rows * e.length);
    e.ids.resize(n);
    e.mask.resize(n);
    e.token_types.resize(n);
    e.labels.assign(n, -100);
    for (int64_t b = 0; b < text.rows; ++b) {
      const auto row = static_cast<size_t>(b * text.length);
      masking_.frame(e, b, text.targets.subspan(row, static_cast<size_t>(text.length)));
      for (size_t t = 0; t < static_cast<size_t>(text.length); ++t) {
        const size_t at = static_cast<size_t>(b * e.length) + 1 + t;
        if (!hidden[row + t]) continue;
        e.labels[at] = e.ids[at];
        e.ids[at] = masking_.mask;
      }
    }
    return e;
  }
  ops::HeadLoss loss(Model& model, const Pass& settings, const Example& e, double scale) const override {
    ExampleRun run(model, settings, sight(), e);
    return run.sparse_loss(model.head("logits"), e.labels, e.rows * masking_.chosen(e.length), scale, e.weights);
  }

 private:
  Masking masking_;
};

}  // namespace

std::unique_ptr<Objective> build_mlm(Config& cfg) { return std::make_unique<MaskedLanguageModel>(cfg); }

}  // namespace gamut
