#include "checkpoints/gguf.h"

#include "checkpoints/elements.h"
#include "checkpoints/safetensors.h"
#include "gguf_file.h"
#include "temp_folder.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

GgufContent parse(const std::string& file) { return parse_gguf(std::as_bytes(std::span(file)), "x.gguf"); }

std::string floats(std::initializer_list<float> values) {
  std::string out;
  for (const float value : values) out += GgufFile::number(value);
  return out;
}

// The gguf package's own decoding of random blocks (tools/make_gguf_fixtures.py), bit for bit.
TEST(Gguf, DecodesEveryBlockFormatAsThePackage) {
  const fs::path folder = GAMUT_SOURCE_DIR "/tests/checkpoints/fixtures";
  const GgufReader file(folder / "blocks.gguf");
  const SafetensorsReader expected(folder / "blocks.safetensors");
  for (const BlockFormat& format : block_formats()) {
    const TensorView &view = file.at(std::string(format.name)), &want = expected.at(std::string(format.name));
    EXPECT_EQ(view.blocks, &format);
    ASSERT_EQ(view.shape, (std::vector<int64_t>{2, 2 * format.elements}));
    ASSERT_EQ(view.shape, want.shape);
    const int64_t count = view.elements();
    std::vector<float> values(static_cast<size_t>(count)), wanted(values.size());
    read_elements(view, 0, count, values.data());
    read_elements(want, 0, count, wanted.data());
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], wanted[i]) << format.name << ", element " << i;
    EXPECT_EQ(compare_elements(view, want, 0).unequal, 0) << format.name;
    for (const auto& [first, length] : {std::pair(1, 5), std::pair(30, 40), std::pair(static_cast<int>(count) - 3, 3)}) {
      std::vector<double> part(static_cast<size_t>(length));
      read_elements(view, first, length, part.data());
      for (int i = 0; i < length; ++i) EXPECT_EQ(part[static_cast<size_t>(i)], wanted[static_cast<size_t>(first + i)]) << format.name << ", " << first << " + " << i;
    }
  }
  EXPECT_EQ(file.tensors().size(), block_formats().size());
}

TEST(Gguf, ReadsEveryKindOfValue) {
  GgufFile file;
  file.key("u8", 0, "\xff").key("i8", 1, "\xff").key("u16", 2, GgufFile::number<uint16_t>(65535)).key("i16", 3, GgufFile::number<int16_t>(-2)).u32("u32", 4000000000u);
  file.key("i32", 5, GgufFile::number<int32_t>(-5)).f32("f32", 1e-5f).flag("yes", true).flag("no", false).string("text", "ünï\n");
  file.key("u64", 10, GgufFile::number<uint64_t>(1ull << 40)).key("i64", 11, GgufFile::number<int64_t>(-(1ll << 40))).key("f64", 12, GgufFile::number(0.1));
  file.strings("texts", {"a", "", "b c"}).numbers<int32_t>("list", 5, {3, -1}).numbers<float>("floats", 6, {0.5f}).key("huge", 10, GgufFile::number<uint64_t>(~0ull));
  const std::string bytes = file.bytes();
  const GgufMetadata m = parse(bytes).metadata;
  EXPECT_EQ(m.integer("u8"), 255);
  EXPECT_EQ(m.integer("i8"), -1);
  EXPECT_EQ(m.integer("u16"), 65535);
  EXPECT_EQ(m.integer("i16"), -2);
  EXPECT_EQ(m.integer("u32"), 4000000000);
  EXPECT_EQ(m.integer("i32"), -5);
  EXPECT_EQ(m.integer("u64"), int64_t{1} << 40);
  EXPECT_EQ(m.integer("i64"), -(int64_t{1} << 40));
  EXPECT_EQ(m.integer("absent", 7), 7);
  EXPECT_EQ(m.json("f32"), 1e-5) << "the shortest number of that float";
  EXPECT_EQ(m.json("f64"), 0.1);
  EXPECT_EQ(m.json("texts"), (Json{"a", "", "b c"}));
  EXPECT_EQ(m.json("yes"), true);
  EXPECT_TRUE(m.flag("yes", false));
  EXPECT_FALSE(m.flag("no", true));
  EXPECT_TRUE(m.flag("absent", true));
  EXPECT_EQ(m.text("text"), "ünï\n");
  EXPECT_EQ(m.texts("texts"), (std::vector<std::string_view>{"a", "", "b c"}));
  EXPECT_EQ(m.numbers("list"), (std::vector<double>{3, -1}));
  EXPECT_EQ(m.numbers("floats"), (std::vector<double>{0.5}));
  EXPECT_ERROR(m.integer("absent"), "the key 'absent' is missing (x.gguf)");
  EXPECT_ERROR(m.integer("f32"), "'f32' is not a whole number (x.gguf, byte ");
  EXPECT_ERROR(m.integer("huge"), "'huge' is too large");
  EXPECT_ERROR(m.integer("list"), "'list' is not a whole number");
  EXPECT_ERROR(m.text("u8"), "'u8' is not a string");
  EXPECT_ERROR(m.texts("text"), "'text' is not an array of strings");
  EXPECT_ERROR(m.numbers("texts"), "'texts' is not an array of numbers");
  EXPECT_ERROR(m.flag("u8", true), "'u8' is not a boolean");
}

