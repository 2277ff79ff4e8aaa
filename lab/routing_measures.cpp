#include "lab/routing_measures.h"

#include <algorithm>
#include <map>

#include "base/rng.h"
#include "lab/statistics.h"

namespace gamut {
namespace {

// Slots by label and expert, of some tokens.
std::vector<double> count(const RouterChoices& c, int experts, std::span<const int32_t> label_N, int labels, std::span<const int64_t> tokens) {
  std::vector<double> counts(static_cast<size_t>(labels * experts));
  for (const int64_t t : tokens) {
    const int32_t label = label_N[static_cast<size_t>(t)];
    for (int64_t j = t * c.slots; label >= 0 && j < (t + 1) * c.slots; ++j)
      if (const int32_t e = c.index_Nk[static_cast<size_t>(j)]; e >= 0) ++counts[static_cast<size_t>(label * experts + e)];
  }
  return counts;
}

// Groups of tokens whose labels may be exchanged with each other; the information is their mean, weighed by size.
Specialisation measure(const RouterChoices& c, int experts, std::span<const int32_t> label_N, int labels, const std::vector<std::vector<int64_t>>& groups,
                       int shuffles, uint64_t seed) {
  double tokens = 0;
  for (const auto& group : groups) tokens += static_cast<double>(group.size());
  const auto information = [&](std::span<const int32_t> of_tokens) {
    double bits = 0;
    for (const auto& group : groups)
      bits += static_cast<double>(group.size()) / tokens * mutual_information_miller_madow(count(c, experts, of_tokens, labels, group), labels, experts);
    return bits;
  };
  Specialisation out{.information = tokens > 0 ? information(label_N) : 0};
  std::vector<double> chance;
  for (int s = 0; s < shuffles && tokens > 0; ++s) {
    std::vector<int32_t> shuffled(label_N.begin(), label_N.end());
    for (size_t g = 0; g < groups.size(); ++g) {
      const Permutation place(groups[g].size(), RandomStream(seed, "shuffle", std::to_string(s) + "/" + std::to_string(g)));
      for (size_t i = 0; i < groups[g].size(); ++i) shuffled[static_cast<size_t>(groups[g][place(i)])] = label_N[static_cast<size_t>(groups[g][i])];
    }
    chance.push_back(information(shuffled));
    out.shuffled += chance.back() / shuffles;
  }
  std::sort(chance.begin(), chance.end());
  if (!chance.empty()) out.shuffled_high = chance[std::min(chance.size() - 1, chance.size() * 95 / 100)];
  return out;
}

}  // namespace

std::vector<double> coactivation(const RouterChoices& c, int experts) {
  std::vector<double> together(static_cast<size_t>(experts * experts)), alone(static_cast<size_t>(experts));
  for (int64_t t = 0; t < c.tokens(); ++t) {
    const int32_t* row = c.index_Nk.data() + t * c.slots;
    for (int64_t i = 0; i < c.slots; ++i) {
      if (row[i] < 0) continue;
      ++alone[static_cast<size_t>(row[i])];
      for (int64_t j = 0; j < c.slots; ++j)
        if (j != i && row[j] >= 0) ++together[static_cast<size_t>(row[i] * experts + row[j])];
    }
  }
  for (size_t i = 0; i < together.size(); ++i)
    if (const double n = alone[i / static_cast<size_t>(experts)]; n > 0) together[i] /= n;
  return together;
}

double overlap(const RouterChoices& first, const RouterChoices& second) {
  double sum = 0;
  for (int64_t t = 0; t < second.tokens(); ++t) {
    const auto row = first.index_Nk.begin() + t * first.slots;
    double both = 0, all = 0;
    for (int64_t j = t * second.slots; j < (t + 1) * second.slots; ++j) {
      const int32_t e = second.index_Nk[static_cast<size_t>(j)];
      all += e >= 0;
      both += e >= 0 && std::find(row, row + first.slots, e) != row + first.slots;
    }
    sum += all > 0 ? both / all : 1.0;
  }
  return second.tokens() > 0 ? sum / static_cast<double>(second.tokens()) : 1.0;
}

Specialisation specialisation(const RouterChoices& c, int experts, std::span<const int32_t> label_N, int labels, int shuffles, uint64_t seed) {
  std::vector<int64_t> tokens;
  for (int64_t t = 0; t < c.tokens(); ++t)
    if (label_N[static_cast<size_t>(t)] >= 0) tokens.push_back(t);
  Specialisation out = measure(c, experts, label_N, labels, {tokens}, shuffles, seed);
  out.share = count(c, experts, label_N, labels, tokens);
  for (int l = 0; l < labels; ++l) {
    const auto row = out.share.begin() + l * experts;
    double sum = 0;
    for (int e = 0; e < experts; ++e) sum += row[e];
    for (int e = 0; e < experts; ++e) row[e] /= std::max(sum, 1.0);
  }
  return out;
}

Specialisation specialisation_given_token(const RouterChoices& c, int experts, std::span<const int32_t> label_N, int labels, std::span<const int32_t> id_N,
                                          int64_t least, int shuffles, uint64_t seed) {
  std::map<int32_t, std::vector<int64_t>> by_id;
  for (int64_t t = 0; t < c.tokens(); ++t)
    if (label_N[static_cast<size_t>(t)] >= 0) by_id[id_N[static_cast<size_t>(t)]].push_back(t);
  std::vector<std::vector<int64_t>> groups;
  for (auto& [id, tokens] : by_id)
    if (static_cast<int64_t>(tokens.size()) >= least) groups.push_back(std::move(tokens));
  return measure(c, experts, label_N, labels, groups, shuffles, seed);
}

}  // namespace gamut
