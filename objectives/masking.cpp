#include "objectives/masking.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"

namespace gamut {

Masking Masking::take(Config& cfg) {
  Masking m{};
  m.rate = cfg.take_in<double>("rate", 0.15, 1e-6, 1);
  m.masked = cfg.take_in<double>("masked", 0.8, 0, 1);
  m.random = cfg.take_in<double>("random", 0.1, 0, 1);
  if (m.masked + m.random > 1 + 1e-9) cfg.reject("random", "and masked are more than all of the chosen tokens");
  m.kept = cfg.take<std::vector<int32_t>>("specials", {-1, -1, -1});  // ids that no model has: only shapes can be run without them
  if (m.kept.size() < 3) cfg.reject("specials", "must hold the ids of [MASK], [CLS] and [SEP]");
  m.mask = m.kept[0];
  m.cls = m.kept[1];
  m.sep = m.kept[2];
  return m;
}

std::span<const int32_t> text_of(const TokenRows& text, int64_t row) {
  const auto targets = text.targets.subspan(static_cast<size_t>(row * text.length), static_cast<size_t>(text.length));
  const auto end = std::find_if(targets.begin(), targets.end(), [](int32_t id) { return id < 0; });
  return text.inputs.subspan(static_cast<size_t>(row * text.length), static_cast<size_t>(end - targets.begin()));
}

Example Masking::empty(const TokenRows& text) {
  Example e{.rows = text.rows, .length = text.length};
  const auto n = static_cast<size_t>(text.rows * text.length);
  e.ids.resize(n);
  e.mask.resize(n);
  e.token_types.resize(n);
  e.labels.assign(n, -100);
  return e;
}

void Masking::frame(Example& e, int64_t row, std::span<const int32_t> first, std::span<const int32_t> second) const {
  auto at = static_cast<size_t>(row * e.length);
  const auto put = [&](int32_t id, int32_t type) {
    e.ids[at] = id;
    e.token_types[at] = type;
    e.mask[at++] = 1;
  };
  put(cls, 0);
  for (const int32_t id : first) put(id, 0);
  put(sep, 0);
  for (const int32_t id : second) put(id, 1);
  if (!second.empty()) put(sep, 1);
}

int64_t Masking::chosen(int64_t length) const { return std::max<int64_t>(1, std::llrint(rate * static_cast<double>(length))); }

void Masking::hide(Example& e, const Draw& draw) const {
  for (int64_t b = 0; b < e.rows; ++b) {
    const std::string row = std::to_string(draw.first_row + b);
    const RandomStream choice(draw.seed, "masking choice", row), kind(draw.seed, "masking kind", row), token(draw.seed, "masking token", row);
    const auto begin = static_cast<size_t>(b * e.length), end = begin + static_cast<size_t>(std::count(e.mask.begin() + b * e.length, e.mask.begin() + (b + 1) * e.length, 1));
    std::vector<size_t> places;
    for (size_t at = begin; at < end; ++at)
      if (std::find(kept.begin(), kept.end(), e.ids[at]) == kept.end()) places.push_back(at);
    const auto wanted = static_cast<size_t>(chosen(static_cast<int64_t>(end - begin)));
    for (size_t i = 0; i < std::min(wanted, places.size()); ++i) {
      std::swap(places[i], places[i + choice.below(i, places.size() - i)]);
      int32_t& id = e.ids[places[i]];
      e.labels[places[i]] = id;
      const double u = kind.uniform(i);
      if (u < masked) id = mask;
      else if (u < masked + random) id = static_cast<int32_t>(token.below(i, static_cast<uint64_t>(draw.vocab)));
    }
  }
}

}  // namespace gamut
