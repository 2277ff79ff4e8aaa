// Formats that pack the numbers of a matrix row in blocks with common scales, as GGUF files hold them [ggml, ggml-quants.c].
//
// Q4_0 to Q8_0 have blocks of 32 numbers with one scale d (and with _1 one minimum m); the _K formats have blocks of 256 in groups with
// scales of their own, which are quantised in turn; IQ4, MXFP4 and NVFP4 look their four bits up in a
// table of sixteen levels; TQ are ternary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gamut {

struct BlockFormat {
  std::string_view name;  // "Q4_K"
  uint32_t id;            // in GGUF files
  int64_t elements;       // of a block
  size_t bytes;           // of a block
  // The numbers of one block at any alignment, in float32, in the order of operations of the format's definition.
  void (*decode)(const uint8_t* block, float* values);
};
inline constexpr int64_t kLargestBlock = 256;

std::span<const BlockFormat> block_formats();
const BlockFormat* find_block_format(uint32_t id);  // nullptr when not known

}  // namespace gamut
