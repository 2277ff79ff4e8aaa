// Element types of tensors and files, and bfloat16 arithmetic by value.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gamut {

// Brain float: the upper half of an IEEE float32. Conversion rounds to nearest, ties to even; NaN stays NaN.
struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  explicit bf16(float x) {
    uint32_t u = std::bit_cast<uint32_t>(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<uint16_t>((u >> 16) | 0x40u);
    } else {
      bits = static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
  explicit operator double() const { return static_cast<float>(*this); }
};

// The second line: element types of files alone, not computed with.
enum class DType : uint8_t {
  f32, bf16, f64, i32, i64, u8, u16,
  f16, i8, i16, u32, u64, boolean
};

size_t size_of(DType type);              // bytes of one element
std::string_view name_of(DType type);    // "f32", "bf16", …
DType dtype_named(std::string_view name);  // throws Error naming the known types

template <class T> struct DTypeOf;
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<bf16> { static constexpr DType value = DType::bf16; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<int64_t> { static constexpr DType value = DType::i64; };
template <> struct DTypeOf<uint8_t> { static constexpr DType value = DType::u8; };
template <> struct DTypeOf<uint16_t> { static constexpr DType value = DType::u16; };

// The type in which sums over T are kept: float for bf16 and float, double for double.
template <class T> struct AccumulatorOf { using type = float; };
template <> struct AccumulatorOf<double> { using type = double; };
template <class T> using accumulator = typename AccumulatorOf<T>::type;

// The type parameters (weights, gains) have beside activations of type T: f32, or f64 in the reference mode.
constexpr DType parameter_dtype(DType activations) { return activations == DType::f64 ? DType::f64 : DType::f32; }

}  // namespace gamut
