// Matrix products on every tier this machine runs, against sums in double; and the bit-for-bit promises of gemm.h.
#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu.h"

namespace gamut::kernels {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<Tier> tiers_here() {
  std::vector<Tier> tiers;
  for (int t = 0; t <= static_cast<int>(machine_tier()); ++t) tiers.push_back(static_cast<Tier>(t));
  return tiers;
}

// Memory of any element type, 64-byte aligned, `skew` bytes further.
struct Buffer {
  explicit Buffer(int64_t bytes, int64_t skew = 0) : memory(static_cast<size_t>(bytes + skew) / 64 + 2), offset(skew) {}
  std::byte* data() { return reinterpret_cast<std::byte*>(memory.data()) + offset; }
  template <class T> T* as() { return reinterpret_cast<T*>(data()); }
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> memory;
  int64_t offset;
};

double value(DType dtype, const void* p, int64_t i) {
  if (dtype == DType::bf16) {
    uint16_t bits;
    std::memcpy(&bits, static_cast<const char*>(p) + 2 * i, 2);
    bf16 x;
    x.bits = bits;
    return static_cast<double>(x);
  }
  if (dtype == DType::f64) return static_cast<const double*>(p)[i];
  float x;
  std::memcpy(&x, static_cast<const char*>(p) + 4 * i, 4);
  return static_cast<double>(x);
}

void set(DType dtype, void* p, int64_t i, double x) {
  if (dtype == DType::bf16) {
    const bf16 b(static_cast<float>(x));
    std::memcpy(static_cast<char*>(p) + 2 * i, &b, 2);
  } else if (dtype == DType::f64) {
    static_cast<double*>(p)[i] = x;
  } else {
    const float f = static_cast<float>(x);
    std::memcpy(static_cast<char*>(p) + 4 * i, &f, 4);
  }
}

// A matrix whose rows are `extra` elements apart beyond their length; the gaps hold NaN, which no kernel may multiply.
struct Matrix {
  Matrix(DType type, int64_t row_count, int64_t column_count, int64_t extra, const char* name, int64_t skew = 0)
      : dtype(type), rows(row_count), columns(column_count), ld(column_count + extra),
        memory((row_count * ld + 64) * static_cast<int64_t>(size_of(type)), skew) {
    const RandomStream random(7, "gemm_test", name);
    for (int64_t i = 0; i < rows * ld + 64; ++i) set(dtype, memory.data(), i, static_cast<double>(kNaN));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) set(dtype, memory.data(), r * ld + c, random.uniform(static_cast<uint64_t>(r * columns + c)) * 2 - 1);
  }
  double at(int64_t r, int64_t c) { return value(dtype, memory.data(), r * ld + c); }
  std::byte* row(int64_t r) { return memory.data() + r * ld * static_cast<int64_t>(size_of(dtype)); }
  void fill(double x) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) set(dtype, memory.data(), r * ld + c, x);
  }
  std::string bytes() { return {reinterpret_cast<const char*>(memory.data()), static_cast<size_t>(rows * ld) * size_of(dtype)}; }
  DType dtype;
  int64_t rows, columns, ld;
  Buffer memory;
};

