// Products in plain C++ with 16-byte vectors, which every current processor has: float32, float64, and bf16 decoded to float32.
#include <cstring>

#include "kernels/gemm_tiers.h"

namespace gamut::kernels {
namespace {
#include "kernels/gemm_tile.inl"

template <class T> struct SumsOf {
  typedef T Vector __attribute__((vector_size(16)));
  typedef uint32_t Words __attribute__((vector_size(16)));
  static constexpr int kLanes = 16 / sizeof(T), kVectors = kPanel / kLanes;
  struct Sums {
    Vector v[kVectors];
  };
  using Mask = int;  // valid columns
  static constexpr int kScalar = sizeof(T), kPanelStep = kPanel * kScalar;

  static Sums zero() { return {}; }
  static Sums load_sums(const std::byte* p) {
    Sums s;
    std::memcpy(&s, p, sizeof s);
    return s;
  }
  static void store_sums(std::byte* p, const Sums& s) { std::memcpy(p, &s, sizeof s); }
  static Sums add(const Sums& a, const Sums& b) {
    Sums s;
    for (int i = 0; i < kVectors; ++i) s.v[i] = a.v[i] + b.v[i];
    return s;
  }
  static Mask mask(int columns) { return columns; }
  static Sums load(const std::byte* p, Mask columns) {
    if (columns == kPanel) return load_sums(p);
    Sums s{};
    std::memcpy(&s, p, static_cast<size_t>(columns) * sizeof(T));
    return s;
  }
  static void store(std::byte* p, const Sums& s, Mask columns) {
    if (columns == kPanel) return store_sums(p, s);
    std::memcpy(p, &s, static_cast<size_t>(columns) * sizeof(T));
  }
  static Sums load_half(const std::byte* p, Mask columns) {
    uint16_t bits[kPanel] = {};
    uint32_t words[kPanel];
    std::memcpy(bits, p, static_cast<size_t>(columns) * 2);
    for (int i = 0; i < kPanel; ++i) words[i] = static_cast<uint32_t>(bits[i]) << 16;
    float values[kPanel];
    std::memcpy(values, words, sizeof values);
    return from_floats(values);
  }
  // Rounds to nearest even and keeps NaN, as gamut::bf16 does.
  static void store_half(std::byte* p, const Sums& s, Mask columns) {
    T values[kPanel];
    std::memcpy(values, &s, sizeof values);
    uint16_t bits[kPanel];
    for (int i = 0; i < kPanel; ++i) {
      const float value = static_cast<float>(values[i]);
      uint32_t u;
      std::memcpy(&u, &value, 4);
      bits[i] = static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : (u + 0x7fffu + (u >> 16 & 1u)) >> 16);
    }
    std::memcpy(p, bits, static_cast<size_t>(columns) * 2);
  }

