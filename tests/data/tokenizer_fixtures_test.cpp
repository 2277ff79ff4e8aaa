// Small tokenizers of every kind, and what Hugging Face `tokenizers` says about some texts (tools/tokenizer_fixtures.py).
#include "data/tokenizers/post_processors/post_processor.h"
#include "data/tokenizers/tokenizer.h"
#include "base/json.h"
#include "temp_folder.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> fixtures() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(GAMUT_SOURCE_DIR) / "tests/data/fixtures")) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

using Ids = std::vector<int32_t>;

class TokenizerFixture : public ::testing::TestWithParam<fs::path> {
 protected:
  const Json data = read_json(GetParam());
  const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::from_json(data.at("tokenizer").dump(), "", GetParam().string());
};

TEST_P(TokenizerFixture, EncodesAndDecodesAsThePeer) {
  ASSERT_FALSE(data.at("cases").empty());
  for (const Json& row : data.at("cases")) {
    const auto text = row.at("text").get<std::string>();
    const auto ids = row.at("ids").get<Ids>(), framed = row.at("framed").get<Ids>();
    EXPECT_EQ(tokenizer->encode(text), ids) << row.at("text");
    EXPECT_EQ(tokenizer->add_special_tokens(ids), framed) << row.at("text");
    EXPECT_EQ(lossy_utf8(tokenizer->decode(framed, true)), row.at("decoded").get<std::string>());
    EXPECT_EQ(lossy_utf8(tokenizer->decode(framed, false)), row.at("skipped").get<std::string>());
  }
  for (const Json& row : data.at("decodes")) EXPECT_EQ(lossy_utf8(tokenizer->decode(row.at("ids").get<Ids>(), true)), row.at("text").get<std::string>());
}

TEST_P(TokenizerFixture, FramesTwoTextsAsThePeer) {
  for (const Json& row : data.at("pairs")) {
    const Ids first = tokenizer->encode(row.at("texts")[0].get<std::string>()), second = tokenizer->encode(row.at("texts")[1].get<std::string>());
    const FramedIds both = tokenizer->frame(first, &second);
    EXPECT_EQ(both.ids, row.at("ids").get<Ids>());
    EXPECT_EQ(both.type_ids, row.at("type_ids").get<Ids>());
  }
}

TEST_P(TokenizerFixture, LeavesSpecialTokensOfUntrustedTextAlone) {
  for (const Json& row : data.at("as_text")) EXPECT_EQ(tokenizer->encode(row.at("text").get<std::string>(), SpecialTokens::as_text), row.at("ids").get<Ids>()) << row.at("text");
}

TEST_P(TokenizerFixture, IsTheSameAfterSaveAndLoad) {
  TempFolder folder;
  tokenizer->save(folder.path());
  const auto again = Tokenizer::load(folder.path());
  EXPECT_EQ(again->hash(), tokenizer->hash());
  for (const Json& row : data.at("cases")) EXPECT_EQ(again->encode(row.at("text").get<std::string>()), row.at("ids").get<Ids>());
}

// Caches, the cutting of long texts and the heap of long pieces must not show: a text of many lines is encoded like one seen first.
TEST_P(TokenizerFixture, RemembersNothingThatMatters) {
  std::string all;
  for (const Json& row : data.at("cases")) all += row.at("text").get<std::string>() + " ";
  const Ids first = tokenizer->encode(all);
  for (const Json& row : data.at("cases")) tokenizer->encode(row.at("text").get<std::string>());
  EXPECT_EQ(tokenizer->encode(all), first);
  EXPECT_EQ(Tokenizer::from_json(data.at("tokenizer").dump(), "", "copy")->encode(all), first);
}

TEST_P(TokenizerFixture, UnknownTypesAndKeysAreErrorsByName) {
  for (const char* part : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "model"}) {
    Json changed = data.at("tokenizer");
    if (changed.at(part).is_null()) continue;
    changed[part]["type"] = "Nonsense";
    EXPECT_ERROR(Tokenizer::from_json(changed.dump(), "", "t.json"), "'Nonsense' is not supported");
    changed = data.at("tokenizer");
    changed[part]["surprise"] = 1;
    EXPECT_ERROR(Tokenizer::from_json(changed.dump(), "", "t.json"), "surprise");
  }
}

// Files cut short or with a byte changed are refused or read; nothing else happens.
TEST_P(TokenizerFixture, SurvivesDamagedFiles) {
  const std::string text = data.at("tokenizer").dump();
  uint64_t state = 88172645463325252u;
  const auto random = [&] { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; };
  int refused = 0;
  for (int i = 0; i < 60; ++i) {
    std::string damaged = i % 3 == 0 ? text.substr(0, random() % text.size()) : text;
    for (int changes = i % 3; changes > 0 && !damaged.empty(); --changes) damaged[random() % damaged.size()] = static_cast<char>(random() % 96 + 32);
    try {
      const auto loaded = Tokenizer::from_json(damaged, "", "damaged.json");
      loaded->decode(loaded->encode("Hello <s> 世界 \xff"), true);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GE(refused, 20);
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerFixture, ::testing::ValuesIn(fixtures()), [](const auto& test) { return test.param.stem().string(); });

}  // namespace
}  // namespace gamut
