#include "checkpoints/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "base/hash.h"
#include "base/rng.h"
#include "temp_folder.h"

namespace gamut {
namespace {

template <class T> std::span<const std::byte> raw(const std::vector<T>& values) { return std::as_bytes(std::span(values)); }

// A file of the given header and data, the length taken from the header.
std::string file_of(const std::string& header, const std::string& data = "") {
  const uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + data;
}

SafetensorsContent parse(const std::string& file) { return parse_safetensors(std::as_bytes(std::span(file)), "x.safetensors"); }

TEST(Safetensors, WritesAndReadsEveryType) {
  const TempFolder folder;
  std::vector<std::byte> bytes(48);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7);
  std::vector<TensorView> tensors;
  for (const DType type : {DType::boolean, DType::u8, DType::i8, DType::f16, DType::bf16, DType::i16, DType::u16, DType::f32, DType::i32,
                           DType::u32, DType::f64, DType::i64, DType::u64})
    tensors.push_back({.name = std::string(name_of(type)), .dtype = type, .shape = {3, 2}, .bytes = std::span(bytes).first(6 * size_of(type))});
  write_safetensors(folder / "a.safetensors", tensors, {{"format", "pt"}});

  const SafetensorsReader reader(folder / "a.safetensors");
  EXPECT_EQ(reader.metadata().at("format"), "pt");
  ASSERT_EQ(reader.tensors().size(), tensors.size());
  for (const TensorView& expected : tensors) {
    const TensorView& found = reader.at(expected.name);
    EXPECT_EQ(found.dtype, expected.dtype);
    EXPECT_EQ(found.shape, expected.shape);
    EXPECT_EQ(std::memcmp(found.bytes.data(), expected.bytes.data(), expected.bytes.size()), 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(found.bytes.data()) % size_of(found.dtype), 0u) << found.name << " is aligned";
  }
  EXPECT_EQ(reader.find("absent"), nullptr);
  EXPECT_ERROR(reader.at("bf17"), "did you mean 'bf16'");
}

TEST(Safetensors, GoldenBytes) {
  const TempFolder folder;
  const std::vector<float> values{1, 2};
  const std::vector<TensorView> tensors{{.name = "w", .dtype = DType::f32, .shape = {2}, .bytes = raw(values)}};
  const WrittenFile written = write_safetensors(folder / "a.safetensors", tensors);
  const std::string text = read_file(folder / "a.safetensors");
  const std::string header = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_EQ(text, file_of(header + std::string(128 - 8 - header.size() - 64 * (header.size() <= 56), ' '),
                          std::string("\0\0\x80\x3f\0\0\0\x40", 8)));
  EXPECT_EQ(written.bytes, text.size());
  EXPECT_EQ(written.xxh3_128, hash128_hex(text));
}

TEST(Safetensors, ScalarsEmptyTensorsAndAwkwardNames) {
  const TempFolder folder;
  const std::vector<double> one{3.5};
  const std::string name = "a \"quoted\"\n\t中文 \\ name";
  write_safetensors(folder / "a.safetensors", std::vector<TensorView>{{.name = name, .dtype = DType::f64, .shape = {}, .bytes = raw(one)},
                                                                      {.name = "", .dtype = DType::f32, .shape = {0, 5}, .bytes = {}}});
  const SafetensorsReader reader(folder / "a.safetensors");
  EXPECT_TRUE(reader.at(name).shape.empty());
  EXPECT_EQ(reader.at("").shape, (std::vector<int64_t>{0, 5}));
  write_safetensors(folder / "none.safetensors", {});
  EXPECT_TRUE(SafetensorsReader(folder / "none.safetensors").tensors().empty());
}

TEST(Safetensors, UnalignedDataAndPaddedHeaderAreFine) {
  const SafetensorsContent content = parse(file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                                   "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}   ",
                                                   std::string("\x07\0\0\x80\x3f", 5)));
  float value = 0;
  std::memcpy(&value, content.tensors.at(1).bytes.data(), 4);
  EXPECT_EQ(value, 1.0f);
}

TEST(Safetensors, WriterRefusesWhatItCouldNotRead) {
  const TempFolder folder;
  const std::vector<float> values{1, 2};
  const TensorView good{.name = "w", .dtype = DType::f32, .shape = {2}, .bytes = raw(values)};
  EXPECT_ERROR(write_safetensors(folder / "a", std::vector<TensorView>{good, good}), "occurs twice");
  TensorView wrong = good;
  wrong.shape = {3};
  EXPECT_ERROR(write_safetensors(folder / "a", std::vector<TensorView>{wrong}), "does not match its 8 bytes");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "nothing half-written";
}

