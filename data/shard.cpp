#include "data/shard.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/hash.h"

namespace gamut {
namespace {

constexpr char kMagic[8] = {'G', 'A', 'M', 'U', 'T', 'T', 'O', 'K'};
constexpr uint32_t kVersion = 1;

struct Header {
  char magic[8];
  uint32_t version, width;
  uint64_t tokens, documents, text_bytes, vocab_size;
  char tokenizer_hash[32];
  uint64_t checksum;         // of everything after the header
  uint64_t header_checksum;  // of everything before this field
};
static_assert(sizeof(Header) == 96);

uint64_t header_checksum(const Header& header) { return hash64(&header, offsetof(Header, header_checksum)); }

uint64_t padded(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

}  // namespace

TokenShard::TokenShard(const std::filesystem::path& path) : path_(path), file_(path) {
  const auto bad = [&](const std::string& what) -> void {
    throw Error({.who = "token shard", .what = what, .where = path.string(), .hint = "delete its folder; it is made again from the text"});
  };
  const std::span<const std::byte> bytes = file_.bytes();
  Header header;
  if (bytes.size() < sizeof(header)) bad("is only " + std::to_string(bytes.size()) + " bytes long");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) bad("is not a token shard");
  if (header.version != kVersion) bad("has version " + std::to_string(header.version) + ", expected " + std::to_string(kVersion));
  if (header.header_checksum != header_checksum(header)) bad("has a damaged header");
  const uint64_t rest = bytes.size() - sizeof(header);
  if ((header.width != 2 && header.width != 4) || header.tokens > rest / header.width || header.documents > rest / 16 ||
      padded(header.tokens * header.width) + (2 * header.documents + 1) * 8 != rest)
    bad("is " + std::to_string(bytes.size()) + " bytes long, which does not fit its header: cut short?");
  if (header.checksum != hash64(bytes.data() + sizeof(header), rest)) bad("has a wrong checksum");

  width_ = static_cast<int>(header.width);
  tokens_ = static_cast<int64_t>(header.tokens);
  documents_ = static_cast<int64_t>(header.documents);
  text_bytes_ = static_cast<int64_t>(header.text_bytes);
  vocab_size_ = static_cast<int64_t>(header.vocab_size);
  checksum_ = header.checksum;
  tokenizer_hash_.assign(header.tokenizer_hash, sizeof(header.tokenizer_hash));
  ids_ = bytes.data() + sizeof(header);
  const auto* starts = reinterpret_cast<const uint64_t*>(ids_ + padded(header.tokens * header.width));
  starts_ = {starts, header.documents + 1};
  lengths_ = {starts + header.documents + 1, header.documents};
  if (starts_.front() != 0 || starts_.back() != header.tokens || !std::is_sorted(starts_.begin(), starts_.end()))
    bad("has documents that do not follow each other");
  const auto in_range = [&](auto* first) {
    return std::all_of(first, first + header.tokens, [&](auto id) { return id < header.vocab_size; });
  };
  if (width_ == 2 ? !in_range(reinterpret_cast<const uint16_t*>(ids_)) : !in_range(reinterpret_cast<const uint32_t*>(ids_)))
    bad("holds ids outside its vocabulary of " + std::to_string(header.vocab_size));
}

void TokenShard::read(int64_t first, std::span<int32_t> out) const {
  if (first < 0 || first + static_cast<int64_t>(out.size()) > tokens_)
    throw Error({.who = "token shard", .what = "tokens " + std::to_string(first) + " … " + std::to_string(first + static_cast<int64_t>(out.size())) +
                                               " asked of " + std::to_string(tokens_), .where = path_.string()});
  if (width_ == 2) {
    const auto* ids = reinterpret_cast<const uint16_t*>(ids_) + first;
    std::copy(ids, ids + out.size(), out.begin());
  } else {
    std::memcpy(out.data(), reinterpret_cast<const uint32_t*>(ids_) + first, out.size() * sizeof(int32_t));
  }
}

void write_token_shard(const std::filesystem::path& path, std::span<const TokenDocument> documents, int64_t vocab_size,
                       const std::string& tokenizer_hash) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kVersion;
  header.width = vocab_size <= 65536 ? 2 : 4;
  header.vocab_size = static_cast<uint64_t>(vocab_size);
  header.documents = documents.size();
  if (tokenizer_hash.size() != sizeof(header.tokenizer_hash))
    throw Error({.who = "token shard", .what = "a tokenizer hash has 32 characters, not '" + tokenizer_hash + "'"});
  std::memcpy(header.tokenizer_hash, tokenizer_hash.data(), sizeof(header.tokenizer_hash));

  std::string body;
  std::vector<uint64_t> starts, lengths;
  for (const TokenDocument& document : documents) {
    starts.push_back(header.tokens);
    lengths.push_back(static_cast<uint64_t>(document.text_bytes));
    header.tokens += document.ids.size();
    header.text_bytes += static_cast<uint64_t>(document.text_bytes);
    for (const int32_t id : document.ids) body.append(reinterpret_cast<const char*>(&id), header.width);  // little-endian
  }
  starts.push_back(header.tokens);
  body.resize(padded(body.size()), '\0');
  body.append(reinterpret_cast<const char*>(starts.data()), starts.size() * 8);
  body.append(reinterpret_cast<const char*>(lengths.data()), lengths.size() * 8);
  header.checksum = hash64(body);
  header.header_checksum = header_checksum(header);
  FileWriter file(path);
  file.write(&header, sizeof(header));
  file.write(body);
  file.commit();
}

}  // namespace gamut
