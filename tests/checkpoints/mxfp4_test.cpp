#include "checkpoints/mxfp4.h"

#include <gtest/gtest.h>

#include "checkpoints/safetensors.h"
#include "temp_folder.h"

namespace gamut {
namespace {

// Two rows of 64 numbers in blocks, and scales in the given shape.
SafetensorsReader file_with(const TempFolder& folder, std::vector<std::byte>& blocks, std::vector<std::byte>& scales, std::vector<int64_t> scale_shape) {
  write_safetensors(folder / "a.safetensors",
                    std::vector<TensorView>{{"w_blocks", DType::u8, {2, 2, 16}, blocks}, {"w_scales", DType::u8, std::move(scale_shape), scales}}, {});
  return SafetensorsReader(folder / "a.safetensors");
}

TEST(Mxfp4, EveryNumberWithTheScaleOfItsBlockLowerHalvesFirst) {
  const TempFolder folder;
  std::vector<std::byte> blocks(64), scales{std::byte{127}, std::byte{128}, std::byte{0}, std::byte{120}};
  for (size_t i = 0; i < 8; ++i) blocks[16 + i] = static_cast<std::byte>(2 * i | (2 * i + 1) << 4);  // 0 … 15 in the second block of the first row
  blocks[0] = std::byte{0x72};                                                                       // 1, then 6
  blocks[63] = std::byte{0xF0};                                                                      // 0, then −6
  blocks[32] = std::byte{0x01};                                                                      // ½ of the smallest scale
  const SafetensorsReader file = file_with(folder, blocks, scales, {2, 2});
  const PackedTensor packed = find_mxfp4(file, "w");
  ASSERT_EQ(packed.shape, (std::vector<int64_t>{2, 64}));
  const std::vector<float> w = decode_mxfp4(packed);
  ASSERT_EQ(w.size(), 128u);
  EXPECT_EQ(w[0], 1);
  EXPECT_EQ(w[1], 6);
  const std::vector<float> numbers{0, 0.5F, 1, 1.5F, 2, 3, 4, 6, 0, -0.5F, -1, -1.5F, -2, -3, -4, -6};
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(w[32 + i], 2 * numbers[i]) << i;
  EXPECT_EQ(w[64], 0x1p-128F);
  EXPECT_EQ(w[126], 0);
  EXPECT_EQ(w[127], -6 * 0x1p-7F);
}

TEST(Mxfp4, PartsThatDoNotFitHaveNoShape) {
  const TempFolder folder;
  std::vector<std::byte> blocks(64), scales(4);
  const SafetensorsReader file = file_with(folder, blocks, scales, {4, 1});
  EXPECT_NE(find_mxfp4(file, "w").blocks, nullptr);
  EXPECT_TRUE(find_mxfp4(file, "w").shape.empty());
  EXPECT_EQ(find_mxfp4(file, "v").blocks, nullptr);
}

}  // namespace
}  // namespace gamut
