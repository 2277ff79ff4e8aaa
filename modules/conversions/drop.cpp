// A share of each expert's hidden units is drawn anew, with the mean and the deviation of what it replaces.
// [Nakamura et al., Drop-Upcycling, 2025]
#include <cmath>

#include "modules/conversions/conversion.h"

namespace gamut {
namespace {

// Elements unit·each_unit + i·step, i < count, of every unit.
struct Layout {
  int64_t each_unit, step, count;
};

void redraw(std::vector<double>& matrix, const std::vector<int64_t>& units, const Layout& layout, const RandomStream& stream) {
  if (matrix.empty() || units.empty()) return;
  const auto for_each = [&](auto&& element) {
    for (const int64_t unit : units)
      for (int64_t i = 0; i < layout.count; ++i) element(static_cast<size_t>(unit * layout.each_unit + i * layout.step));
  };
  double n = 0, sum = 0, squares = 0;
  for_each([&](size_t at) { ++n, sum += matrix[at]; });
  for_each([&](size_t at) { squares += (matrix[at] - sum / n) * (matrix[at] - sum / n); });
  const double mean = sum / n, deviation = std::sqrt(squares / n);
  for_each([&](size_t at) { matrix[at] = mean + deviation * stream.normal(at); });
}

}  // namespace

UpcycleMethod::Change build_drop(Config& cfg) {
  const auto share = cfg.take_in<double>("drop_share", 0.5, 0.0, 1.0);
  const auto each = cfg.take<bool>("drop_each", false);
  return [=](FfnValues& expert, const RandomStream& stream) {
    const int64_t h = expert.hidden, d = expert.width;
    const auto count = std::llround(share * static_cast<double>(h));
    std::vector<int64_t> units;
    uint64_t draw = 0;
    for (const auto& [matrix, layout] :
         {std::pair(&expert.gate, Layout{d, 1, d}), std::pair(&expert.up, Layout{d, 1, d}), std::pair(&expert.down, Layout{1, h, d})}) {
      const RandomStream own(stream.bits(draw++), "drop");
      if (units.empty() || each) {
        const Permutation shuffled(static_cast<uint64_t>(h), RandomStream(stream.bits(draw), "units"));
        units.clear();
        for (int64_t i = 0; i < count; ++i) units.push_back(static_cast<int64_t>(shuffled(static_cast<uint64_t>(i))));
      }
      redraw(*matrix, units, layout, own);
    }
  };
}

}  // namespace gamut