struct Hostile {
  const char* what;
  std::string file;
  const char* message;
};

class HostileFile : public testing::TestWithParam<Hostile> {};

TEST_P(HostileFile, IsRefusedWithItsReason) { EXPECT_ERROR(parse(GetParam().file), GetParam().message); }

std::string one(const std::string& entry, const std::string& data = std::string(8, '\0')) { return file_of("{\"w\":" + entry + "}", data); }

INSTANTIATE_TEST_SUITE_P(
    Safetensors, HostileFile,
    testing::Values(
        Hostile{"empty", "", "0 bytes, not even a header length"}, Hostile{"short", std::string(7, 'a'), "7 bytes"},
        Hostile{"text", "this is a text file of some length", "is this a safetensors file?"},
        Hostile{"longest length", std::string(8, '\xff') + "{}", "header claims 18446744073709551615 bytes"},
        Hostile{"header beyond the end", file_of("{}").substr(0, 9), "truncated: its header needs 2 bytes, 1 follow"},
        Hostile{"empty header", file_of(""), "does not begin with '{'"}, Hostile{"leading space", file_of(" {}"), "does not begin with '{'"},
        Hostile{"a list", file_of("[]"), "does not begin with '{'"}, Hostile{"torn JSON", file_of("{\"w\":"), "not valid JSON"},
        Hostile{"two documents", file_of("{}{}"), "not valid JSON"}, Hostile{"invalid UTF-8", file_of("{\"\xff\":{}}"), "not valid JSON"},
        Hostile{"deep nesting", file_of("{\"w\":" + std::string(1'000'000, '[')), "entry is a list"},
        Hostile{"nested object", one(R"({"shape":{"a":1}})"), "nested object"},
        Hostile{"nested list", one(R"({"shape":[[1]]})"), "holds a list"}, Hostile{"null entry", one("null"), "entry is null"},
        Hostile{"number as entry", one("3"), "entry is a number"},
        Hostile{"list as dtype", one(R"({"dtype":["F32"]})"), "'dtype' holds a list"},
        Hostile{"string as shape", one(R"({"shape":"2"})"), "'shape' holds a string"},
        Hostile{"negative extent", one(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), "holds a negative number"},
        Hostile{"fraction", one(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), "holds a fraction"},
        Hostile{"65 dimensions", one(R"({"shape":[1)" + [] { std::string s; for (int i = 0; i < 64; ++i) s += ",1"; return s; }() + "]}"),
                "more than 64"},
        Hostile{"number beyond 64 bits", one(R"({"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]})"), "holds a fraction"},
        Hostile{"number beyond doubles", one(R"({"dtype":"F32","shape":[1e999],"data_offsets":[0,8]})"), "header"},
        Hostile{"unknown key", one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"device":"cpu"})"), "unknown key 'device'"},
        Hostile{"repeated key", one(R"({"dtype":"F32","dtype":"F32"})"), "'dtype' occurs twice"},
        Hostile{"repeated empty shape", one(R"({"shape":[],"shape":[]})"), "'shape' occurs twice"},
        Hostile{"repeated name", file_of(R"({"w":{},"w":{}})"), "'w' occurs twice"},
        Hostile{"repeated metadata", file_of(R"({"__metadata__":{"a":"1","a":"2"}})"), "metadata key 'a' occurs twice"},
        Hostile{"metadata of numbers", file_of(R"({"__metadata__":{"a":1}})"), "holds a number"},
        Hostile{"metadata list", file_of(R"({"__metadata__":[]})"), "entry is a list"},
        Hostile{"no dtype", one(R"({"shape":[2],"data_offsets":[0,8]})"), "lacks its dtype"},
        Hostile{"no shape", one(R"({"dtype":"F32","data_offsets":[0,8]})"), "lacks its shape"},
        Hostile{"no offsets", one(R"({"dtype":"F32","shape":[2]})"), "lacks its data_offsets"},
        Hostile{"unknown dtype", one(R"({"dtype":"F33","shape":[2],"data_offsets":[0,8]})"), "'F33' is not supported"},
        Hostile{"three offsets", one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4,8]})"), "must be two numbers, not 3"},
        Hostile{"reversed offsets", one(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), "before they begin"},
        Hostile{"data beyond the end", one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})"), "truncated: its data end at byte 12"},
        Hostile{"huge extent", one(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})"), "too large"},
        Hostile{"overflowing shape", one(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]})", ""), "more than 2^64"},
        Hostile{"wrong size", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})"), "takes 4 bytes, its place has 8"},
        Hostile{"trailing data", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), "4 bytes follow the last tensor"},
        Hostile{"hole in front", one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), "a hole before its data"},
        Hostile{"overlap",
                file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
                        std::string(6, '\0')),
                "tensor 'b'"},
        Hostile{"same place twice",
                file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                        std::string(4, '\0')),
                "overlap another tensor's"}),
    [](const testing::TestParamInfo<Hostile>& test) {
      std::string name = test.param.what;
      for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
      return name;
    });

