// Sequence to sequence: −Σ log p(y_t | y_{<t}, x). [Sutskever et al. 2014; Vaswani et al. 2017]
#include <algorithm>
#include <cmath>

#include "objectives/source_target.h"

namespace gamut {
namespace {

class Seq2Seq : public SourceTarget {
 public:
  explicit Seq2Seq(Config& cfg) : SourceTarget(cfg, 2, 1), share_(cfg.take_in<double>("source", 0.5, 0, 1)), separator_(cfg.take_in<int32_t>("separator", -1, -1, 1 << 30)) {
    if (separator_ >= 0 && cfg.has("source")) cfg.reject("separator", "and source exclude each other: both say where a row is cut");
  }
  std::vector<std::string> special_tokens() const override { return {"<pad>", "</s>"}; }

  Example example(const TokenRows& text, const Draw&) const override {
    if (text.length < 2) throw Error({.who = "model", .what = "a row needs at least two tokens: a source and a target", .hint = "train.length"});
    std::vector<Pair> pairs;
    bool any = separator_ < 0;
    for (int64_t b = 0; b < text.rows; ++b) {
      const auto row = text.inputs.subspan(static_cast<size_t>(b * text.length), static_cast<size_t>(text.length));
      auto cut = row.begin() + std::clamp<int64_t>(std::llround(share_ * static_cast<double>(text.length)), 1, text.length - 1), target = cut;
      if (separator_ >= 0) {
        cut = std::find(row.begin() + 1, row.end(), separator_);
        target = cut == row.end() ? cut : cut + 1;
        any = any || target != row.end();
      }
      pairs.push_back({{row.begin(), cut}, {target, row.end()}});
      pairs.back().source.push_back(special(1));
    }
    if (!any) throw Error({.who = "train", .what = "no row of the batch holds the separator " + std::to_string(separator_) + " between a source and a target", .hint = "check objective.separator, or leave it out to cut every row"});
    // With a separator the lengths depend on the text; these do not.
    Example e = separator_ < 0 ? rows(pairs, 1, 1) : rows(pairs, text.length + 1, text.length);
    for (size_t b = 0; b < pairs.size(); ++b)
      if (pairs[b].target.empty()) e.labels[b * static_cast<size_t>(e.target_length)] = -100;  // an end after nothing teaches nothing
    return e;
  }

 private:
  double share_;
  int32_t separator_;
};

}  // namespace

std::unique_ptr<Objective> build_seq2seq(Config& cfg) { return std::make_unique<Seq2Seq>(cfg); }

}  // namespace gamut
