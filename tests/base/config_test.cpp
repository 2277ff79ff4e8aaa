#include "base/config.h"

#include <gtest/gtest.h>

#include "base/toml.h"
#include "temp_folder.h"

namespace gamut {
namespace {

Config config_of(const std::string& toml) {
  ConfigDocument document = parse_toml(toml, "r.toml");
  return Config(document.value, document.origin);
}
template <class T> std::string taking(const std::string& value) {
  return error_of([&] { config_of("k = " + value).take<T>("k"); });
}

TEST(Config, TakesEveryType) {
  Config cfg = config_of("i = 7\nwhole = 1e6\nf = 2\ns = 'x'\nb = true\nlist = [1, 2]\nnames = ['a']\n");
  EXPECT_EQ(cfg.take<int>("i"), 7);
  EXPECT_EQ(cfg.take<int64_t>("whole"), 1000000) << "people write 1e6";
  EXPECT_EQ(cfg.take<double>("f"), 2.0);
  EXPECT_EQ(cfg.take<std::string>("s"), "x");
  EXPECT_TRUE(cfg.take<bool>("b"));
  EXPECT_EQ(cfg.take<std::vector<int>>("list"), (std::vector<int>{1, 2}));
  EXPECT_EQ(cfg.take<std::vector<std::string>>("names"), std::vector<std::string>{"a"});
  EXPECT_EQ(cfg.take<int>("absent", 5), 5);
  cfg.finish();
}

TEST(Config, NamesAnUnknownKeyWithItsLineAndTheNearestName) {
  Config cfg = config_of("\n[train]\nbatch = 4\nlearning_rat = 0.1\n");
  Config train = cfg.sub("train");
  train.take<int>("batch");
  train.take<double>("learning_rate", 0.0);
  EXPECT_EQ(error_of([&] { train.finish(); }),
            "config: 'train.learning_rat' is not a known key (r.toml:4). Hint: did you mean 'learning_rate'?");
}

TEST(Config, IgnoredKeysAreKnown) {
  Config cfg = config_of("torch_dtype = 'f16'\n");
  cfg.ignore("torch_dtype", "the weights say it");
  cfg.finish();
}

TEST(Config, MissingKey) { EXPECT_EQ(error_of([] { config_of("").take<int>("width"); }), "config: key 'width' is missing (r.toml)"); }

TEST(Config, WrongTypes) {
  EXPECT_EQ(taking<int>("'4'"), "config: 'k' must be a whole number, not \"4\" (r.toml:1)");
  EXPECT_TRUE(contains(taking<int>("1.5"), "must be a whole number, not 1.5"));
  EXPECT_TRUE(contains(taking<int>("nan"), "must be a whole number, not nan"));
  EXPECT_TRUE(contains(taking<bool>("1"), "must be true or false, not 1"));
  EXPECT_TRUE(contains(taking<double>("'x'"), "must be a number, not"));
  EXPECT_TRUE(contains(taking<double>("nan"), "must be a finite number, not nan"));
  EXPECT_TRUE(contains(taking<double>("inf"), "must be a finite number"));
  EXPECT_TRUE(contains(taking<std::string>("3"), "must be a string, not 3"));
  EXPECT_TRUE(contains(taking<std::vector<int>>("3"), "must be a list"));
  EXPECT_TRUE(contains(taking<std::vector<int>>("[1, 'b']"), "must be a whole number, not \"b\""));
  EXPECT_LT(taking<int>("'" + std::string(5000, 'x') + "'").size(), 120u) << "a long value is cut";
}

TEST(Config, WholeNumbersStayInTheirType) {
  EXPECT_EQ(config_of("k = 2147483647").take<int>("k"), 2147483647);
  EXPECT_EQ(config_of("k = -2147483648.0").take<int>("k"), -2147483647 - 1);
  EXPECT_EQ(config_of("k = 9007199254740992.0").take<int64_t>("k"), int64_t{1} << 53);
  for (const char* value : {"2147483648", "2147483648.0", "-2147483649", "1e300", "-1e300"})
    EXPECT_TRUE(contains(taking<int>(value), "is out of range")) << value;
  EXPECT_TRUE(contains(taking<int>("inf"), "k")) << "refused, whatever the reason";
  EXPECT_TRUE(contains(taking<int64_t>("9223372036854775808.0"), "is out of range")) << "2^63";
  EXPECT_TRUE(contains(taking<uint64_t>("-1"), "is out of range"));
  EXPECT_TRUE(contains(taking<uint64_t>("-1.0"), "is out of range"));
  EXPECT_TRUE(contains(taking<uint64_t>("18446744073709551616.0"), "is out of range")) << "2^64";
  EXPECT_TRUE(contains(taking<float>("1e39"), "is out of range"));
  Config wide(parse_json(R"({"k": 18446744073709551615})", "x.json"), {.source = "x.json", .lines = {}});
  EXPECT_EQ(wide.take<uint64_t>("k"), UINT64_MAX);
  EXPECT_ERROR(wide.take<int64_t>("k"), "is out of range: 18446744073709551615");
}

TEST(Config, RangesAndChoices) {
  EXPECT_EQ(config_of("k = 3").take_in<int>("k", 1, 1, 3), 3);
  EXPECT_ERROR(config_of("k = 4").take_in<int>("k", 1, 1, 3), "'k' must lie between 1 and 3, not 4 (r.toml:1)");
  EXPECT_EQ(config_of("k = 'silu'").take_choice("k", "gelu", {"gelu", "silu"}), "silu");
  EXPECT_EQ(config_of("").take_choice("k", "gelu", {"gelu", "silu"}), "gelu");
  EXPECT_ERROR(config_of("k = 'sliu'").take_choice("k", "gelu", {"gelu", "silu"}), "expected one of: gelu, silu (r.toml:1). Hint: did you mean 'silu'?");
}

TEST(Config, TablesMustBeTables) {
  EXPECT_ERROR(config_of("train = 3").sub("train"), "'train' must be a table, not number");
  EXPECT_ERROR(Config(Json::array(), {.source = "x.json", .lines = {}}), "the document must be a table, not array (x.json)");
  Config nothing = config_of("").sub("train");
  EXPECT_EQ(nothing.take<int>("steps", 9), 9) << "a missing table leaves the defaults";
}

TEST(Config, NullCountsAsMissing) {
  Config cfg(Json{{"a", nullptr}});
  EXPECT_TRUE(cfg.is_null("a"));
  EXPECT_FALSE(cfg.has("a"));
  EXPECT_EQ(cfg.take<int>("a", 3), 3);
  cfg.finish();
}

}  // namespace
}  // namespace gamut
