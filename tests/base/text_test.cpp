// Text for people, hashes and element types.
#include "base/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "base/hash.h"
#include "temp_folder.h"

namespace gamut {
namespace {

TEST(Text, NearestName) {
  const std::vector<std::string> known{"hidden_size", "num_layers", "vocab_size", "lr"};
  EXPECT_EQ(nearest("hiden_size", known), "hidden_size");
  EXPECT_EQ(nearest("num_layer", known), "num_layers");
  EXPECT_EQ(nearest("vocabulary", known), "");
  EXPECT_EQ(nearest("zzzz", known), "");
  EXPECT_EQ(did_you_mean("vocabsize", known), "did you mean 'vocab_size'?");
  EXPECT_EQ(did_you_mean("zzzz", known), "known: hidden_size, num_layers, vocab_size, lr");
  EXPECT_EQ(did_you_mean("a", {}), "");
  EXPECT_EQ(did_you_mean("", std::vector<std::string>{"a_long_name"}), "known: a_long_name");
}

TEST(Text, HumanNumbers) {
  EXPECT_EQ(human_count(950), "950");
  EXPECT_EQ(human_count(0.25), "0.25");
  EXPECT_EQ(human_count(3400), "3.4k");
  EXPECT_EQ(human_count(999'999), "1M") << "never 1000k";
  EXPECT_EQ(human_count(1.234e12), "1.23T");
  EXPECT_EQ(human_count(-2e6), "-2M");
  EXPECT_EQ(human_bytes(512), "512 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(1023.0 * 1024 * 1024), "0.999 GiB") << "three digits, never 1.02e+03 MiB";
  EXPECT_EQ(human_bytes(1.5 * (1 << 30)), "1.5 GiB");
}

TEST(Text, HumanSeconds) {
  EXPECT_EQ(human_seconds(0.4), "0.4 s");
  EXPECT_EQ(human_seconds(12.3), "12 s");
  EXPECT_EQ(human_seconds(59.7), "1 min 00 s");
  EXPECT_EQ(human_seconds(200), "3 min 20 s");
  EXPECT_EQ(human_seconds(3900), "1 h 05 min");
  EXPECT_EQ(human_seconds(9.96), "10 s");
  EXPECT_EQ(human_seconds(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(human_seconds(NAN), "?");
}

TEST(Text, SplitJoinTrim) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), std::vector<std::string>{""});
  EXPECT_EQ(join(split("a/b/c", '/'), ", "), "a, b, c");
  EXPECT_EQ(join(split("/b", '/'), "/"), "/b") << "an empty first part counts";
  EXPECT_EQ(trim(" \t a b\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
}

TEST(Hash, KnownAnswers) {  // of the XXH3 specification
  EXPECT_EQ(hash64(""), 0x2d06800538d394c2u);
  EXPECT_EQ(hash128_hex(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_NE(hash64("a"), hash64(std::string_view("a"), 1));
}

TEST(Hash, StreamEqualsWhole) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i);
  StreamHash stream;
  for (size_t at = 0; at < text.size(); at += 333) stream.update(text.data() + at, std::min<size_t>(333, text.size() - at));
  EXPECT_EQ(stream.hex(), hash128_hex(text));
  EXPECT_EQ(StreamHash().hex(), hash128_hex(""));
}

TEST(DTypes, NamesAndSizes) {
  for (const char* name : {"f32", "bf16", "f64", "i32", "i64", "u8", "u16", "f16", "i8", "i16", "u32", "u64", "bool"})
    EXPECT_EQ(name_of(dtype_named(name)), name);
  EXPECT_EQ(size_of(DType::bf16), 2u);
  EXPECT_ERROR(dtype_named("bf61"), "dtype: unknown element type 'bf61'. Hint: did you mean 'bf16'?");
}

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(bf16(1.00390625f).bits, 0x3f80) << "half-way to the odd neighbour: stays even";
  EXPECT_EQ(bf16(1.01171875f).bits, 0x3f82) << "half-way from the odd one: up to even";
  EXPECT_EQ(bf16(1.0041f).bits, 0x3f81);
  EXPECT_EQ(bf16(-0.0f).bits, 0x8000);
  EXPECT_EQ(bf16(std::numeric_limits<float>::max()).bits, 0x7f80) << "rounds to infinity";
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0x7f800001u))))) << "a NaN's payload in the low bits alone stays NaN";
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    bf16 x;
    x.bits = static_cast<uint16_t>(bits);
    const float f = static_cast<float>(x);
    if (!std::isnan(f)) {
      ASSERT_EQ(bf16(f).bits, bits);
    }
  }
}

TEST(Errors, AreOneLine) {
  const Error error({.who = "safetensors", .what = "bad name 'a\nb\x1b[31m'", .where = "x:1", .hint = "try"});
  EXPECT_STREQ(error.what(), "safetensors: bad name 'a b [31m' (x:1). Hint: try");
  EXPECT_STREQ(Error({.who = "a", .what = "b"}).what(), "a: b");
}

}  // namespace
}  // namespace gamut
