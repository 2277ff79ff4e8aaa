// Tensors in MXFP4, the microscaling format with four bits: two numbers to a byte, a common power of two for every 32 [OCP, Microscaling Formats 1.0, 2023].
#pragma once

#include "checkpoints/tensor_file.h"

namespace gamut {

// Of NAME_blocks u8 [..., G, 16] and NAME_scales u8 [..., G] the tensor NAME [..., 32·G], first the lower half of each byte; null shape: they do not fit
// together.
struct PackedTensor {
  const TensorView* blocks = nullptr;
  const TensorView* scales = nullptr;
  std::vector<int64_t> shape;
};
PackedTensor find_mxfp4(const TensorFile& file, const std::string& name);  // without blocks: the file has no such pair

// Its numbers, row-major.
std::vector<float> decode_mxfp4(const PackedTensor& tensor);

}  // namespace gamut
