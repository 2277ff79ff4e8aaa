#include "lab/routing_measures.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

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

namespace {

// Tokens whose ids occur at least `least` times, numbered; others −1.
std::vector<int32_t> frequent(const LabelledTokens& text, int64_t least, int& labels) {
  std::map<int32_t, int64_t> count;
  std::map<int32_t, int32_t> number;
  for (size_t i = 0; i < text.domain_N.size(); ++i)
    if (text.domain_N[i] >= 0) ++count[text.id_N[i]];
  for (const auto& [id, n] : count)
    if (n >= least) number.emplace(id, static_cast<int32_t>(number.size()));
  labels = static_cast<int>(number.size());
  std::vector<int32_t> label;
  for (size_t i = 0; i < text.domain_N.size(); ++i) {
    const auto found = number.find(text.id_N[i]);
    label.push_back(text.domain_N[i] < 0 || found == number.end() ? -1 : found->second);
  }
  return label;
}

Json bits(const Specialisation& s) { return {{"information", s.information}, {"shuffled", s.shuffled}, {"shuffled_high", s.shuffled_high}}; }

}  // namespace

Json routing_json(const Measurement& measured, const LabelledTokens& text, int shuffles, const Measurement* earlier) {
  Json layers = Json::array();
  const auto domains = static_cast<int>(text.domains.size());
  for (const RoutingRecord& r : measured.routing) {
    const auto experts = static_cast<int>(r.load_E.size());
    const double slots = std::max(1.0, static_cast<double>(std::accumulate(r.load_E.begin(), r.load_E.end(), int64_t{0})));
    double entropy = 0;
    int dead = 0;
    for (const int64_t n : r.load_E) {
      const double share = static_cast<double>(n) / slots;
      entropy -= n > 0 ? share * std::log(share) : 0;
      dead += share < 0.1 / experts;
    }
    Json row = {{"layer", r.layer}, {"load", r.load_E}, {"gates", r.gate_E}, {"max_violation", max_violation(r.load_E)}, {"dead", dead}, {"effective", std::exp(entropy)},
                {"router_entropy", r.entropy}, {"logit_rms", std::sqrt(r.logit_square)}};
    const std::string name = "layers." + std::to_string(r.layer) + ".channel";
    const auto of = [&](const Measurement& m) -> const RouterChoices* {
      for (const RouterChoices& c : m.choices)
        if (c.router == name) return &c;
      return nullptr;
    };
    if (const RouterChoices* c = of(measured)) {
      row["coactivation"] = coactivation(*c, experts);
      if (domains > 1) {
        const Specialisation s = specialisation(*c, experts, text.domain_N, domains, shuffles, 1);
        row["domain"] = bits(s);
        row["domain"]["share"] = s.share;
        row["domain_given_token"] = bits(specialisation_given_token(*c, experts, text.domain_N, domains, text.id_N, 10, shuffles, 1));
      }
      int labels = 0;
      const std::vector<int32_t> label = frequent(text, 10 * experts, labels);
      row["token"] = bits(specialisation(*c, experts, label, std::max(labels, 1), shuffles, 1));
      row["token"]["ids"] = labels;
      if (const RouterChoices* before = earlier ? of(*earlier) : nullptr) row["saturation"] = overlap(*before, *c);
    }
    layers.push_back(row);
  }
  return layers;
}

}  // namespace gamut
