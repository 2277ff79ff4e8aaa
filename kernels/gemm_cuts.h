// How the two drivers of matrix products cut lengths into parts and find the plan of a task.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gamut::kernels {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Part i of n in `parts` nearly equal parts.
struct Range {
  int64_t begin, end;
};
inline Range part(int64_t n, int64_t parts, int64_t i) { return {n * i / parts, n * (i + 1) / parts}; }

// The same, cut at multiples of `unit`.
inline Range part_of(int64_t n, int64_t unit, int64_t parts, int64_t i) {
  const Range units = part(ceil_div(n, unit), parts, i);
  return {std::min(n, units.begin * unit), std::min(n, units.end * unit)};
}

// Of plans whose tasks follow each other from first_task on, the one that `task` belongs to.
template <class Plans> const auto& plan_with(const Plans& plans, int64_t task) {
  return *(std::upper_bound(plans.begin(), plans.end(), task, [](int64_t t, const auto& p) { return t < p.first_task; }) - 1);
}

}  // namespace gamut::kernels
