// Denoising: the source is the text with its sentences in another order and runs of tokens each replaced by one mask; the target is the whole text.
// [Lewis et al., BART, 2020]
#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "objectives/source_target.h"

namespace gamut {
namespace {

// One row's chance, one number after another.
class Chance {
 public:
  Chance(const Draw& draw, int64_t row) : stream_(draw.seed, "denoising", std::to_string(draw.first_row + row)) {}
  double uniform() { return stream_.uniform(draws_++); }
  size_t below(size_t n) { return static_cast<size_t>(stream_.below(draws_++, n)); }
  template <class T> void shuffle(std::vector<T>& list) {
    for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[below(i)]);
  }
  int64_t poisson(double mean) {  // by inversion
    double p = std::exp(-mean), sum = p;
    const double u = uniform();
    int64_t k = 0;
    for (; u >= sum && k < 1000; sum += p) p *= mean / static_cast<double>(++k);
    return k;
  }

 private:
  RandomStream stream_;
  uint64_t draws_ = 0;
};

class Denoising : public SourceTarget {
 public:
  explicit Denoising(Config& cfg)
      : SourceTarget(cfg, 3, 0), rate_(cfg.take_in<double>("rate", 0.3, 0, 1)), mean_(cfg.take_in<double>("mean_span", 3.0, 0.01, 100.0)), random_(cfg.take_in<double>("random", 0.1, 0, 1)),
        permute_(cfg.take_in<double>("permute", 1.0, 0, 1)), ends_(cfg.take<std::vector<int32_t>>("sentence_ends", {})) {}
  std::vector<std::string> special_tokens() const override { return {"</s>", "<s>", "<mask>"}; }
  void check(const ModelSpec&) const override {
    if (permute_ > 0 && ends_.empty())
      throw Error({.who = "model", .what = "denoising cannot tell sentences apart to permute them", .hint = "objective.sentence_ends = [ids of tokens that end a sentence], or objective.permute = 0"});
  }

  Example example(const TokenRows& text, const Draw& draw) const override {
    const int32_t end = special(0), begin = special(1);
    std::vector<Pair> pairs;
    for (int64_t b = 0; b < text.rows; ++b) {
      Chance chance(draw, b);
      const auto first = text.inputs.begin() + b * text.length;
      const std::vector<int32_t> row(first, first + text.length);
      std::vector<int32_t> source = infilled(permuted(row, chance), chance), target = row;
      source.insert(source.begin(), begin);
      source.push_back(end);
      target.insert(target.begin(), begin);
      pairs.push_back({std::move(source), std::move(target)});
    }
    return rows(pairs, text.length + 2, 1);  // insertions aside, a source is never longer
  }

 private:
  // A share of the sentences change places with each other. A run of tokens that end sentences ends one together.
  std::vector<int32_t> permuted(const std::vector<int32_t>& row, Chance& chance) const {
    const auto ends = [&](size_t i) { return std::find(ends_.begin(), ends_.end(), row[i]) != ends_.end(); };
    std::vector<std::vector<int32_t>> sentences(1);
    for (size_t i = 0; i < row.size(); ++i) {
      sentences.back().push_back(row[i]);
      if (i + 1 < row.size() && ends(i) && !ends(i + 1)) sentences.emplace_back();
    }
    std::vector<size_t> chosen(sentences.size());
    for (size_t i = 0; i < chosen.size(); ++i) chosen[i] = i;
    chance.shuffle(chosen);
    chosen.resize(static_cast<size_t>(std::ceil(permute_ * static_cast<double>(chosen.size()))));
    std::vector<size_t> moved = chosen, order(sentences.size());
    chance.shuffle(moved);
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (size_t i = 0; i < chosen.size(); ++i) order[chosen[i]] = moved[i];
    std::vector<int32_t> out;
    for (const size_t i : order) out.insert(out.end(), sentences[i].begin(), sentences[i].end());
    return out;
  }

  // Lengths are drawn until they reach ⌈rate·T⌉ tokens, the last cut to fit; spans lie apart, every arrangement alike. Each becomes one mask, now and
  // then a random token of the row; those of length 0 are masks put between any two tokens.
  std::vector<int32_t> infilled(const std::vector<int32_t>& row, Chance& chance) const {
    const auto budget = static_cast<int64_t>(std::ceil(rate_ * static_cast<double>(row.size())));
    std::vector<int64_t> lengths;
    int64_t hidden = 0, insertions = 0;
    while (hidden < budget) {
      const int64_t length = std::min(chance.poisson(mean_), budget - hidden);
      if (length > 0) lengths.push_back(length);
      else ++insertions;
      hidden += length;
    }
    // Kept tokens have one gap before each and one at the end, a span goes into a gap of its own; where gaps are short, spans grow together.
    const size_t gaps = row.size() - static_cast<size_t>(hidden) + 1;
    while (lengths.size() > gaps) {
      const int64_t last = lengths.back();
      lengths.pop_back();
      lengths[chance.below(lengths.size())] += last;
    }
    std::vector<size_t> gap(gaps);
    for (size_t i = 0; i < gaps; ++i) gap[i] = i;
    chance.shuffle(gap);
    std::vector<int64_t> span(gaps, 0);
    for (size_t i = 0; i < lengths.size(); ++i) span[gap[i]] = lengths[i];
    const auto mask = [&] { return random_ > 0 && chance.uniform() < random_ ? row[chance.below(row.size())] : special(2); };
    std::vector<int32_t> out;
    size_t at = 0;
    for (size_t i = 0; i < gaps; ++i) {
      if (span[i] > 0) out.push_back(mask());
      at += static_cast<size_t>(span[i]);
      if (i + 1 < gaps) out.push_back(row[at++]);
    }
    for (; insertions > 0; --insertions) out.insert(out.begin() + static_cast<std::ptrdiff_t>(chance.below(out.size() + 1)), mask());
    return out;
  }

  double rate_, mean_, random_, permute_;
  std::vector<int32_t> ends_;
};

}  // namespace

std::unique_ptr<Objective> build_denoising(Config& cfg) { return std::make_unique<Denoising>(cfg); }

}  // namespace gamut
