// The register block of the vector tiers. A tier's file includes this inside its anonymous namespace, having defined its
// arithmetic as a type V:
//   V::Sums   16 sums           zero() load_sums(p) store_sums(p, s) add(s, s)
//   V::Panel  a step of a panel load_panel(p)
//   V::Row    a step of one row of A in every lane: load_row(p)
//   dot(s, row, panel)
//   V::Mask   mask(columns); load(p, mask) store(p, s, mask) in the type of the sums, load_half store_half in bf16
//   kScalar   bytes of one sum; kPanelStep: bytes of a step of a panel

template <class V, int R, int P, bool kAhead = false> void block(const TileSegment* segments, int count, const TileOutput& out) {
  typename V::Sums sums[R][P];
  constexpr int64_t kCarryRow = P * kPanel * V::kScalar, kVector = kPanel * V::kScalar;
  if (out.carry_in) {
    const std::byte* from = static_cast<const std::byte*>(out.carry_in);
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) sums[r][p] = V::load_sums(from + r * kCarryRow + p * kVector);
  } else {
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) sums[r][p] = V::zero();
  }

  for (const TileSegment* g = segments; g < segments + count; ++g) {
    // Rows are reached as base + {0, 1, 2}·stride: one pointer per row would not fit the general registers.
    constexpr int kBases = (R + 2) / 3;
    const std::byte* a[kBases];
    const int64_t row = g->row_stride, next = g->step_stride, panel = g->panel_stride;
#pragma GCC unroll 8
    for (int i = 0; i < kBases; ++i) a[i] = g->a + 3 * i * row;
    const std::byte* b = g->b;
    const auto walk = [&](int64_t steps) __attribute__((always_inline)) {
      for (int64_t s = steps; s > 0; --s) {
        typename V::Panel w[P];
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) w[p] = V::load_panel(b + p * panel);
#pragma GCC unroll 32
        for (int r = 0; r < R; ++r) {
          const typename V::Row x = V::load_row(a[r / 3] + (r % 3) * row);
#pragma GCC unroll 8
          for (int p = 0; p < P; ++p) sums[r][p] = V::dot(sums[r][p], x, w[p]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < kBases; ++i) a[i] += next;
        b += V::kPanelStep;
      }
    };
    if constexpr (kAhead) {
      const std::byte* ahead = g->ahead ? g->ahead : b;
      const int64_t ahead_stride = g->ahead_stride;
      for (int64_t left = g->steps; left > 0; left -= kAheadEvery, ahead += ahead_stride) {
        __builtin_prefetch(ahead, 0, 2);
        walk(left < kAheadEvery ? left : kAheadEvery);
      }
    } else {
      walk(g->steps);
    }
  }

  if (out.carry_out) {
    std::byte* to = static_cast<std::byte*>(out.carry_out);
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) V::store_sums(to + r * kCarryRow + p * kVector, sums[r][p]);
    return;
  }
  const auto last = V::mask(static_cast<int>(out.columns - (P - 1) * kPanel)), full = V::mask(kPanel);
  if (out.bias) {
    const std::byte* bias = static_cast<const std::byte*>(out.bias);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const typename V::Sums x = V::load(bias + p * kVector, p == P - 1 ? last : full);
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) sums[r][p] = V::add(sums[r][p], x);
    }
  }
  std::byte* c = out.c;
  const int64_t row_bytes = out.row_bytes;
  if (out.half) {
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r, c += row_bytes)
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const auto mask = p == P - 1 ? last : full;
        std::byte* to = c + p * kPanel * 2;
        V::store_half(to, out.accumulate ? V::add(V::load_half(to, mask), sums[r][p]) : sums[r][p], mask);
      }
  } else {
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r, c += row_bytes)
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const auto mask = p == P - 1 ? last : full;
        std::byte* to = c + p * kVector;
        V::store(to, out.accumulate ? V::add(V::load(to, mask), sums[r][p]) : sums[r][p], mask);
      }
  }
}

// Blocks of 1 … kMost rows and P panels.
template <class V, int P, int kMost, bool kAhead = false> TileFn block_of(int rows) {
  if constexpr (kMost > 0) {
    return rows == kMost ? block<V, kMost, P, kAhead> : block_of<V, P, kMost - 1, kAhead>(rows);
  } else {
    return nullptr;
  }
}

// `rounds` steps on kSums independent vectors of sums, operands in registers: what the arithmetic units can do at most.
template <class V, int kSums, int kStepK> int64_t spin(int64_t rounds) {
  alignas(64) std::byte zeros[kSums * kPanel * V::kScalar + 128] = {};
  const std::byte* operands = zeros;
  asm volatile("" : "+r"(operands) : : "memory");  // the compiler must not know them, nor that the sums are all alike
  typename V::Sums sums[kSums];
#pragma GCC unroll 32
  for (int i = 0; i < kSums; ++i) sums[i] = V::load_sums(operands + i * kPanel * V::kScalar);
  const typename V::Panel w = V::load_panel(operands);
  const typename V::Row x = V::load_row(operands);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kSums; ++i) sums[i] = V::dot(sums[i], x, w);
  }
#pragma GCC unroll 32
  for (int i = 0; i < kSums; ++i) V::store_sums(zeros + i * kPanel * V::kScalar, sums[i]);
  asm volatile("" : : "r"(zeros) : "memory");
  return rounds * kSums * kPanel * 2 * kStepK;
}
