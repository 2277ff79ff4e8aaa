// Masked language modelling of pairs of texts, and next-sentence prediction: does the second follow the first (0), or is it from elsewhere (1)?
// Rows of text are cut in two at a random place. [Devlin et al., BERT, 2019]
#include <algorithm>

#include "base/rng.h"
#include "objectives/masking.h"

namespace gamut {
namespace {

class MaskedPairs : public Objective {
 public:
  explicit MaskedPairs(Config& cfg)
      : masking_(Masking::take(cfg)), random_next_(cfg.take_in<double>("random_next", 0.5, 0, 1)), short_(cfg.take_in<double>("short", 0.1, 0, 1)) {}

  kernels::Sight sight() const override { return {.causal = false}; }
  void check(const ModelSpec& spec) const override { need_both_ways(spec); }
  std::vector<std::string> special_tokens() const override { return Masking::special_tokens(); }
  std::vector<std::string> frame() const override { return {"[CLS]", "[SEP]"}; }
  Number number() const override { return Number::own; }

  Example example(const TokenRows& text, const Draw& draw) const override {
    if (text.length < 5) throw Error({.who = "mlm+nsp", .what = "rows of " + std::to_string(text.length) + " tokens hold no two texts beside [CLS] and two [SEP]", .hint = "lengthen train.length"});
    Example e = Masking::empty(text);
    for (int64_t b = 0; b < text.rows; ++b) {
      const RandomStream chance(draw.seed, "next sentence", std::to_string(draw.first_row + b));
      const auto most = static_cast<size_t>(text.length - 3);
      const size_t target = chance.uniform(0) < short_ ? 2 + chance.below(1, most - 1) : most;
      const auto all = text_of(text, b);
      const auto row = all.first(std::min(all.size(), target));
      const size_t cut = row.size() < 2 ? row.size() : 1 + chance.below(2, row.size() - 1);
      std::span<const int32_t> second = row.subspan(cut);
      int32_t label = second.empty() ? -100 : 0;
      if (text.rows > 1 && (second.empty() || chance.uniform(3) < random_next_)) {
        const auto other = text_of(text, (b + 1 + static_cast<int64_t>(chance.below(4, static_cast<uint64_t>(text.rows - 1)))) % text.rows);
        if (const size_t n = std::min(other.size(), target - cut); n > 0) {
          second = other.subspan(chance.below(5, other.size() - n + 1), n);
          label = 1;
        }
      }
      masking_.frame(e, b, row.first(cut), second);
      e.row_labels.push_back(label);
    }
    masking_.hide(e, draw);
    return e;
  }
  Example given(Example e) const override {
    if (e.row_labels.empty()) throw Error({.who = "mlm+nsp", .what = "needs to know of each row whether its second text follows the first", .hint = "give \"next_sentence_label\": [0, 1, …] (1: it does not)"});
    return e;
  }

  // Each of the two losses is a mean of its own: the second's over the rows of the step, of which this micro-batch has its share.
  ops::HeadLoss loss(Model& model, const Pass& settings, const Example& e, double scale) const override {
    ExampleRun run(model, settings, sight(), e);
    const ops::HeadLoss words = run.sparse_loss(model.head("logits"), e.labels, e.rows * masking_.chosen(e.length), scale, e.weights);
    const auto rows = std::count_if(e.row_labels.begin(), e.row_labels.end(), [](int32_t label) { return label >= 0; });
    run.loss(model.head("seq_relationship_logits"), e.row_labels, settings.loss_scale / static_cast<double>(std::max<int64_t>(rows, 1)));
    return words;
  }

 private:
  Masking masking_;
  double random_next_, short_;
};

}  // namespace

std::unique_ptr<Objective> build_mlm_nsp(Config& cfg) { return std::make_unique<MaskedPairs>(cfg); }

}  // namespace gamut
