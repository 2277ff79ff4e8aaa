// Vocabularies of GGUF files: made from the tokenizers of tests/data/fixtures, they must encode as those do.
#include "base/io.h"
#include "base/json.h"
#include "data/tokenizers/gguf.h"
#include "data/tokenizers/gguf_pre_tokenizers.h"
#include "data/tokenizers/tokenizer.h"
#include "gguf_file.h"
#include "temp_folder.h"

namespace gamut {
namespace {

using Ids = std::vector<int32_t>;

Json fixture(const std::string& name) { return read_json(std::string(GAMUT_SOURCE_DIR "/tests/data/fixtures/") + name + ".json"); }

// Tokens by id, and their SentencePiece types: special ones are controls.
struct Listed {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
};
Listed listed(const Json& tokenizer) {
  Listed out;
  for (const auto& [token, id] : tokenizer["model"]["vocab"].items()) {
    const auto at = id.get<size_t>();
    if (out.tokens.size() <= at) out.tokens.resize(at + 1);
    out.tokens[at] = token;
  }
  out.types.assign(out.tokens.size(), 1);
  for (const Json& added : tokenizer["added_tokens"]) out.types.at(added["id"].get<size_t>()) = added["special"].get<bool>() ? 3 : 4;
  return out;
}

std::string joined(const Json& merge) { return merge.is_string() ? merge.get<std::string>() : merge[0].get<std::string>() + " " + merge[1].get<std::string>(); }

GgufFile byte_level(const Json& tokenizer, const std::string& pre) {
  const Listed all = listed(tokenizer);
  std::vector<std::string> merges;
  for (const Json& merge : tokenizer["model"]["merges"]) merges.push_back(joined(merge));
  GgufFile file;
  file.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", pre).strings("tokenizer.ggml.tokens", all.tokens).strings("tokenizer.ggml.merges", merges);
  file.numbers<int32_t>("tokenizer.ggml.token_type", 5, all.types).u32("tokenizer.ggml.bos_token_id", 0).u32("tokenizer.ggml.eos_token_id", 1);
  return file;
}

std::shared_ptr<const Tokenizer> read(const GgufFile& file) {
  const TempFolder folder;
  write_file(folder / "v.gguf", file.bytes());
  return Tokenizer::load(folder / "v.gguf");
}

void expect_same_ids(const Tokenizer& tokenizer, const Json& expected) {
  for (const Json& row : expected["cases"]) EXPECT_EQ(tokenizer.encode(row["text"].get<std::string>()), row["ids"].get<Ids>()) << row["text"];
}

TEST(GgufVocabulary, ByteLevelEncodesAsItsSource) {
  for (const auto& [name, pre] : {std::pair("byte_level", "gpt-2"), std::pair("punctuation_digits", "falcon"), std::pair("set_in_set", "bloom")}) {
    SCOPED_TRACE(pre);
    const Json source = fixture(name);
    const auto tokenizer = read(byte_level(source["tokenizer"], pre));
    expect_same_ids(*tokenizer, source);
    for (const Json& row : source["cases"]) EXPECT_EQ(lossy_utf8(tokenizer->decode(row["ids"].get<Ids>(), true)), lossy_utf8(Tokenizer::from_json(source["tokenizer"].dump(), "", name)->decode(row["ids"].get<Ids>(), true)));
    EXPECT_EQ(tokenizer->bos(), 0);
    EXPECT_EQ(tokenizer->eos(), 1);
  }
}

// The rows of the table against the expressions of published files, as far as fixtures hold them.
TEST(GgufVocabulary, PreTokenizersAreThePublishedOnes) {
  std::set<std::string> names;
  for (const GgufPreTokenizer& row : gguf_pre_tokenizers()) {
    for (const auto& name : {row.names.substr(0, row.names.find(' '))}) EXPECT_TRUE(names.insert(name).second) << name;
    const Json tokenizer = {{"version", "1.0"}, {"added_tokens", Json::array()}, {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", row.parts}}}, {"model", fixture("byte_level")["tokenizer"]["model"]}};
    EXPECT_NO_THROW(Tokenizer::from_json(tokenizer.dump(), "", row.names)) << row.names;
  }
  const auto part = [](const char* name) -> Json {
    for (const GgufPreTokenizer& row : gguf_pre_tokenizers())
      if ((" " + row.names + " ").find(std::string(" ") + name + " ") != std::string::npos) return row.parts[0]["pattern"]["Regex"];
    return {};
  };
  EXPECT_EQ(part("llama-bpe"), fixture("split")["tokenizer"]["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]);
  EXPECT_EQ(part("bloom"), fixture("set_in_set")["tokenizer"]["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]);
  EXPECT_EQ(part("qwen2"), R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  EXPECT_EQ(part("gpt-4o"),
            R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
}

// SentencePiece's BPE keeps scores and no merges. With the scores of its merges the fixture's tokens merge in the same order.
GgufFile sentencepiece(const Json& tokenizer) {
  Listed all = listed(tokenizer);
  std::vector<float> scores(all.tokens.size());
  int rank = 0;
  for (const Json& merge : tokenizer["model"]["merges"]) {
    std::string whole = joined(merge);
    whole.erase(whole.find(' '), 1);
    const auto at = static_cast<size_t>(std::find(all.tokens.begin(), all.tokens.end(), whole) - all.tokens.begin());
    if (scores.at(at) == 0) scores[at] = static_cast<float>(--rank);
  }
  for (size_t i = 0; i < all.tokens.size(); ++i) {
    if (all.tokens[i] == "<unk>") all.types[i] = 2;
    if (all.tokens[i].starts_with("<0x")) all.types[i] = 6;
  }
  const auto id = [&](const char* token) { return static_cast<uint32_t>(std::find(all.tokens.begin(), all.tokens.end(), token) - all.tokens.begin()); };
  GgufFile file;
  file.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", all.tokens).numbers<float>("tokenizer.ggml.scores", 6, scores);
  file.numbers<int32_t>("tokenizer.ggml.token_type", 5, all.types).u32("tokenizer.ggml.bos_token_id", id("<s>")).u32("tokenizer.ggml.eos_token_id", id("</s>")).u32("tokenizer.ggml.unknown_token_id", id("<unk>"));
  return file;
}

TEST(GgufVocabulary, SentencePieceMergesByScore) {
  const Json source = fixture("byte_fallback");
  const GgufFile file = sentencepiece(source["tokenizer"]);
  const auto tokenizer = read(file);
  // Several cuts of a token merge at its one score, where the trained vocabulary has one cut: texts whose ids depend on it are few.
  int same = 0, all = 0;
  for (const Json& row : source["cases"]) {
    ++all;
    same += tokenizer->encode(row["text"].get<std::string>()) == row["ids"].get<Ids>();
    EXPECT_EQ(lossy_utf8(tokenizer->decode(row["ids"].get<Ids>(), true)), lossy_utf8(Tokenizer::from_json(source["tokenizer"].dump(), "", "x")->decode(row["ids"].get<Ids>(), true)));
  }
  EXPECT_GE(same, all - 2);
  const Ids framed = tokenizer->add_special_tokens({5});
  EXPECT_EQ(framed, (Ids{*tokenizer->bos(), 5})) << "llama's vocabularies begin with bos";
}

TEST(GgufVocabulary, BosEosAndTheChatTemplateAreKept) {
  const Json source = fixture("byte_level");
  GgufFile file = byte_level(source["tokenizer"], "gpt-2");
  EXPECT_EQ(read(file)->add_special_tokens({7}), (Ids{7}));
  file.flag("tokenizer.ggml.add_bos_token", true).flag("tokenizer.ggml.add_eos_token", true).string("tokenizer.chat_template", "{{ messages }}");
  const auto tokenizer = read(file);
  EXPECT_EQ(tokenizer->add_special_tokens({7}), (Ids{0, 7, 1}));
  const TempFolder folder;
  tokenizer->save(folder.path());
  EXPECT_EQ(read_json(folder / "tokenizer_config.json")["chat_template"], "{{ messages }}");
  EXPECT_EQ(Tokenizer::load(folder.path())->hash(), tokenizer->hash());
}

TEST(GgufVocabulary, RefusesByName) {
  const Json source = fixture("byte_level");
  const Listed all = listed(source["tokenizer"]);
  const auto base = [&](const std::string& kind) {
    GgufFile file;
    file.string("tokenizer.ggml.model", kind);
    return file;
  };
  EXPECT_ERROR(read(GgufFile()), "the key 'tokenizer.ggml.model' is missing");
  EXPECT_ERROR(read(base("rwkv")), "'tokenizer.ggml.model' is 'rwkv', a kind of vocabulary this version does not read");
  EXPECT_ERROR(read(base("gpt2")), "the key 'tokenizer.ggml.tokens' is missing");
  EXPECT_ERROR(read(base("gpt2").strings("tokenizer.ggml.tokens", {"a", "\xff"})), "holds token 1, which is not UTF-8");
  EXPECT_ERROR(read(base("gpt2").strings("tokenizer.ggml.tokens", all.tokens).string("tokenizer.ggml.pre", "lama-bpe")), "'lama-bpe', a pre-tokenizer this version does not know");
  EXPECT_ERROR(read(base("gpt2").strings("tokenizer.ggml.tokens", all.tokens)), "the key 'tokenizer.ggml.merges' is missing");
  EXPECT_ERROR(read(base("gpt2").strings("tokenizer.ggml.tokens", {"a", "b"}).strings("tokenizer.ggml.merges", {"a b"})), "'ab' is not in the vocabulary");
  EXPECT_ERROR(read(base("gpt2").strings("tokenizer.ggml.tokens", {"a", "b"}).numbers<int32_t>("tokenizer.ggml.token_type", 5, {1})), "has 1 entries for 2 tokens");
  EXPECT_ERROR(read(base("gpt2").strings("tokenizer.ggml.tokens", {"a", "b"}).u32("tokenizer.ggml.bos_token_id", 2)), "'tokenizer.ggml.bos_token_id' is 2, the vocabulary has 2 tokens");
  EXPECT_ERROR(read(base("llama").strings("tokenizer.ggml.tokens", {"a", "b"})), "'tokenizer.ggml.scores' is missing");
  EXPECT_ERROR(read(base("llama").strings("tokenizer.ggml.tokens", {"a", "b"}).numbers<float>("tokenizer.ggml.scores", 6, {1, 2, 3})), "has 3 entries for 2 tokens");
}

}  // namespace
}  // namespace gamut
