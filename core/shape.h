// Dimensions of a tensor, outermost first, up to five.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace gamut {

class Shape {
 public:
  static constexpr int kMax = 5;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
    assert(dims.size() <= kMax);
    for (int i = 0; i < rank_; ++i) dims_[i] = dims[i];
  }

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i < 0 ? rank_ + i : i]; }  // negative counts from the end
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  int64_t width() const { return rank_ ? dims_[rank_ - 1] : 1; }               // innermost dimension
  int64_t rows() const { return rank_ ? elements() / (width() ? width() : 1) : 1; }  // product of the others
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape&) const = default;
  std::string text() const;  // "[2, 64, 128]"

 private:
  std::array<int64_t, kMax> dims_{};
  int rank_ = 0;
};

}  // namespace gamut
