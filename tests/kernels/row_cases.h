// Inputs, guarded outputs and comparison for the tests of row kernels.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace gamut::kernels {

// Lengths: nothing, one, everything below two of the widest vectors, tails beside them, and rows of ordinary size.
inline std::vector<int64_t> row_lengths() {
  std::vector<int64_t> n;
  for (int64_t i = 0; i <= 33; ++i) n.push_back(i);
  for (int64_t i : {47, 63, 64, 65, 79, 127, 128, 200, 257, 1000}) n.push_back(i);
  return n;
}

// Memory for n elements that starts `shift` elements off any alignment, filled with NaN and followed by a guard.
template <class T> class Span {
 public:
  explicit Span(int64_t n, int64_t shift = 0) : n_(n), shift_(shift), memory_(static_cast<size_t>(n + shift + kGuard)) {
    std::memset(static_cast<void*>(memory_.data()), 0xff, memory_.size() * sizeof(T));  // NaN in float, double, bf16; −1 in int32
  }
  Span(const std::vector<double>& values, int64_t shift = 0) : Span(static_cast<int64_t>(values.size()), shift) {
    for (int64_t i = 0; i < n_; ++i) {
      if constexpr (sizeof(T) == 2)
        (*this)[i] = T(static_cast<float>(values[static_cast<size_t>(i)]));
      else
        (*this)[i] = static_cast<T>(values[static_cast<size_t>(i)]);
    }
  }
  T* data() { return memory_.data() + shift_; }
  const T* data() const { return memory_.data() + shift_; }
  T& operator[](int64_t i) { return data()[i]; }
  int64_t size() const { return n_; }

  // Everything as double; also checks that nothing was written beyond the end or before the start.
  std::vector<double> values() const {
    for (int64_t i = 0; i < shift_ * static_cast<int64_t>(sizeof(T)); ++i)
      EXPECT_EQ(reinterpret_cast<const unsigned char*>(memory_.data())[i], 0xff) << "written before the start";
    for (int64_t i = 0; i < kGuard * static_cast<int64_t>(sizeof(T)); ++i)
      EXPECT_EQ(reinterpret_cast<const unsigned char*>(data() + n_)[i], 0xff) << "written beyond the end";
    std::vector<double> out(static_cast<size_t>(n_));
    for (int64_t i = 0; i < n_; ++i) out[static_cast<size_t>(i)] = static_cast<double>(data()[i]);
    return out;
  }
  bool same_bits(const Span& other) const {
    return n_ == other.n_ && std::memcmp(data(), other.data(), static_cast<size_t>(n_) * sizeof(T)) == 0;
  }

 private:
  static constexpr int64_t kGuard = 32;
  int64_t n_, shift_;
  std::vector<T> memory_;
};

// Numbers in [low, high), the same on every machine, exact in bfloat16 when `T` is bf16.
template <class T> std::vector<double> numbers(int64_t n, uint64_t seed, double low = -2, double high = 2) {
  std::vector<double> out(static_cast<size_t>(n));
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (double& x : out) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    x = low + (high - low) * static_cast<double>(state >> 11) * 0x1p-53;
    if constexpr (sizeof(T) == 2)
      x = static_cast<double>(static_cast<float>(bf16(static_cast<float>(x))));
    else
      x = static_cast<double>(static_cast<T>(x));
  }
  return out;
}

// |got − want| ≤ relative·|want| + absolute; outputs of type bf16 may also be rounded once.
template <class T>
void expect_close(const std::vector<double>& got, const std::vector<double>& want, double relative, double absolute,
                  const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  if (sizeof(T) == 2) relative += 0x1.01p-8;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - want[i]), bound = relative * std::abs(want[i]) + absolute;
    if (!(error <= bound)) {
      ADD_FAILURE() << what << " [" << i << "]: " << got[i] << " instead of " << want[i] << ", off by " << error << ", allowed "
                    << bound;
      return;
    }
  }
}

// Central difference of f along each of x's elements.
template <class F> std::vector<double> numeric_gradient(std::vector<double> x, const F& f, double step = 1e-5) {
  std::vector<double> out(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + step;
    const double above = f(x);
    x[i] = at - step;
    out[i] = (above - f(x)) / (2 * step);
    x[i] = at;
  }
  return out;
}

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace gamut::kernels
