// Span corruption: runs of tokens are cut out of the source, a sentinel in place of each; the target gives the sentinels and what they stand for.
// [Raffel et al., T5, 2020]
#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "objectives/source_target.h"

namespace gamut {
namespace {

// How many tokens are cut out of `length`, in how many runs. Computed in f32, halves to even, as the paper's code does.
struct Spans {
  int64_t noise, count;
  Spans(int64_t length, double rate, double mean) {
    noise = std::clamp<int64_t>(static_cast<int64_t>(std::nearbyint(static_cast<float>(length) * static_cast<float>(rate))), 1, length - 1);
    count = std::max<int64_t>(1, static_cast<int64_t>(std::nearbyint(static_cast<float>(noise) / static_cast<float>(mean))));
    count = std::min({count, noise, length - noise});
  }
};

// n cut into s parts of at least 1, every way alike: which s−1 of the n−1 places between are cuts, by a shuffle.
std::vector<int64_t> parts(int64_t n, int64_t s, const RandomStream& stream, uint64_t& draws) {
  std::vector<uint8_t> cut(static_cast<size_t>(n - 1), 0);
  std::fill_n(cut.begin(), s - 1, uint8_t{1});
  for (size_t i = cut.size(); i > 1; --i) std::swap(cut[i - 1], cut[stream.below(draws++, i)]);
  std::vector<int64_t> sizes{1};
  for (const uint8_t c : cut) {
    if (c) sizes.push_back(0);
    ++sizes.back();
  }
  return sizes;
}

class SpanCorruption : public SourceTarget {
 public:
  explicit SpanCorruption(Config& cfg) : SpanCorruption(cfg, cfg.take_in<int64_t>("sentinels", 100, 1, 1 << 20)) {}
  std::vector<std::string> special_tokens() const override {
    std::vector<std::string> names{"<pad>", "</s>"};
    for (int64_t i = 0; i < sentinels_; ++i) names.push_back("<extra_id_" + std::to_string(i) + ">");
    return names;
  }

  Example example(const TokenRows& text, const Draw& draw) const override {
    if (text.length < 2) throw Error({.who = "model", .what = "a row needs at least two tokens: one that stays and one that is cut out", .hint = "train.length"});
    const Spans spans(text.length, rate_, mean_);
    if (spans.count > sentinels_)
      throw Error({.who = "model", .what = "rows of " + std::to_string(text.length) + " tokens have " + std::to_string(spans.count) + " spans, and there are " + std::to_string(sentinels_) + " sentinels", .hint = "objective.sentinels"});
    std::vector<uint8_t> cut;
    for (int64_t b = 0; b < text.rows; ++b) {
      const RandomStream stream(draw.seed, "spans", std::to_string(draw.first_row + b));
      uint64_t draws = 0;
      const std::vector<int64_t> kept = parts(text.length - spans.noise, spans.count, stream, draws), noise = parts(spans.noise, spans.count, stream, draws);
      for (size_t j = 0; j < kept.size(); ++j) {
        cut.insert(cut.end(), static_cast<size_t>(kept[j]), 0);
        cut.insert(cut.end(), static_cast<size_t>(noise[j]), 1);
      }
    }
    return without(text.inputs, text.rows, text.length, cut, nullptr);
  }
  // Labels at the hidden tokens alone, not at sentinels and the end.
  std::optional<Example> hiding(const TokenRows& text, std::span<const uint8_t> hidden) const override {
    std::vector<std::vector<uint8_t>> asked;
    Example e = without(text.targets, text.rows, text.length, hidden, &asked);
    for (int64_t b = 0; b < e.rows; ++b)
      for (int64_t t = 0; t < e.target_length; ++t)
        if (t >= std::ssize(asked[static_cast<size_t>(b)]) || !asked[static_cast<size_t>(b)][static_cast<size_t>(t)]) e.labels[static_cast<size_t>(b * e.target_length + t)] = -100;
    return e;
  }

 private:
  SpanCorruption(Config& cfg, int64_t sentinels)
      : SourceTarget(cfg, static_cast<size_t>(sentinels) + 2, 1), sentinels_(sentinels), rate_(cfg.take_in<double>("rate", 0.15, 0, 1)), mean_(cfg.take_in<double>("mean_span", 3.0, 1.0, 1e6)) {}

  // Every run of tokens marked in `cut` becomes a sentinel. asked: ? for each row, which tokens of the target those are.
  Example without(std::span<const int32_t> ids, int64_t count, int64_t length, std::span<const uint8_t> cut, std::vector<std::vector<uint8_t>>* asked) const {
    std::vector<Pair> pairs;
    for (int64_t b = 0; b < count; ++b) {
      Pair pair;
      std::vector<uint8_t> own;
      size_t runs = 0;
      for (auto at = static_cast<size_t>(b * length), end = at + static_cast<size_t>(length), first = at; at < end; ++at) {
        if (cut[at] && (at == first || !cut[at - 1])) {
          pair.source.push_back(special(2 + runs));
          pair.target.push_back(special(2 + runs++));
          own.push_back(0);
        }
        (cut[at] ? pair.target : pair.source).push_back(ids[at]);
        if (cut[at]) own.push_back(1);
      }
      pair.source.push_back(special(1));
      pairs.push_back(std::move(pair));
      if (asked) asked->push_back(std::move(own));
    }
    return rows(pairs, 1, 1);
  }

  int64_t sentinels_;
  double rate_, mean_;
};

}  // namespace

std::unique_ptr<Objective> build_span_corruption(Config& cfg) { return std::make_unique<SpanCorruption>(cfg); }

}  // namespace gamut
