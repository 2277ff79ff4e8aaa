#include "checkpoints/elements.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/half.h"

namespace gamut {
namespace {

template <class S, class P, class Value> void each(const std::byte* from, int64_t count, P* to, Value value) {
  for (int64_t i = 0; i < count; ++i) {
    S s;
    std::memcpy(&s, from + static_cast<size_t>(i) * sizeof(S), sizeof(S));
    to[i] = static_cast<P>(value(s));
  }
}

template <class P> void decode_blocks(const TensorView& view, int64_t first, int64_t count, P* to) {
  const BlockFormat& format = *view.blocks;
  float block[kLargestBlock];
  for (const int64_t end = first + count; first < end;) {
    const int64_t within = first % format.elements, taken = std::min(format.elements - within, end - first);
    format.decode(reinterpret_cast<const uint8_t*>(view.bytes.data()) + static_cast<size_t>(first / format.elements) * format.bytes, block);
    to = std::copy(block + within, block + within + taken, to);
    first += taken;
  }
}

}  // namespace

bool is_float(DType type) { return type == DType::f32 || type == DType::f64 || type == DType::bf16 || type == DType::f16; }

template <class P> void read_elements(const TensorView& view, int64_t first, int64_t count, P* to) {
  if (view.blocks) return decode_blocks(view, first, count, to);
  const std::byte* from = view.bytes.data() + static_cast<size_t>(first) * size_of(view.dtype);
  const auto same = [](auto x) { return x; };
  if (view.dtype == DTypeOf<P>::value) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(P));
    return;
  }
  switch (view.dtype) {
    case DType::f32: return each<float>(from, count, to, same);
    case DType::f64: return each<double>(from, count, to, same);
    case DType::bf16: return each<bf16>(from, count, to, [](bf16 x) { return static_cast<float>(x); });
    case DType::f16: return each<uint16_t>(from, count, to, half_to_float);
    case DType::i8: return each<int8_t>(from, count, to, same);
    case DType::u8:
    case DType::boolean: return each<uint8_t>(from, count, to, same);
    case DType::i16: return each<int16_t>(from, count, to, same);
    case DType::u16: return each<uint16_t>(from, count, to, same);
    case DType::u32: return each<uint32_t>(from, count, to, same);
    case DType::u64: return each<uint64_t>(from, count, to, same);
    case DType::i32: return each<int32_t>(from, count, to, same);
    case DType::i64: return each<int64_t>(from, count, to, same);
  }
}
template void read_elements(const TensorView&, int64_t, int64_t, float*);
template void read_elements(const TensorView&, int64_t, int64_t, double*);

Difference compare_elements(const TensorView& a, const TensorView& b, double tolerance) {
  Difference d;
  constexpr int64_t kBlock = 4096;
  std::vector<double> x(kBlock), y(kBlock);
  const int64_t total = a.elements();
  for (int64_t first = 0; first < total; first += kBlock) {
    const int64_t count = std::min(kBlock, total - first);
    read_elements(a, first, count, x.data());
    read_elements(b, first, count, y.data());
    for (int64_t i = 0; i < count; ++i) {
      const double p = x[static_cast<size_t>(i)], q = y[static_cast<size_t>(i)];
      if (p == q || (std::isnan(p) && std::isnan(q))) continue;
      const double gap = std::isfinite(p) && std::isfinite(q) ? std::abs(p - q) : INFINITY;
      if (gap <= tolerance * std::max(std::abs(p), std::abs(q))) continue;
      if (d.unequal++ == 0 || gap > d.largest) d = {d.unequal, first + i, gap, p, q};
    }
  }
  return d;
}

}  // namespace gamut