TEST(Gguf, TensorsAreInTheOrderOfTheirDataWithTheOutermostExtentFirst) {
  GgufFile file;
  file.alignment = 64;
  file.u32("general.alignment", 64).tensor("a", {3, 2}, 0, floats({1, 2, 3, 4, 5, 6})).tensor("scalar", {}, 28, GgufFile::number(2.5)).tensor("empty", {0, 4}, 1, "").tensor("b", {2}, 26, std::string(8, '\1'));
  const std::string bytes = file.bytes();
  const std::vector<TensorView> tensors = parse(bytes).tensors;
  ASSERT_EQ(tensors.size(), 4u);
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_EQ(tensors[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(tensors[1].shape, (std::vector<int64_t>{}));
  EXPECT_EQ(tensors[1].dtype, DType::f64);
  EXPECT_EQ(tensors[1].elements(), 1);
  EXPECT_EQ(tensors[3].dtype, DType::i32);
  for (const TensorView& view : tensors) EXPECT_EQ((view.bytes.data() - reinterpret_cast<const std::byte*>(bytes.data())) % 64, 0) << "aligned as the file says";
}

TEST(Gguf, OldAndForeignVersions) {
  GgufFile file;
  file.tensor("a", {1}, 0, floats({1}));
  for (const uint32_t version : {2u, 3u}) {
    file.version = version;
    EXPECT_EQ(parse(file.bytes()).tensors.size(), 1u);
  }
  file.version = 1;
  EXPECT_ERROR(parse(file.bytes()), "version 1 is not supported");
  file.version = 0x3000000;
  EXPECT_ERROR(parse(file.bytes()), "Hint: the file is big-endian");
  EXPECT_ERROR(parse("GGML" + std::string(40, '\0')), "not a GGUF file (x.gguf, byte 0)");
  EXPECT_ERROR(parse("GGUF"), "not a GGUF file");
}

TEST(Gguf, EveryCutOfAFileIsRefused) {
  GgufFile file;
  file.string("general.architecture", "llama").strings("list", {"a", "bc"}).numbers<float>("floats", 6, {1, 2}).tensor("a", {32, 2}, 8, std::string(68, '\2')).tensor("b", {2}, 0, floats({1, 2}));
  const std::string whole = file.bytes(), bytes = whole.substr(0, whole.size() - 24);  // without the last padding
  EXPECT_EQ(parse(bytes).tensors.size(), 2u);
  for (size_t length = 0; length < bytes.size(); ++length) EXPECT_ERROR(parse(bytes.substr(0, length)), "x.gguf");
}

struct Hostile {
  const char* name;
  GgufFile file;
  const char* message;
};

class HostileGguf : public testing::TestWithParam<Hostile> {};

TEST_P(HostileGguf, IsRefusedWithItsPlace) { EXPECT_ERROR(parse(GetParam().file.bytes()), GetParam().message); }

GgufFile lying(uint64_t tensors, uint64_t keys) {
  GgufFile file;
  file.tensors = tensors;
  file.keys = keys;
  return file;
}
constexpr uint64_t kHuge = 1ull << 63, kMost = ~0ull;

INSTANTIATE_TEST_SUITE_P(
    All, HostileGguf,
    testing::Values(Hostile{"tensor_count", lying(kMost, 0), "truncated or damaged (x.gguf, tensor '', byte 32)"}, Hostile{"key_count", lying(0, kMost), "truncated or damaged (x.gguf, key '', byte 32)"},
                    Hostile{"key_length", GgufFile().key("a", 8, GgufFile::number(kMost)), "key 'a', byte "}, Hostile{"text_length", GgufFile().key("a", 8, GgufFile::number(kHuge)), "truncated or damaged"},
                    Hostile{"array_of_texts", GgufFile().key("a", 9, GgufFile::number(8u) + GgufFile::number(kMost)), "an array of 18446744073709551615 strings does not fit"},
                    Hostile{"array_of_numbers", GgufFile().key("a", 9, GgufFile::number(12u) + GgufFile::number(kHuge / 4)), "numbers does not fit into the file (x.gguf, key 'a', byte "},
                    Hostile{"array_of_arrays", GgufFile().key("a", 9, GgufFile::number(9u) + GgufFile::number(1ull)), "arrays of arrays"},
                    Hostile{"value_type", GgufFile().key("a", 13, ""), "value type 13 is not known (x.gguf, key 'a'"}, Hostile{"boolean", GgufFile().key("a", 7, "\2"), "neither 0 nor 1"},
                    Hostile{"twice_a_key", GgufFile().u32("a", 1).u32("a", 2), "the key occurs twice (x.gguf, key 'a'"},
                    Hostile{"alignment_zero", GgufFile().u32("general.alignment", 0), "'general.alignment' must be a power of two"},
                    Hostile{"alignment_three", GgufFile().u32("general.alignment", 48), "'general.alignment' must be a power of two up to 1048576, not 48 (x.gguf, byte "},
                    Hostile{"alignment_type", GgufFile().f32("general.alignment", 32), "is not a whole number"},
                    Hostile{"dimensions", GgufFile().entry("t", {1, 1, 1, 1, 1}, 0, 0), "5 dimensions; at most 4 are allowed (x.gguf, tensor 't', byte "},
                    Hostile{"element_type", GgufFile().entry("t", {256}, 16, 0), "element type 16 is not supported (x.gguf, tensor 't', byte 24)"},
                    Hostile{"removed_type", GgufFile().entry("t", {32}, 4, 0), "element type 4 is not supported"},
                    Hostile{"extents_overflow", GgufFile().entry("t", {1ull << 40, 1ull << 40}, 0, 0), "its extents are too large (x.gguf, tensor 't', byte 24)"},
                    Hostile{"extent_negative", GgufFile().entry("t", {kMost}, 0, 0), "its extents are too large"}, Hostile{"bytes_overflow", GgufFile().entry("t", {1ull << 62}, 28, 0), "its extents are too large"},
                    Hostile{"row_of_blocks", GgufFile().entry("t", {48, 2}, 2, 0), "no multiple of the 32 numbers in a block of Q4_0"},
                    Hostile{"scalar_of_blocks", GgufFile().entry("t", {}, 2, 0), "no multiple of the 32 numbers"},
                    Hostile{"offset_alignment", GgufFile().entry("t", {1}, 0, 8), "its data begin at 8, which is no multiple of 32"},
                    Hostile{"offset_beyond", GgufFile().entry("t", {1}, 0, kHuge), "the file is truncated: its 4 bytes begin at 9223372036854775808"},
                    Hostile{"data_beyond", GgufFile().tensor("a", {8}, 0, std::string(32, 0)).entry("t", {9}, 0, 0), "the file is truncated: its 36 bytes begin at 0"},
                    Hostile{"overlap", GgufFile().tensor("a", {8}, 0, std::string(32, 0)).entry("t", {8}, 0, 0), "overlap another tensor's (x.gguf, tensor 't', byte "},
                    Hostile{"hole", GgufFile().tensor("a", {24}, 0, std::string(96, 0)).entry("t", {1}, 0, 1 << 20), "truncated"},
                    Hostile{"twice_a_name", GgufFile().tensor("a", {1}, 0, std::string(4, 0)).tensor("a", {1}, 0, std::string(4, 0)), "the name occurs twice (x.gguf, tensor 'a'"},
                    Hostile{"surplus", GgufFile().tensor("a", {1}, 0, std::string(64, 0)), "bytes follow the last tensor (x.gguf, byte "}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Gguf, ShardsAreOneModel) {
  const TempFolder folder;
  const auto shard = [&](uint16_t number, const std::string& name, const std::string& tensor) {
    GgufFile file;
    file.key("split.no", 2, GgufFile::number(number)).key("split.count", 2, GgufFile::number<uint16_t>(2)).key("split.tensors.count", 5, GgufFile::number<int32_t>(2));
    file.string("general.architecture", "llama").tensor(tensor, {1}, 0, floats({static_cast<float>(number)}));
    write_file(folder / name, file.bytes());
  };
  shard(0, "m-00001-of-00002.gguf", "a");
  EXPECT_ERROR(GgufReader(folder / "m-00001-of-00002.gguf"), "m-00002-of-00002.gguf");
  shard(1, "m-00002-of-00002.gguf", "b");
  const GgufReader reader(folder / "m-00001-of-00002.gguf");
  EXPECT_EQ(reader.tensors().size(), 2u);
  EXPECT_TRUE(contains(reader.place(reader.at("b")), "m-00002-of-00002.gguf, tensor 'b', byte "));
  EXPECT_ERROR(GgufReader(folder / "m-00002-of-00002.gguf"), "shard 2 of 2: a model of several files is opened by its first");
  shard(1, "m-00002-of-00002.gguf", "a");
  EXPECT_ERROR(GgufReader(folder / "m-00001-of-00002.gguf"), "a shard before it holds the tensor too");
  shard(0, "m-00002-of-00002.gguf", "b");
  EXPECT_ERROR(GgufReader(folder / "m-00001-of-00002.gguf"), "'split.no' should be 1");
}

}  // namespace
}  // namespace gamut
