// The readers of JSON and TOML, and overrides from the command line.
#include <gtest/gtest.h>

#include "base/io.h"
#include "base/json.h"
#include "base/toml.h"
#include "temp_folder.h"

namespace gamut {
namespace {

TEST(Json, KeepsTheOrderOfKeys) { EXPECT_EQ(parse_json(R"({"b": 1, "a": [true, null, "é"]})", "x").dump(), R"({"b":1,"a":[true,null,"é"]})"); }

TEST(Json, SaysWhereItIsBroken) {
  EXPECT_ERROR(parse_json("{\n \"a\": 1,\n}", "x.json"), "not valid JSON at byte 11 (x.json:3)");
  EXPECT_ERROR(parse_json("", "x.json"), "(x.json:1)");
  EXPECT_ERROR(parse_json("[1e999]", "x.json"), "x.json");
  EXPECT_ERROR(parse_json("\"\xff\"", "x.json"), "not valid JSON");
  EXPECT_ERROR(read_json("/no/such/file.json"), "check the path");
}

TEST(Json, RefusesWhatWouldOverflowTheStack) {
  EXPECT_NO_THROW(parse_json(std::string(256, '[') + std::string(256, ']'), "x"));
  EXPECT_ERROR(parse_json(std::string(257, '[') + std::string(257, ']'), "x"), "nested too deep");
  EXPECT_ERROR(parse_json(std::string(5'000'000, '['), "x"), "nested too deep");
  EXPECT_NO_THROW(parse_json("\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"", "x")) << "inside a string they are text";
}

TEST(Toml, ReadsTablesListsAndLines) {
  const ConfigDocument document = parse_toml("# c\nseed = 1\n[model]\nwidth = 64 # units\nlist = [1.5, 'a']\n[model.mixer]\nkind = 'attention'\n", "r.toml");
  EXPECT_EQ(document.value["model"]["width"], 64);
  EXPECT_EQ(document.value["model"]["list"].dump(), R"([1.5,"a"])");
  EXPECT_EQ(document.value["model"]["mixer"]["kind"], "attention");
  EXPECT_EQ(document.origin.lines.at("seed"), 2);
  EXPECT_EQ(document.origin.lines.at("model.width"), 4);
  EXPECT_EQ(document.origin.lines.at("model.mixer.kind"), 7);
}

TEST(Toml, SaysWhereItIsBroken) {
  EXPECT_ERROR(parse_toml("a = 1\nb = \n", "r.toml"), "(r.toml:2)");
  EXPECT_ERROR(parse_toml("a = 1\na = 2\n", "r.toml"), "r.toml:2");
  EXPECT_ERROR(parse_toml("a = 1\nday = 2020-01-01\n", "r.toml"), "dates and times have no meaning here (r.toml:2)");
  EXPECT_ERROR(parse_toml("a = '\xff'", "r.toml"), "r.toml:1");
}

TEST(Toml, RefusesWhatWouldOverflowTheStack) {
  EXPECT_ERROR(parse_toml("a = " + std::string(100'000, '['), "r.toml"), "r.toml");
  std::string key = "a";
  for (int i = 0; i < 200'000; ++i) key += ".a";
  EXPECT_ERROR(parse_toml(key + " = 1", "r.toml"), "r.toml");
  EXPECT_ERROR(parse_toml("[" + key + "]", "r.toml"), "r.toml");
  ConfigDocument document;
  EXPECT_ERROR(apply_override(document, key + "=1"), "nested too deep");
}

TEST(Toml, WritesWhatItReads) {
  const Json table = parse_toml("s = \"a\\n\\\"b\"\ni = -3\nf = 0.1\nb = false\nl = [[1], []]\n[t]\nx = 1e-30\n", "r.toml").value;
  const Json again = parse_toml(write_toml(table), "again.toml").value;
  EXPECT_EQ(nlohmann::json::parse(again.dump()), nlohmann::json::parse(table.dump()));
  EXPECT_EQ(parse_toml(write_toml({{"gone", nullptr}, {"stays", 1}}), "x").value, (Json{{"stays", 1}})) << "TOML has no null";
}

TEST(Override, IsReadAsTomlOrElseAsAWord) {
  ConfigDocument document = parse_toml("[train]\nsteps = 1\n", "r.toml");
  const auto set = [&](const std::string& assignment) { apply_override(document, assignment); };
  set("train.steps=20");
  set("train.rate=1e-3");
  set("train.on=true");
  set("train.list=[1, 2]");
  set("model.mixer.kind=attention");
  set("run.dir=2026-01-31");
  set("run.note=a=b # c");
  EXPECT_EQ(document.value["train"]["steps"], 20);
  EXPECT_EQ(document.value["train"]["rate"], 1e-3);
  EXPECT_EQ(document.value["train"]["on"], true);
  EXPECT_EQ(document.value["train"]["list"].dump(), "[1,2]");
  EXPECT_EQ(document.value["model"]["mixer"]["kind"], "attention");
  EXPECT_EQ(document.value["run"]["dir"], "2026-01-31") << "a folder may be named like a date";
  EXPECT_EQ(document.value["run"]["note"], "a=b # c");
  EXPECT_FALSE(document.origin.lines.contains("train.steps")) << "the line is no longer the value's";
}

TEST(Override, RefusesWhatIsNoAssignment) {
  ConfigDocument document = parse_toml("a = 1\n", "r.toml");
  EXPECT_ERROR(apply_override(document, "steps"), "'steps' is not of the form section.key=value (command line)");
  EXPECT_ERROR(apply_override(document, "=3"), "not of the form");
  EXPECT_ERROR(apply_override(document, "t..x=3"), "has an empty part");
  EXPECT_ERROR(apply_override(document, "a.b=3"), "'a' is a value, not a table");
  EXPECT_ERROR(apply_override(document, "x=\xff"), "is not UTF-8");
}

}  // namespace
}  // namespace gamut
