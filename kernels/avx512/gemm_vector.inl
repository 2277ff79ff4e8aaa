// What the AVX-512 block kernels share: 16 float32 sums in one register, and packing. Included inside an anonymous namespace.

struct Sums512 {
  using Sums = __m512;
  using Mask = __mmask16;
  static constexpr int kScalar = 4, kPanelStep = 64;

  static Sums zero() { return _mm512_setzero_ps(); }
  static Sums load_sums(const std::byte* p) { return _mm512_loadu_ps(p); }
  static void store_sums(std::byte* p, Sums s) { _mm512_storeu_ps(p, s); }
  static Sums add(Sums a, Sums b) { return _mm512_add_ps(a, b); }

  static Mask mask(int columns) { return static_cast<Mask>((1u << columns) - 1); }
  static Sums load(const std::byte* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  static void store(std::byte* p, Sums s, Mask m) { _mm512_mask_storeu_ps(p, m, s); }
  static Sums load_half(const std::byte* p, Mask m) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, p)), 16));
  }
  // Rounds to nearest even and keeps NaN, as gamut::bf16 does.
  static void store_half(std::byte* p, Sums s, Mask m) {
    const __m512i u = _mm512_castps_si512(s);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(s, s, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, u, _mm512_set1_epi32(0x400000));
    _mm256_mask_storeu_epi16(p, m, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
  }
};

// Two rows of bf16 become one step of a panel: their columns interleaved.
void pack_pairs(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t steps) {
  const __mmask16 mask = Sums512::mask(columns);
  int64_t s = 0;
  for (; 2 * s < k; ++s, src += 2 * stride, out += 64) {
    const __m512i even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, src));
    const __m512i odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(2 * s + 1 < k ? mask : 0, src + stride));
    _mm512_storeu_si512(out, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
  }
  for (; s < steps; ++s, out += 64) _mm512_storeu_si512(out, _mm512_setzero_si512());
}

// Row by row, so that memory is read in the order it has.
[[maybe_unused]] void pack_many_pairs(const std::byte* src, int64_t stride, int64_t k, int64_t twos, std::byte* out, int64_t panel_bytes, int64_t steps) {
  alignas(64) static constexpr uint16_t kLow[32] = {0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i low = _mm512_load_si512(kLow), high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (int64_t s = 0; s < steps; ++s, src += 2 * stride, out += 64) {
    std::byte* to = out;
    for (int64_t i = 0; i < twos; ++i, to += 2 * panel_bytes) {
      const __m512i even = 2 * s < k ? _mm512_loadu_si512(src + 64 * i) : _mm512_setzero_si512();
      const __m512i odd = 2 * s + 1 < k ? _mm512_loadu_si512(src + stride + 64 * i) : _mm512_setzero_si512();
      _mm512_storeu_si512(to, _mm512_permutex2var_epi16(even, low, odd));
      _mm512_storeu_si512(to + panel_bytes, _mm512_permutex2var_epi16(even, high, odd));
    }
  }
}

// 16 × 16 words: word j of r[i] becomes word i of row j at `to`; stride in bytes.
[[maybe_unused]] inline __attribute__((always_inline)) void transpose_words(__m512i (&r)[16], std::byte* to, int64_t to_stride) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {  // now r[i + c] holds columns c, 4 + c, 8 + c, 12 + c of rows i … i + 3
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512i top_even = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88), top_odd = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
    const __m512i low_even = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88), low_odd = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    _mm512_storeu_si512(to + c * to_stride, _mm512_shuffle_i32x4(top_even, low_even, 0x88));
    _mm512_storeu_si512(to + (4 + c) * to_stride, _mm512_shuffle_i32x4(top_odd, low_odd, 0x88));
    _mm512_storeu_si512(to + (8 + c) * to_stride, _mm512_shuffle_i32x4(top_even, low_even, 0xdd));
    _mm512_storeu_si512(to + (12 + c) * to_stride, _mm512_shuffle_i32x4(top_odd, low_odd, 0xdd));
  }
}

// The same from rows in memory.
[[maybe_unused]] void transpose_words(const std::byte* from, int64_t from_stride, std::byte* to, int64_t to_stride) {
  __m512i r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(from + i * from_stride);
  transpose_words(r, to, to_stride);
}

// Rows of bf16 become the columns of a panel: pairs along a row are words, so the panel is the transpose.
[[maybe_unused]] void pack_transposed_pairs(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t steps) {
  for (int64_t s = 0; s < steps; s += 16) {
    const int64_t left = k - 2 * s < 0 ? 0 : k - 2 * s < 32 ? k - 2 * s : 32;
    const auto mask = static_cast<__mmask32>((uint64_t{1} << left) - 1);
    __m512i r[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) r[i] = _mm512_maskz_loadu_epi16(i < columns ? mask : 0, src + i * stride + 4 * s);
    if (steps - s >= 16) {
      transpose_words(r, out + 64 * s, 64);
    } else {
      alignas(64) std::byte rest[16 * 64];
      transpose_words(r, rest, 64);
      std::memcpy(out + 64 * s, rest, static_cast<size_t>(64 * (steps - s)));
    }
  }
}