 private:
  static Sums from_floats(const float* values) {
    T wide[kPanel];
    for (int i = 0; i < kPanel; ++i) wide[i] = static_cast<T>(values[i]);
    return load_sums(reinterpret_cast<const std::byte*>(wide));
  }
};

template <class T> struct Plain : SumsOf<T> {
  using Base = SumsOf<T>;
  using Panel = typename Base::Sums;
  using Row = T;
  static Panel load_panel(const std::byte* p) { return Base::load_sums(p); }
  static Row load_row(const std::byte* p) {
    T x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  static Panel dot(const Panel& s, Row x, const Panel& w) {
    Panel out;
#pragma GCC unroll 8
    for (int i = 0; i < Base::kVectors; ++i) out.v[i] = s.v[i] + x * w.v[i];
    return out;
  }
};

// A is decoded while it is staged, B in registers: even k are the low halves of a panel's words, odd k the high ones.
struct Decoded : SumsOf<float> {
  struct Panel {
    Words w[kVectors];
  };
  struct Row {
    float even, odd;
  };
  static Panel load_panel(const std::byte* p) {
    Panel w;
    std::memcpy(&w, p, sizeof w);
    return w;
  }
  static Row load_row(const std::byte* p) {
    Row x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  static Sums dot(const Sums& s, const Row& x, const Panel& w) {
    Sums out;
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      out.v[i] = s.v[i] + x.even * reinterpret_cast<Vector>(w.w[i] << 16);
      out.v[i] += x.odd * reinterpret_cast<Vector>(w.w[i] & 0xffff0000u);
    }
    return out;
  }
};

// Sixteen registers of baseline x86-64: two rows of four vectors, or one of eight.
template <class V> constexpr int kMost = V::kScalar == 8 ? 1 : 2;
template <class V> int rows_for(int panels) { return panels == 1 ? kMost<V> : 0; }
template <class V> TileFn block_for(int rows, int) { return block_of<V, 1, kMost<V>>(rows); }

template <class T> void stage_copy(const std::byte* row, int64_t k, std::byte* out, int64_t) {
  std::memcpy(out, row, static_cast<size_t>(k) * sizeof(T));
}

uint32_t decoded(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return static_cast<uint32_t>(bits) << 16;
}

void stage_decoded(const std::byte* row, int64_t k, std::byte* out, int64_t steps) {
  for (int64_t i = 0; i < k; ++i) {
    const uint32_t word = decoded(row + 2 * i);
    std::memcpy(out + 4 * i, &word, 4);
  }
  std::memset(out + 4 * k, 0, static_cast<size_t>(8 * steps - 4 * k));
}

template <class T> void pack_copy(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t) {
  const size_t valid = static_cast<size_t>(columns) * sizeof(T), all = kPanel * sizeof(T);
  for (int64_t i = 0; i < k; ++i, src += stride, out += all) {
    std::memcpy(out, src, valid);
    std::memset(out + valid, 0, all - valid);
  }
}

void pack_pairs(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t) {
  for (int64_t i = 0; i < k; i += 2, src += 2 * stride, out += 64) {
    uint32_t words[kPanel] = {};
    for (int j = 0; j < columns; ++j) words[j] = decoded(src + 2 * j) >> 16 | (i + 1 < k ? decoded(src + stride + 2 * j) : 0);
    std::memcpy(out, words, sizeof words);
  }
}

// [steps][16 rows of A][even, odd] float32.
void pack_rows_decoded(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t) {
  for (int64_t i = 0; i < k; i += 2, src += 2 * stride, out += 128) {
    uint32_t words[2 * kPanel] = {};
    for (int j = 0; j < columns; ++j) {
      words[2 * j] = decoded(src + 2 * j);
      words[2 * j + 1] = i + 1 < k ? decoded(src + stride + 2 * j) : 0;
    }
    std::memcpy(out, words, sizeof words);
  }
}

template <int kBytes> int64_t bytes(int64_t) { return kBytes; }

template <class T> constexpr TileKernel plain() {
  constexpr int kSize = sizeof(T);
  return {.step_k = 1, .element_bytes = kSize, .sum_bytes = kSize, .step_multiple = 1, .row_multiple = 1, .a_step_bytes = kSize, .b_step_bytes = 16 * kSize,
          .rows_for = rows_for<Plain<T>>, .block = block_for<Plain<T>>, .panels = 1, .pass_steps = 384, .stage = stage_copy<T>, .in_place = true,
          .pack_panel = pack_copy<T>, .pack_rows = pack_copy<T>,
          .packed_row_stride = bytes<kSize>, .packed_step_stride = bytes<16 * kSize>, .packed_rows = kMost<Plain<T>>, .packed_panels = 1, .packed_block = block_for<Plain<T>>, .packed_steps = 192,
          .spin = spin<Plain<T>, kMost<Plain<T>>, 1>};
}

}  // namespace

namespace portable {
constinit const TileKernel gemm_f32 = plain<float>();
constinit const TileKernel gemm_f64 = plain<double>();
constinit const TileKernel gemm_bf16{
    .step_k = 2, .element_bytes = 2, .sum_bytes = 4, .step_multiple = 1, .row_multiple = 1, .a_step_bytes = 8, .b_step_bytes = 64,
    .rows_for = rows_for<Decoded>, .block = block_for<Decoded>, .panels = 1, .pass_steps = 384, .stage = stage_decoded, .in_place = false,
    .pack_panel = pack_pairs, .pack_rows = pack_rows_decoded,
    .packed_row_stride = bytes<8>, .packed_step_stride = bytes<128>, .packed_rows = 2, .packed_panels = 1, .packed_block = block_for<Decoded>, .packed_steps = 192,
    .spin = spin<Decoded, 2, 2>};
}  // namespace portable
}  // namespace gamut::kernels
