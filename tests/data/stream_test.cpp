#include "data/stream.h"

#include <fstream>
#include <map>
#include <set>

#include "base/io.h"
#include "temp_folder.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHash = "0123456789abcdef0123456789abcdef";

std::vector<TokenDocument> documents(int first, int count, int length) {
  std::vector<TokenDocument> out;
  for (int d = 0; d < count; ++d) {
    TokenDocument document{.text_bytes = 3 * length + d};
    for (int i = 0; i < length; ++i) document.ids.push_back(first + (d * length + i) % 1000);
    out.push_back(document);
  }
  return out;
}

std::shared_ptr<const TokenShard> shard(const fs::path& path, int first, int count, int length, int64_t vocabulary = 5000) {
  write_token_shard(path, documents(first, count, length), vocabulary, kHash);
  return std::make_shared<TokenShard>(path);
}

TEST(TokenShard, ComesBackAsWritten) {
  TempFolder folder;
  for (const int64_t vocabulary : {5000, 200000}) {  // two and four bytes an id
    const auto read = shard(folder / "s.tokens", 7, 5, 33, vocabulary);
    EXPECT_EQ(read->tokens(), 5 * 33);
    EXPECT_EQ(read->documents(), 5);
    EXPECT_EQ(read->vocab_size(), vocabulary);
    EXPECT_EQ(read->tokenizer_hash(), kHash);
    EXPECT_EQ(read->text_bytes(), 5 * 99 + 0 + 1 + 2 + 3 + 4);
    EXPECT_EQ(read->document_start(2), 66);
    EXPECT_EQ(read->document_bytes(4), 103);
    std::vector<int32_t> ids(40);
    read->read(20, ids);
    for (int i = 0; i < 40; ++i) EXPECT_EQ(ids[static_cast<size_t>(i)], 7 + 20 + i);
    EXPECT_ERROR(read->read(140, ids), "asked of 165");
  }
}

TEST(TokenShard, CutShortAnywhereIsRefused) {
  TempFolder folder;
  shard(folder / "s.tokens", 0, 3, 10);
  const std::string whole = read_file(folder / "s.tokens");
  for (size_t bytes = 0; bytes < whole.size(); bytes += 5) {
    write_file(folder / "cut.tokens", whole.substr(0, bytes));
    EXPECT_ERROR(TokenShard(folder / "cut.tokens"), "cut.tokens");
  }
  write_file(folder / "cut.tokens", whole + "x");
  EXPECT_ERROR(TokenShard(folder / "cut.tokens"), "does not fit its header");
}

TEST(TokenShard, EveryChangedByteIsNoticed) {
  TempFolder folder;
  shard(folder / "s.tokens", 0, 3, 10);
  const std::string whole = read_file(folder / "s.tokens");
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    write_file(folder / "changed.tokens", changed);
    EXPECT_ERROR(TokenShard(folder / "changed.tokens"), "token shard: ");
  }
}

TEST(TokenShard, IdsOutsideTheVocabularyAreRefused) {
  TempFolder folder;
  write_token_shard(folder / "s.tokens", documents(0, 1, 50), 20, kHash);
  EXPECT_ERROR(TokenShard(folder / "s.tokens"), "outside its vocabulary of 20");
}

TEST(TokenStream, OrderDependsOnSeedAndPositionAlone) {
  TempFolder folder;
  const std::vector<std::shared_ptr<const TokenShard>> shards = {shard(folder / "a.tokens", 0, 4, 50), shard(folder / "b.tokens", 2000, 3, 41)};
  TokenStream one(shards, 8, 5);
  std::vector<int32_t> all;
  for (int i = 0; i < 30; ++i) {
    const Batch batch = one.next(3);
    all.insert(all.end(), batch.inputs.begin(), batch.inputs.end());
  }
  // Rows taken in other portions, from any position, in a new reader.
  TokenStream two(shards, 8, 5);
  two.seek(17);
  const Batch rest = two.next(90 - 17);
  EXPECT_TRUE(std::equal(rest.inputs.begin(), rest.inputs.end(), all.begin() + 17 * 8));
  EXPECT_EQ(two.position(), 90);
  EXPECT_EQ(one.at(40, 2).inputs, std::vector<int32_t>(all.begin() + 320, all.begin() + 336));
  EXPECT_NE(TokenStream(shards, 8, 6).next(20).inputs, std::vector<int32_t>(all.begin(), all.begin() + 160));
}

TEST(TokenStream, OfAllWindowsSoManyMakeAnEpoch) {
  TempFolder folder;
  const std::vector<std::shared_ptr<const TokenShard>> shards = {shard(folder / "a.tokens", 0, 1, 81), shard(folder / "b.tokens", 2000, 1, 41)};
  TokenStream stream(shards, 8, 1, 5);
  ASSERT_EQ(stream.windows(), 5);
  std::set<int32_t> starts;
  std::set<int32_t> domains;
  for (int epoch = 0; epoch < 3; ++epoch) {
    const Batch batch = stream.next(5);
    for (int64_t row = 0; row < 5; ++row) starts.insert(batch.inputs[static_cast<size_t>(row * 8)]);
    domains.insert(batch.domains.begin(), batch.domains.end());
  }
  EXPECT_EQ(starts.size(), 5U) << "the same windows again";
  EXPECT_EQ(domains.size(), 2U) << "spread over all text";
  EXPECT_EQ(TokenStream(shards, 8, 1, 99).windows(), 15) << "there are no more";
}

TEST(TokenStream, EveryTokenIsATargetOnceAnEpochInAnotherOrder) {
  TempFolder folder;
  const std::vector<std::shared_ptr<const TokenShard>> shards = {shard(folder / "a.tokens", 0, 1, 81), shard(folder / "b.tokens", 2000, 1, 41)};
  TokenStream stream(shards, 8, 1);
  ASSERT_EQ(stream.windows(), 15);
  std::vector<std::vector<int32_t>> epochs;
  for (int epoch = 0; epoch < 2; ++epoch) {
    const Batch batch = stream.next(15);
    std::map<int32_t, int> seen;
    for (const int32_t id : batch.targets) ++seen[id];
    EXPECT_EQ(seen.size(), 120u);
    EXPECT_FALSE(seen.contains(0)) << "the first token of a shard has nothing before it";
    for (size_t i = 0; i < batch.inputs.size(); ++i) EXPECT_EQ(batch.inputs[i] + 1, batch.targets[i]);
    for (size_t row = 0; row < 15; ++row) EXPECT_EQ(batch.domains[row], batch.inputs[row * 8] >= 2000 ? 1 : 0);
    epochs.push_back(batch.inputs);
  }
  EXPECT_NE(epochs[0], epochs[1]);
}

TEST(TokenStream, UnfitShardsAreErrors) {
  TempFolder folder;
  const auto small = shard(folder / "a.tokens", 0, 1, 8);
  EXPECT_ERROR(TokenStream({small}, 8, 1), "a.tokens");
  write_token_shard(folder / "b.tokens", documents(0, 1, 100), 5000, std::string(32, 'f'));
  EXPECT_ERROR(TokenStream({shard(folder / "c.tokens", 0, 1, 100), std::make_shared<TokenShard>(folder / "b.tokens")}, 8, 1), "tokenizer");
}

}  // namespace
}  // namespace gamut
