#include "data/tokenizers/bpe_trainer.h"

#include <map>

#include "base/json.h"
#include "data/tokenizers/byte_level.h"
#include "temp_folder.h"

namespace gamut {
namespace {

using Symbols = std::vector<std::string>;

// The definition, word by word: count every pair, merge the most frequent, again. Ties go to the smaller left id, then right id.
std::vector<std::pair<std::string, std::string>> slow_merges(const std::vector<std::string>& texts, size_t merges, std::map<std::string, int> ids) {
  std::map<std::string, int64_t> pieces;
  for (const std::string& text : texts)
    for (size_t at = 0; at < text.size();) {
      const size_t end = gpt2_piece_end(text, at);
      ++pieces[text.substr(at, end - at)];
      at = end;
    }
  std::vector<std::pair<Symbols, int64_t>> words;
  for (const auto& [piece, count] : pieces) {
    Symbols symbols;
    for (const char byte : piece) symbols.push_back(text_of_bytes(std::string(1, byte)));
    words.emplace_back(symbols, count);
  }
  std::vector<std::pair<std::string, std::string>> out;
  while (out.size() < merges) {
    std::map<std::pair<int, int>, int64_t> counts;
    std::map<int, std::string> text_of;
    for (const auto& [symbols, count] : words)
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        const int a = ids.at(symbols[i]), b = ids.at(symbols[i + 1]);
        text_of[a] = symbols[i];
        text_of[b] = symbols[i + 1];
        counts[{a, b}] += count;
      }
    std::pair<int, int> best{};
    int64_t most = 0;
    for (const auto& [pair, count] : counts)
      if (count > most) most = count, best = pair;  // the map's order breaks ties
    if (most == 0) break;
    const std::string left = text_of[best.first], right = text_of[best.second];
    out.emplace_back(left, right);
    ids.emplace(left + right, static_cast<int>(ids.size()));
    for (auto& [symbols, count] : words) {
      Symbols merged;
      for (size_t i = 0; i < symbols.size(); ++i) {
        if (i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right) merged.push_back(left + right), ++i;
        else merged.push_back(symbols[i]);
      }
      symbols = merged;
    }
  }
  return out;
}

const std::vector<std::string> kTexts = {"the cat sat on the mat; the cats sat on that mat, and that was that",
                                         "low lower lowest, new newer newest; wide wider widest (123 1234 12345)",
                                         "自然语言处理是人工智能领域中的一个重要方向。自然语言，人工智能。", "for (int i = 0; i < n; ++i) sum += x[i] * x[i];"};

Json trained(int64_t vocabulary, int threads = 1, int64_t min_frequency = 0) {
  std::vector<std::string_view> views(kTexts.begin(), kTexts.end());
  ThreadPool pool(threads);
  TempFolder folder;
  train_bpe(views, {.vocab_size = vocabulary, .min_frequency = min_frequency}, pool)->save(folder.path());
  return read_json(folder / "tokenizer.json");
}

TEST(BpeTrainer, MergesLikeTheDefinition) {
  const Json json = trained(257 + 100);
  std::map<std::string, int> ids;
  for (const auto& [token, id] : json.at("model").at("vocab").items())
    if (id.get<int>() < 257) ids.emplace(token, id.get<int>());
  ASSERT_EQ(ids.size(), 257u);
  std::vector<std::pair<std::string, std::string>> ours;
  for (const Json& merge : json.at("model").at("merges")) ours.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
  EXPECT_EQ(ours.size(), 100u);
  EXPECT_EQ(ours, slow_merges(kTexts, 100, ids));
}

TEST(BpeTrainer, DoesNotDependOnThreads) { EXPECT_EQ(trained(400, 1), trained(400, 3)); }

TEST(BpeTrainer, RarePairsAreNotMerged) {
  const auto all = trained(2000).at("model").at("merges").size(), some = trained(2000, 1, 4).at("model").at("merges").size();
  EXPECT_GT(some, 0u);
  EXPECT_LT(some, all);
}

TEST(BpeTrainer, AnyBytesComeBack) {
  std::vector<std::string_view> views(kTexts.begin(), kTexts.end());
  ThreadPool pool(1);
  const auto tokenizer = train_bpe(views, {.vocab_size = 380}, pool);
  std::string bytes;
  uint64_t state = 1;
  for (int i = 0; i < 20000; ++i) bytes.push_back(static_cast<char>((state = state * 6364136223846793005u + 1442695040888963407u) >> 56));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes, SpecialTokens::as_text)), bytes);
  for (const std::string& text : kTexts) EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  const std::string run(1'000'000, 'a');
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(run)), run);
  int64_t sum = 0;
  const auto ids = tokenizer->encode(kTexts[2]);
  for (const int32_t id : ids) sum += tokenizer->token_bytes(id);
  EXPECT_EQ(sum, static_cast<int64_t>(kTexts[2].size()));
}

TEST(BpeTrainer, SpecialTokensAreTextWhereTheyMayNotBeTyped) {
  ThreadPool pool(1);
  const std::vector<std::string_view> views(kTexts.begin(), kTexts.end());
  const auto tokenizer = train_bpe(views, {.vocab_size = 300}, pool);
  EXPECT_EQ(tokenizer->eos(), 0);
  EXPECT_EQ(tokenizer->encode("<|endoftext|>"), std::vector<int32_t>{0});
  const auto text = tokenizer->encode("<|endoftext|>", SpecialTokens::as_text);
  EXPECT_GT(text.size(), 1u);
  EXPECT_EQ(tokenizer->decode(text), "<|endoftext|>");
}

TEST(BpeTrainer, RefusesImpossibleVocabularies) {
  ThreadPool pool(1);
  const std::vector<std::string_view> views(kTexts.begin(), kTexts.end());
  EXPECT_ERROR(train_bpe(views, {.vocab_size = 100}, pool), "vocabulary size 100 is out of range");
  EXPECT_ERROR(train_bpe(views, {.vocab_size = 300, .special_tokens = {""}}, pool), "cannot be a special token");
}

}  // namespace
}  // namespace gamut