DType sums_of(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

// B[K,N] and its packed form.
struct Weights {
  Weights(ThreadPool& pool, DType type, int64_t k, int64_t n, const char* name = "b")
      : plain(type, k, n, 0, name), memory(packed_bytes(type, k, n)) {
    Matrix source(sums_of(type), k, n, 0, name);
    pack(pool, type, source.memory.data(), k, n, n, 1, memory.data());
    packed = {type, k, n, memory.data()};
  }
  Matrix plain;
  Buffer memory;
  PackedMatrix packed;
};

struct Case {
  int64_t m, n, k;
  bool bias = false, accumulate = false, half = false;
  int64_t skew = 0;
  int terms = 1;
};

std::string describe(Tier tier, DType dtype, const Case& c) {
  return std::string(name_of(tier)) + " " + std::string(name_of(dtype)) + " M=" + std::to_string(c.m) + " N=" + std::to_string(c.n) +
         " K=" + std::to_string(c.k) + " terms=" + std::to_string(c.terms);
}

// Runs one case and compares every element with a sum in double: |error| ≤ (K + 4)·ε·Σ|a·b|, ε = 2⁻²⁴ (2⁻⁵³ for f64),
// and half a unit of bf16 when C is bf16.
void check(ThreadPool& pool, Tier tier, DType dtype, const Case& c) {
  SCOPED_TRACE(describe(tier, dtype, c));
  const ForcedTier forced(tier);
  const DType sums = sums_of(dtype), c_dtype = c.half ? DType::bf16 : sums;
  std::vector<Matrix> a;
  std::vector<Weights> b;
  const char* names[] = {"a0", "a1", "a2", "a3"};
  const char* weight_names[] = {"b0", "b1", "b2", "b3"};
  Gemm g{.term_count = c.terms, .m = c.m, .n = c.n};
  for (int t = 0; t < c.terms; ++t) {
    const int64_t k = c.k + 5 * t;
    a.emplace_back(dtype, c.m, k, 3, names[t], c.skew);
    b.emplace_back(pool, dtype, k, c.n, weight_names[t]);
  }
  for (int t = 0; t < c.terms; ++t)
    g.terms[t] = {a[static_cast<size_t>(t)].memory.data(), a[static_cast<size_t>(t)].ld, b[static_cast<size_t>(t)].packed};
  Matrix out(c_dtype, c.m, c.n, 5, "c"), before(c_dtype, c.m, c.n, 5, "c"), bias(sums, 1, c.n, 0, "bias");
  if (!c.accumulate) out.fill(static_cast<double>(kNaN));
  g.c = out.memory.data();
  g.ldc = out.ld;
  g.c_dtype = c_dtype;
  g.bias_N = c.bias ? bias.memory.data() : nullptr;
  g.accumulate = c.accumulate;
  gemm(pool, {&g, 1});

  const double epsilon = dtype == DType::f64 ? std::ldexp(1, -53) : std::ldexp(1, -24);
  int64_t bad = 0;
  for (int64_t i = 0; i < c.m; ++i) {
    for (int64_t j = 0; j < c.n; ++j) {
      double exact = 0, magnitude = 0;
      int64_t k = 0;
      for (int t = 0; t < c.terms; ++t) {
        for (int64_t x = 0; x < a[static_cast<size_t>(t)].columns; ++x, ++k) {
          const double product = a[static_cast<size_t>(t)].at(i, x) * b[static_cast<size_t>(t)].plain.at(x, j);
          exact += product;
          magnitude += std::abs(product);
        }
      }
      if (c.bias) exact += bias.at(0, j), magnitude += std::abs(bias.at(0, j));
      if (c.accumulate) exact += before.at(i, j), magnitude += std::abs(before.at(i, j));
      double bound = static_cast<double>(k + 4) * epsilon * magnitude;
      if (c.half) bound += std::ldexp(std::abs(exact) + bound, -8);
      if (!(std::abs(out.at(i, j) - exact) <= bound) && ++bad < 4) ADD_FAILURE() << "C[" << i << "," << j << "] = " << out.at(i, j) << ", expected " << exact;
    }
    for (int64_t j = c.n; j < c.n + 5; ++j) EXPECT_TRUE(std::isnan(out.at(i, j))) << "wrote past column " << c.n << " of row " << i;
  }
  EXPECT_EQ(bad, 0);
}

const DType kTypes[] = {DType::bf16, DType::f32, DType::f64};

TEST(Gemm, AllRowCountsAndTails) {
  ThreadPool pool(2);
  for (const Tier tier : tiers_here())
    for (const DType dtype : kTypes)
      for (int64_t m = 0; m <= 40; ++m) check(pool, tier, dtype, {.m = m, .n = 16 + m % 19, .k = 33});
}

TEST(Gemm, ColumnTails) {
  ThreadPool pool(2);
  for (const Tier tier : tiers_here())
    for (const DType dtype : kTypes) {
      for (int64_t n = 1; n <= 70; ++n) check(pool, tier, dtype, {.m = n % 17 + 1, .n = n, .k = 24, .bias = n % 2 == 0, .half = dtype != DType::f64 && n % 3 == 0});
      check(pool, tier, dtype, {.m = 2, .n = 250, .k = 24});
    }
}

TEST(Gemm, DepthTailsNeverReadPastTheRow) {
  ThreadPool pool(2);
  for (const Tier tier : tiers_here())
    for (const DType dtype : kTypes)
      for (int64_t k = 1; k <= 70; ++k) check(pool, tier, dtype, {.m = 15, .n = 33, .k = k});
}

TEST(Gemm, ZeroDepthGivesTheBias) {
  ThreadPool pool(1);
  for (const Tier tier : tiers_here())
    for (const DType dtype : kTypes) {
      check(pool, tier, dtype, {.m = 3, .n = 18, .k = 0, .bias = true});
      check(pool, tier, dtype, {.m = 3, .n = 18, .k = 0});
    }
}

TEST(Gemm, BiasAccumulateHalfAndMisalignedRows) {
  ThreadPool pool(3);
  for (const Tier tier : tiers_here())
    for (const DType dtype : kTypes)
      for (int bits = 0; bits < 8; ++bits)
        check(pool, tier, dtype,
              {.m = 29, .n = 47, .k = 37, .bias = (bits & 1) != 0, .accumulate = (bits & 2) != 0, .half = (bits & 4) != 0 && dtype != DType::f64,
               .skew = static_cast<int64_t>(size_of(dtype))});
}

TEST(Gemm, SeveralTermsAddUp) {
  ThreadPool pool(2);
  for (const Tier tier : tiers_here())
    for (const DType dtype : kTypes)
      for (int terms = 2; terms <= 4; ++terms) check(pool, tier, dtype, {.m = 17, .n = 40, .k = 27, .bias = true, .half = dtype == DType::bf16, .terms = terms});
}

// Longer than one pass of the summed axis, in one term and across terms; and many tasks.
TEST(Gemm, LongSumsAndManyTasks) {
  ThreadPool pool(2);
  for (const Tier tier : tiers_here())
    for (const DType dtype : kTypes) {
      check(pool, tier, dtype, {.m = 5, .n = 40, .k = 9001});
      check(pool, tier, dtype, {.m = 9, .n = 19, .k = 3001, .bias = true, .accumulate = true, .half = dtype == DType::bf16, .terms = 3});
      if (tier != Tier::ref) check(pool, tier, dtype, {.m = 300, .n = 200, .k = 130});
    }
}

// The same rows alone, in uneven groups, all at once, with 1, 2 and 3 threads: the same bits.
TEST(Gemm, RowsDoNotDependOnTheirCompany) {
  for (const Tier tier : tiers_here()) {
    const ForcedTier forced(tier);
    for (const DType dtype : kTypes) {
      for (const int64_t k : {45, 64, 5000}) {
        SCOPED_TRACE(describe(tier, dtype, {.m = 0, .n = 0, .k = k}));
        const int64_t m = 61, n = 83;
        ThreadPool one(1);
        Weights b(one, dtype, k, n);
        Matrix a(dtype, m, k, 1, "a");
        const DType sums = sums_of(dtype);
        const auto product = [&](int64_t from, int64_t rows, Matrix& c) {
          Gemm g{.m = rows, .n = n, .c = c.row(from), .ldc = c.ld, .c_dtype = c.dtype};
          g.terms[0] = {a.row(from), a.ld, b.packed};
          return g;
        };
        Matrix whole(sums, m, n, 0, "c");
        Gemm all = product(0, m, whole);
        gemm(one, {&all, 1});
        for (const int threads : {1, 2, 3}) {
          ThreadPool pool(threads);
          Matrix again(sums, m, n, 0, "c"), single(sums, m, n, 0, "c"), grouped(sums, m, n, 0, "c");
          Gemm g = product(0, m, again);
          gemm(pool, {&g, 1});
          EXPECT_EQ(whole.bytes(), again.bytes()) << threads << " threads";
          for (int64_t r = 0; r < m; ++r) {
            g = product(r, 1, single);
            gemm(pool, {&g, 1});
          }
          EXPECT_EQ(whole.bytes(), single.bytes()) << "row by row";
          std::vector<Gemm> groups;
          for (int64_t from = 0, size = 0; from < m; from += size, ++size) groups.push_back(product(from, std::min(size, m - from), grouped));
          gemm(pool, groups);
          EXPECT_EQ(whole.bytes(), grouped.bytes()) << "groups of 0, 1, 2, …";
        }
      }
    }
  }
}

TEST(Gemm, EpilogueMeetsEveryFinalElementOnce) {
  ThreadPool pool(3);
  for (const Tier tier : tiers_here()) {
    const ForcedTier forced(tier);
    for (const DType dtype : kTypes)
      for (const auto& [n, k] : {std::pair<int64_t, int64_t>{83, 45}, {700, 40}, {35, 5000}, {16, 0}}) {
        SCOPED_TRACE(describe(tier, dtype, {.m = 0, .n = n, .k = k}));
        const int64_t rows[] = {61, 0, 7};
        Weights b(pool, dtype, k, n);
        Matrix a(dtype, 68, k, 1, "a"), c(sums_of(dtype), 68, n, 3, "c"), seen(sums_of(dtype), 68, n, 3, "c");
        std::vector<int> visits(static_cast<size_t>(68 * n));
        const Epilogue copy = [&](const Block& block) {
          for (int64_t r = block.row; r < block.row + block.rows; ++r)
            for (int64_t j = block.column; j < block.column + block.columns; ++j) {
              set(c.dtype, seen.row(r), j, c.at(r, j));
              ++visits[static_cast<size_t>(r * n + j)];
            }
        };
        std::vector<Gemm> problems;
        for (int64_t i = 0, from = 0; i < 3; from += rows[i++])
          problems.push_back({.terms = {{a.row(from), a.ld, b.packed}}, .m = rows[i], .n = n, .c = c.row(from), .ldc = c.ld, .c_dtype = c.dtype, .accumulate = true,
                              .epilogue = &copy, .epilogue_row = from});
        gemm(pool, problems);
        EXPECT_EQ(seen.bytes(), c.bytes());
        EXPECT_EQ(std::count(visits.begin(), visits.end(), 1), 68 * n);
      }
  }
}

TEST(Gemm, ExpertsOfUnevenSize) {
  ThreadPool pool(2);
  for (const Tier tier : tiers_here()) {
    const ForcedTier forced(tier);
    const int64_t n = 48, k = 40, counts[] = {0, 130, 1, 0, 17, 64, 0};
    std::vector<Weights> b;
    Matrix a(DType::bf16, 212, k, 0, "a"), c(DType::f32, 212, n, 0, "c");
    c.fill(static_cast<double>(kNaN));
    for (int e = 0; e < 7; ++e) b.emplace_back(pool, DType::bf16, k, n, ("expert" + std::to_string(e)).c_str());
    std::vector<Gemm> problems;
    int64_t from = 0;
    for (size_t e = 0; e < 7; from += counts[e++]) {
      Gemm g{.m = counts[e], .n = n, .c = counts[e] ? c.row(from) : nullptr, .ldc = n};
      g.terms[0] = {counts[e] ? a.row(from) : nullptr, k, b[e].packed};
      problems.push_back(g);
    }
    gemm(pool, problems);
    from = 0;
    for (size_t e = 0; e < 7; from += counts[e++])
      for (int64_t r = from; r < from + counts[e]; ++r)
        for (int64_t j = 0; j < n; ++j) {
          double exact = 0;
          for (int64_t x = 0; x < k; ++x) exact += a.at(r, x) * b[e].plain.at(x, j);
          ASSERT_NEAR(c.at(r, j), exact, 1e-4) << name_of(tier) << " expert " << e;
        }
  }
}

TEST(Gemm, NotANumberAndInfinityPassThrough) {
  ThreadPool pool(1);
  for (const Tier tier : tiers_here())
    for (const DType dtype : kTypes) {
      const ForcedTier forced(tier);
      Weights b(pool, dtype, 8, 20);
      Matrix a(dtype, 3, 8, 0, "a");
      set(dtype, a.memory.data(), 8 + 3, static_cast<double>(kNaN));
      set(dtype, a.memory.data(), 16 + 3, std::numeric_limits<double>::infinity());
      for (const bool half : {false, true}) {
        Matrix c(half && dtype != DType::f64 ? DType::bf16 : sums_of(dtype), 3, 20, 0, "c");
        Gemm g{.m = 3, .n = 20, .c = c.memory.data(), .ldc = 20, .c_dtype = c.dtype};
        g.terms[0] = {a.memory.data(), 8, b.packed};
        gemm(pool, {&g, 1});
        for (int64_t j = 0; j < 20; ++j) {
          EXPECT_TRUE(std::isfinite(c.at(0, j)));
          EXPECT_TRUE(std::isnan(c.at(1, j)));
          EXPECT_TRUE(std::isinf(c.at(2, j)));
        }
      }
    }
}

TEST(Pack, EveryTierWritesTheBytesOfTheReference) {
  ThreadPool pool(3);
  for (const DType dtype : kTypes)
    for (const bool transposed : {false, true})
      for (const auto& [k, n] : {std::pair{1, 1}, {2, 16}, {31, 17}, {32, 32}, {33, 40}, {70, 5}, {128, 100}, {257, 65}}) {
        Matrix source(sums_of(dtype), k, n, 3, "w");
        if (k == 33) set(source.dtype, source.memory.data(), 7, static_cast<double>(kNaN));
        const int64_t row = transposed ? 1 : source.ld, column = transposed ? source.ld : 1;
        if (transposed) source = Matrix(sums_of(dtype), n, k, 3, "w");
        std::string expected;
        for (const Tier tier : tiers_here()) {
          const ForcedTier forced(tier);
          const auto size = static_cast<size_t>(packed_bytes(dtype, k, n));
          Buffer out(static_cast<int64_t>(size));
          std::memset(out.data(), 0xff, size);
          pack(pool, dtype, source.memory.data(), k, n, transposed ? 1 : row, transposed ? source.ld : column, out.data());
          const std::string bytes(out.as<const char>(), size);
          if (tier == Tier::ref) expected = bytes;
          EXPECT_TRUE(bytes == expected) << name_of(tier) << " " << name_of(dtype) << " K=" << k << " N=" << n << " transposed " << transposed;
        }
      }
}

void check_at_b(ThreadPool& pool, Tier tier, DType dtype, int64_t m, int64_t p, int64_t q, bool accumulate) {
  SCOPED_TRACE(std::string(name_of(tier)) + " " + std::string(name_of(dtype)) + " m=" + std::to_string(m) + " p=" + std::to_string(p) + " q=" + std::to_string(q));
  const ForcedTier forced(tier);
  const DType sums = sums_of(dtype);
  Matrix a(dtype, m, p, 1, "a"), b(dtype, m, q, 3, "b"), c(sums, p, q, 2, "c"), before(sums, p, q, 2, "c");
  if (!accumulate) c.fill(static_cast<double>(kNaN));
  const GemmAtB g{.dtype = dtype, .a = a.memory.data(), .lda = a.ld, .b = b.memory.data(), .ldb = b.ld, .m = m, .p = p, .q = q,
                  .c = c.memory.data(), .ldc = c.ld, .accumulate = accumulate};
  gemm_at_b(pool, {&g, 1});
  const double epsilon = dtype == DType::f64 ? std::ldexp(1, -53) : std::ldexp(1, -24);
  int64_t bad = 0;
  for (int64_t i = 0; i < p; ++i) {
    for (int64_t j = 0; j < q; ++j) {
      double exact = accumulate ? before.at(i, j) : 0, magnitude = std::abs(exact);
      for (int64_t x = 0; x < m; ++x) {
        exact += a.at(x, i) * b.at(x, j);
        magnitude += std::abs(a.at(x, i) * b.at(x, j));
      }
      const double bound = static_cast<double>(m + 4) * epsilon * magnitude;
      if (!(std::abs(c.at(i, j) - exact) <= bound) && ++bad < 4) ADD_FAILURE() << "C[" << i << "," << j << "] = " << c.at(i, j) << ", expected " << exact;
    }
    EXPECT_TRUE(std::isnan(c.at(i, q)) && std::isnan(c.at(i, q + 1)));
  }
  EXPECT_EQ(bad, 0);
}

TEST(GemmAtB, TailsOfAllThreeSizes) {
  ThreadPool pool(2);
  for (const Tier tier : tiers_here())
    for (const DType dtype : kTypes) {
      for (int64_t m = 0; m <= 40; ++m) check_at_b(pool, tier, dtype, m, 19, 21, m % 2 == 0);
      for (int64_t i = 1; i <= 40; ++i) check_at_b(pool, tier, dtype, 11, i, 41 - i, i % 2 == 0);
    }
}

TEST(GemmAtB, StretchesAndSlices) {
  ThreadPool pool(2);
  for (const Tier tier : tiers_here())
    for (const DType dtype : kTypes) {
      check_at_b(pool, tier, dtype, 1001, 33, 20, true);
      check_at_b(pool, tier, dtype, 2049, 24, 18, false);
      check_at_b(pool, tier, dtype, 3000, 17, 48, true);
      if (tier != Tier::ref) check_at_b(pool, tier, dtype, 90, 270, 520, true);
    }
}

TEST(GemmAtB, ThreadsAndNeighboursChangeNoBit) {
  for (const Tier tier : tiers_here()) {
    const ForcedTier forced(tier);
    for (const DType dtype : kTypes) {
      Matrix a(dtype, 1700, 40, 0, "a"), b(dtype, 1700, 36, 0, "b");
      std::string expected;
      for (const int threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        Matrix c(sums_of(dtype), 40, 36, 0, "c"), other(sums_of(dtype), 40, 36, 0, "c"), empty(sums_of(dtype), 40, 36, 0, "c");
        GemmAtB g{.dtype = dtype, .a = a.memory.data(), .lda = 40, .b = b.memory.data(), .ldb = 36, .m = 1700, .p = 40, .q = 36,
                  .c = c.memory.data(), .ldc = 36, .accumulate = true};
        if (threads == 1) {
          gemm_at_b(pool, {&g, 1});
          expected = c.bytes();
          continue;
        }
        GemmAtB h = g, nothing = g;
        h.m = 700;
        h.c = other.memory.data();
        nothing.m = 0;
        nothing.c = empty.memory.data();
        const std::string untouched = empty.bytes();
        const GemmAtB problems[] = {h, nothing, g};
        gemm_at_b(pool, problems);
        EXPECT_EQ(c.bytes(), expected) << name_of(tier) << " " << name_of(dtype) << " " << threads;
        EXPECT_EQ(empty.bytes(), untouched);
      }
    }
  }
}

// Queries, keys and values have one input, gate and up another: packed once, it gives what each alone gives.
TEST(GemmAtB, SharedInputChangesNoBit) {
  ThreadPool pool(2);
  constexpr int64_t kRows = 2100, kWidth = 48;
  for (const Tier tier : tiers_here()) {
    const ForcedTier forced(tier);
    for (const DType dtype : kTypes) {
      const std::vector<int64_t> heights{300, 280, 300, 290, 300, 310, 40};  // more than share a task, another input, another cut
      Matrix b(dtype, kRows, kWidth, 0, "b"), other(dtype, kRows, kWidth, 0, "other");
      std::vector<Matrix> a, c;
      std::vector<GemmAtB> problems;
      std::vector<std::string> alone;
      for (size_t i = 0; i < heights.size(); ++i) {
        a.emplace_back(dtype, kRows, heights[i], 3, ("a" + std::to_string(i)).c_str());
        c.emplace_back(sums_of(dtype), heights[i], kWidth, 2, "c");
      }
      for (size_t i = 0; i < heights.size(); ++i) {
        Matrix& with = i == 3 ? other : b;
        problems.push_back({.dtype = dtype, .a = a[i].memory.data(), .lda = a[i].ld, .b = with.memory.data(), .ldb = with.ld, .m = kRows, .p = heights[i],
                            .q = kWidth, .c = c[i].memory.data(), .ldc = c[i].ld, .accumulate = true});
        Matrix kept(sums_of(dtype), heights[i], kWidth, 2, "c");
        GemmAtB g = problems.back();
        g.c = kept.memory.data();
        gemm_at_b(pool, {&g, 1});
        alone.push_back(kept.bytes());
      }
      gemm_at_b(pool, problems);
      for (size_t i = 0; i < heights.size(); ++i) EXPECT_EQ(c[i].bytes(), alone[i]) << name_of(tier) << " " << name_of(dtype) << " " << i;
    }
  }
}

TEST(Gemm, NamesTheImplementation) {
  for (const Tier tier : tiers_here()) {
    const ForcedTier forced(tier);
    EXPECT_EQ(gemm_candidate_name(DType::bf16), name_of(tier));
  }
}

// Neighbours along k, along n, and neither.
TEST(Gemm, PacksTheSameBytesOnEveryTier) {
  ThreadPool pool(2);
  for (const auto& [k, n] : {std::pair<int64_t, int64_t>{1, 1}, {2, 16}, {31, 17}, {33, 32}, {64, 48}, {70, 100}, {129, 33}}) {
    std::vector<float> src(static_cast<size_t>(2 * (k + 3) * (n + 3)));
    const RandomStream stream(1, "test", "pack");
    for (size_t i = 0; i < src.size(); ++i) src[i] = i % 7 == 3 ? 1e-41f : static_cast<float>(stream.normal(i));
    for (const auto& [row, column] : {std::pair<int64_t, int64_t>{1, k}, {1, k + 3}, {n, 1}, {n + 3, 1}, {2 * n, 2}}) {
      const auto packed_on = [&, k = k, n = n, row = row, column = column](Tier tier) {
        const ForcedTier forced(tier);
        std::vector<std::byte> out(static_cast<size_t>(packed_bytes(DType::bf16, k, n)) + 64, std::byte{0x55});
        auto* aligned = out.data() + (64 - reinterpret_cast<uintptr_t>(out.data()) % 64) % 64;
        pack(pool, DType::bf16, src.data(), k, n, row, column, aligned);
        return std::vector<std::byte>(aligned, aligned + packed_bytes(DType::bf16, k, n));
      };
      EXPECT_EQ(packed_on(machine_tier()), packed_on(Tier::ref)) << k << "x" << n << " strides " << row << ", " << column;
    }
  }
}

}  // namespace
}  // namespace gamut::kernels
