#include "checkpoints/mxfp4.h"

#include <array>
#include <cmath>

namespace gamut {

PackedTensor find_mxfp4(const TensorFile& file, const std::string& name) {
  const TensorView *blocks = file.find(name + "_blocks"), *scales = file.find(name + "_scales");
  if (!blocks || !scales) return {};
  PackedTensor found{blocks, scales, {}};
  std::vector<int64_t> groups = blocks->shape;
  if (groups.size() < 2 || groups.back() != 16 || blocks->dtype != DType::u8 || scales->dtype != DType::u8) return found;
  groups.pop_back();
  if (scales->shape != groups) return found;
  found.shape = groups;
  found.shape.back() *= 32;
  return found;
}

std::vector<float> decode_mxfp4(const PackedTensor& tensor) {
  constexpr std::array<float, 16> kNumbers{0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.F, -0.5F, -1, -1.5F, -2, -3, -4, -6};
  const std::span<const std::byte> blocks = tensor.blocks->bytes, scales = tensor.scales->bytes;
  std::vector<float> out(2 * blocks.size());
  for (size_t g = 0; g < scales.size(); ++g) {
    const float scale = std::ldexp(1.0F, std::to_integer<int>(scales[g]) - 127);
    for (size_t i = 16 * g; i < 16 * (g + 1); ++i) {
      out[2 * i] = kNumbers[std::to_integer<size_t>(blocks[i] & std::byte{15})] * scale;
      out[2 * i + 1] = kNumbers[std::to_integer<size_t>(blocks[i] >> 4)] * scale;
    }
  }
  return out;
}

}  // namespace gamut