TEST(Safetensors, EveryTruncationAndEveryFlippedBitIsRefusedOrHarmless) {
  const TempFolder folder;
  std::vector<float> values(6);
  std::iota(values.begin(), values.end(), 1.0f);
  const std::vector<TensorView> tensors{{.name = "a", .dtype = DType::f32, .shape = {2, 2}, .bytes = raw(values).first(16)},
                                        {.name = "b", .dtype = DType::bf16, .shape = {4}, .bytes = raw(values).subspan(16)}};
  write_safetensors(folder / "a", tensors, {{"k", "v"}});
  const std::string good = read_file(folder / "a");
  for (size_t length = 0; length < good.size(); ++length) EXPECT_THROW(parse(good.substr(0, length)), Error) << length;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    try {
      for (const TensorView& view : parse(bad).tensors)  // what is accepted lies inside the file
        EXPECT_TRUE(view.bytes.data() + view.bytes.size() <= std::as_bytes(std::span(bad)).data() + bad.size() || !view.bytes.size());
    } catch (const Error&) {
    }
  }
}

class Shards : public testing::Test {
 protected:
  TempFolder folder_;
  std::vector<float> values_{1, 2, 3};
  void shard(const std::string& file, const std::vector<std::string>& names) {
    std::vector<TensorView> tensors;
    for (const std::string& name : names) tensors.push_back({.name = name, .dtype = DType::f32, .shape = {3}, .bytes = raw(values_)});
    write_safetensors(folder_ / file, tensors);
  }
  void index(const std::string& map) { write_file(folder_ / "model.safetensors.index.json", "{\"metadata\":{\"total_size\":24},\"weight_map\":" + map + "}"); }
};

TEST_F(Shards, AreReadAsOne) {
  shard("model-1.safetensors", {"a", "c"});
  shard("model-2.safetensors", {"b"});
  index(R"({"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-1.safetensors"})");
  const SafetensorsReader reader(folder_.path());
  EXPECT_EQ(reader.tensors().size(), 3u);
  EXPECT_EQ(reader.at("b").bytes.size(), 12u);
}

TEST_F(Shards, ThatDisagreeWithTheIndexAreRefusedNamingAll) {
  shard("model-1.safetensors", {"a", "c"});
  index(R"({"a":"model-1.safetensors","b":"model-1.safetensors"})");
  EXPECT_ERROR(SafetensorsReader(folder_.path()), "missing: b; not in the index for it: c");
  index(R"({"a":"model-9.safetensors"})");
  EXPECT_ERROR(SafetensorsReader(folder_.path()), "No such file");
}

TEST_F(Shards, OutsideTheFolderAreRefused) {
  for (const char* shard : {"../x.safetensors", "/etc/passwd", "..", "", "a\\u0000b"}) {
    index("{\"a\":\"" + std::string(shard) + "\"}");
    EXPECT_ERROR(SafetensorsReader(folder_.path()), "not a file of the same folder");
  }
}

TEST_F(Shards, BrokenIndexIsRefused) {
  for (const char* map : {"3", "[]", "{\"a\":1}", "{", "null"}) {
    index(map);
    EXPECT_ERROR(SafetensorsReader(folder_.path()), "not a valid index");
  }
  write_file(folder_ / "model.safetensors.index.json", "{}");
  EXPECT_ERROR(SafetensorsReader(folder_.path()), "not a valid index");
}

TEST(Safetensors, FolderWithoutAModelSaysWhatItLooksFor) {
  const TempFolder folder;
  EXPECT_ERROR(SafetensorsReader(folder.path()), "holds neither model.safetensors nor");
  EXPECT_ERROR(SafetensorsReader(folder / "absent"), "No such file");
}

}  // namespace
}  // namespace gamut
