// The bf16 block on matrix tiles: 16 rows × 64 bytes each; one dot multiplies 16 rows of A, 32 deep, with one panel of B.
// Included inside an anonymous namespace and instantiated twice: with the processor's tiles (amx/gemm.cpp) and with tiles in
// memory that round alike (ref/gemm_tiles.cpp), so that the same code is tested where there is no AMX.
//   T::configure(rows)               up to 16 rows: sums in tiles 0 to 3 and A in 4 have that many;
//                                    up to 32: tiles 0, 1 and 4 have 16, tiles 2, 3 and 5 the rest; all others 16
//   T::zero<t>() load<t>(p, stride) store<t>(p, stride) dot<c, a, b>()
//   V                                sums of 16 columns, as in gemm_tile.inl

constexpr int kTileRows = 16, kTileSteps = 16, kTileBytes = 64;

// Calls f with the integral constants 0 … n−1: tile numbers are part of the instruction.
template <int... i, class F> void for_each_tile(std::integer_sequence<int, i...>, F f) { (f(std::integral_constant<int, i>{}), ...); }

// A tiles of rows by P panels: sums of row tile a and panel p in tile 2a + p, A in 4 + a, B in those left.
template <class T, class V, int A, int P> void tile_block(const TileSegment* segments, int count, const TileOutput& out) {
  constexpr auto kRowTiles = std::make_integer_sequence<int, A>{};
  constexpr auto kPanels = std::make_integer_sequence<int, P>{};
  constexpr int kFirstB = 4 + A, kBTiles = 4 - A;
  constexpr int64_t kSumRow = P * kPanel * 4;
  const auto all_sums = [&](auto f) { for_each_tile(kRowTiles, [&](auto a) { for_each_tile(kPanels, [&](auto p) { f(a, p); }); }); };

  T::configure(static_cast<int>(out.rows));
  if (const std::byte* from = static_cast<const std::byte*>(out.carry_in)) {
    all_sums([&](auto a, auto p) { T::template load<2 * a + p>(from + a * kTileRows * kSumRow + p * kPanel * 4, kSumRow); });
  } else {
    all_sums([](auto a, auto p) { T::template zero<2 * a + p>(); });
  }
  for (const TileSegment* g = segments; g < segments + count; ++g) {
    const std::byte* x = g->a;
    const std::byte* b = g->b;
    for (int64_t s = 0; s < g->steps; s += kTileSteps, x += kTileBytes, b += kTileSteps * kTileBytes) {
      for_each_tile(kPanels, [&](auto p) {
        constexpr int kB = kFirstB + p % kBTiles;
        T::template load<kB>(b + p * g->panel_stride, kTileBytes);
        for_each_tile(kRowTiles, [&](auto a) {
          if constexpr (p == 0) T::template load<4 + a>(x + a * kTileRows * g->row_stride, g->row_stride);
          T::template dot<2 * a + p, 4 + a, kB>();
        });
      });
    }
  }

  const auto store_sums = [&](std::byte* to, int64_t row_bytes) {
    all_sums([&](auto a, auto p) { T::template store<2 * a + p>(to + a * kTileRows * row_bytes + p * kPanel * 4, row_bytes); });
  };
  if (out.carry_out) return store_sums(static_cast<std::byte*>(out.carry_out), kSumRow);
  if (!out.half && !out.accumulate && !out.bias && out.columns == P * kPanel) return store_sums(out.c, out.row_bytes);
  alignas(64) std::byte sums[2 * kTileRows * kSumRow];
  store_sums(sums, kSumRow);
  const std::byte* bias = static_cast<const std::byte*>(out.bias);
  for (int64_t r = 0; r < out.rows; ++r) {
    for (int p = 0; p < P; ++p) {
      const auto mask = V::mask(p == P - 1 ? static_cast<int>(out.columns - p * kPanel) : kPanel);
      auto s = V::load_sums(sums + r * kSumRow + p * kPanel * 4);
      if (bias) s = V::add(s, V::load(bias + p * kPanel * 4, mask));
      std::byte* c = out.c + r * out.row_bytes + p * kPanel * (out.half ? 2 : 4);
      if (out.half) {
        V::store_half(c, out.accumulate ? V::add(V::load_half(c, mask), s) : s, mask);
      } else {
        V::store(c, out.accumulate ? V::add(V::load(c, mask), s) : s, mask);
      }
    }
  }
}

int tile_rows_for(int panels) { return panels <= 2 ? 2 * kTileRows : panels == 4 ? kTileRows : 0; }

template <class T, class V> TileFn tile_block_for(int rows, int panels) {
  if (panels == 4) return tile_block<T, V, 1, 4>;
  if (panels == 2) return rows > kTileRows ? tile_block<T, V, 2, 2> : tile_block<T, V, 1, 2>;
  return rows > kTileRows ? tile_block<T, V, 2, 1> : tile_block<T, V, 1, 1>;
}

// Multiply-adds on tiles that stay where they are.
template <class T> int64_t tile_spin(int64_t rounds) {
  alignas(64) const std::byte zeros[kTileRows * kTileBytes] = {};
  T::configure(2 * kTileRows);
  for_each_tile(std::make_integer_sequence<int, 4>{}, [&](auto t) {
    T::template zero<t>();
    T::template load<4 + t>(zeros, kTileBytes);
  });
  for (int64_t round = 0; round < rounds; ++round) {
    T::template dot<0, 4, 6>();
    T::template dot<2, 5, 6>();
    T::template dot<1, 4, 7>();
    T::template dot<3, 5, 7>();
  }
  return rounds * 4 * kTileRows * kPanel * 2 * kTileSteps * 2;
}

int64_t tile_row_stride(int64_t steps) { return 4 * steps; }
int64_t tile_step_stride(int64_t) { return 4; }
