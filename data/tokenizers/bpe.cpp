#include "data/tokenizers/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/hash.h"
#include "base/io.h"
#include "data/tokenizers/byte_level.h"

namespace gamut {
namespace {

constexpr uint64_t kNoPair = ~uint64_t{0};
constexpr size_t kShort = 96;         // bytes up to which a linear scan for the best pair beats a heap
constexpr size_t kCachedBytes = 15;   // pieces up to this long are remembered, padded to 16 with their length at the end
constexpr size_t kCacheSlots = 1 << 15;

uint64_t pair_of(int32_t left, int32_t right) { return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right); }
uint64_t mix(uint64_t x) {
  x *= 0x9e3779b97f4a7c15u;
  return x ^ x >> 32;
}

}  // namespace

// Pieces of at most 15 bytes and their ids. Emptied when half full: text changes its words slowly.
struct ByteBpe::Scratch {
  struct Slot {
    uint64_t low, high;  // the piece; high's top byte is its length, so an empty slot (0, 0) matches nothing
    uint32_t begin, count;
  };
  std::vector<Slot> slots = std::vector<Slot>(kCacheSlots);
  std::vector<int32_t> ids;
  size_t used = 0;

  Slot& slot_of(uint64_t low, uint64_t high) {
    size_t at = mix(low ^ mix(high)) & (kCacheSlots - 1);
    while (slots[at].high != 0 && (slots[at].low != low || slots[at].high != high)) at = (at + 1) & (kCacheSlots - 1);
    return slots[at];
  }
  void clear() {
    std::fill(slots.begin(), slots.end(), Slot{});
    ids.clear();
    used = 0;
  }

  // Long pieces: symbols as a linked list, candidate merges as a heap of rank and position.
  struct Symbol {
    int32_t id;
    uint32_t previous, next;
  };
  std::vector<Symbol> symbols;
  std::vector<uint64_t> heap;
  std::vector<AddedTokens::Stretch> stretches;
  std::string prefixed;
};

ByteBpe::ByteBpe(BpeDefinition definition, const std::string& source)
    : definition_(std::move(definition)), added_(definition_.added) {
  texts_ = definition_.tokens;
  for (const AddedToken& token : definition_.added) {
    if (texts_.size() <= static_cast<size_t>(token.id)) texts_.resize(static_cast<size_t>(token.id) + 1);
    texts_[static_cast<size_t>(token.id)] = token.content;
  }
  special_.assign(texts_.size(), false);
  for (const AddedToken& token : definition_.added)
    if (token.special) special_[static_cast<size_t>(token.id)] = true;
  bytes_.reserve(texts_.size());
  for (size_t id = 0; id < texts_.size(); ++id) {
    bytes_.push_back(bytes_of_text(texts_[id]));
    if (!texts_[id].empty()) id_of_text_.emplace(texts_[id], static_cast<int32_t>(id));
    if (definition_.ignore_merges && id < definition_.tokens.size() && !texts_[id].empty())
      id_of_bytes_.emplace(bytes_[id], static_cast<int32_t>(id));
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto at = id_of_text_.find(text_of_bytes(std::string(1, static_cast<char>(byte))));
    if (at == id_of_text_.end() || static_cast<size_t>(at->second) >= definition_.tokens.size())
      throw Error({.who = "tokenizer", .what = "no token for byte " + std::to_string(byte), .where = source,
                   .hint = "a byte-level vocabulary holds all 256 bytes"});
    id_of_byte_[byte] = at->second;
  }
  build_table(source);
  const auto known = [&](const std::optional<std::string>& name, const char* role) -> std::optional<int32_t> {
    if (!name) return std::nullopt;
    const auto at = id_of_text_.find(*name);
    if (at == id_of_text_.end())
      throw Error({.who = "tokenizer", .what = std::string(role) + " token '" + *name + "' is not in the vocabulary", .where = source});
    return at->second;
  };
  bos_ = known(definition_.bos, "bos");
  eos_ = known(definition_.eos, "eos");
  hash_ = compute_hash();
}

ByteBpe::~ByteBpe() = default;

void ByteBpe::build_table(const std::string& source) {
  table_.assign(std::bit_ceil(definition_.merges.size() * 2 + 2), {kNoPair, 0, 0});
  table_mask_ = table_.size() - 1;
  std::string joined;
  for (size_t rank = 0; rank < definition_.merges.size(); ++rank) {
    const auto [left, right] = definition_.merges[rank];
    joined = definition_.tokens[static_cast<size_t>(left)];
    joined += definition_.tokens[static_cast<size_t>(right)];
    const auto result = id_of_text_.find(joined);
    if (result == id_of_text_.end() || static_cast<size_t>(result->second) >= definition_.tokens.size())
      throw Error({.who = "tokenizer", .what = "merge " + std::to_string(rank) + " makes '" + joined + "', which is not in the vocabulary",
                   .where = source});
    const uint64_t pair = pair_of(left, right);
    uint64_t at = mix(pair) & table_mask_;
    while (table_[at].pair != kNoPair && table_[at].pair != pair) at = (at + 1) & table_mask_;
    table_[at] = {pair, static_cast<uint32_t>(rank), result->second};
  }
}

inline const ByteBpe::Merge* ByteBpe::find(int32_t left, int32_t right) const {
  const uint64_t pair = pair_of(left, right);
  for (uint64_t at = mix(pair) & table_mask_;; at = (at + 1) & table_mask_) {
    if (table_[at].pair == pair) return &table_[at];
    if (table_[at].pair == kNoPair) return nullptr;
  }
}

void ByteBpe::encode_to(std::string_view text, std::vector<int32_t>& ids, SpecialTokens specials) const {
  std::unique_ptr<Scratch> scratch;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      scratch = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!scratch) scratch = std::make_unique<Scratch>();
  added_.split(text, specials, scratch->stretches);
  for (const AddedTokens::Stretch& stretch : scratch->stretches) {
    if (stretch.id >= 0) {
      ids.push_back(stretch.id);
    } else {
      encode_stretch(text.substr(stretch.begin, stretch.end - stretch.begin), *scratch, ids);
    }
  }
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(scratch));
}

void ByteBpe::encode_stretch(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const {
  if (definition_.add_prefix_space && !text.starts_with(' ')) {
    scratch.prefixed = ' ';
    scratch.prefixed += text;
    text = scratch.prefixed;
  }
  if (!definition_.use_regex) return encode_piece(text, scratch, ids);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = gpt2_piece_end(text, begin);
    encode_piece(text.substr(begin, end - begin), scratch, ids);
    begin = end;
  }
}

void ByteBpe::encode_piece(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  if (piece.size() == 1) {
    ids.push_back(id_of_byte_[static_cast<uint8_t>(piece[0])]);
    return;
  }
  if (definition_.ignore_merges) {
    if (const auto whole = id_of_bytes_.find(std::string(piece)); whole != id_of_bytes_.end()) {
      ids.push_back(whole->second);
      return;
    }
  }
  if (piece.size() > kShort) return merge_long(piece, scratch, ids);
  if (piece.size() > kCachedBytes) return merge_short(piece, ids);

  std::array<char, 16> padded{};
  std::memcpy(padded.data(), piece.data(), piece.size());
  padded[15] = static_cast<char>(piece.size());
  uint64_t low, high;
  std::memcpy(&low, padded.data(), 8);
  std::memcpy(&high, padded.data() + 8, 8);
  Scratch::Slot& slot = scratch.slot_of(low, high);
  if (slot.high != 0) {
    ids.insert(ids.end(), scratch.ids.begin() + slot.begin, scratch.ids.begin() + slot.begin + slot.count);
    return;
  }
  const size_t first = ids.size();
  merge_short(piece, ids);
  if (scratch.used >= kCacheSlots / 2) return scratch.clear();
  ++scratch.used;
  slot = {low, high, static_cast<uint32_t>(scratch.ids.size()), static_cast<uint32_t>(ids.size() - first)};
  scratch.ids.insert(scratch.ids.end(), ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
}

void ByteBpe::merge_short(std::string_view piece, std::vector<int32_t>& ids) const {
  constexpr uint32_t kNone = ~0u;
  std::array<int32_t, kShort> symbol;
  std::array<uint32_t, kShort> rank;  // of the pair that starts at this symbol
  std::array<int32_t, kShort> result;
  size_t n = piece.size();
  for (size_t i = 0; i < n; ++i) symbol[i] = id_of_byte_[static_cast<uint8_t>(piece[i])];
  const auto look_up = [&](size_t i) {
    const Merge* merge = i + 1 < n ? find(symbol[i], symbol[i + 1]) : nullptr;
    rank[i] = merge ? merge->rank : kNone;
    result[i] = merge ? merge->result : 0;
  };
  for (size_t i = 0; i < n; ++i) look_up(i);
  for (;;) {
    uint32_t best = kNone;
    for (size_t i = 0; i < n; ++i) best = std::min(best, rank[i]);
    if (best == kNone) break;
    size_t at = 0;
    while (rank[at] != best) ++at;
    symbol[at] = result[at];
    const size_t moved = n - at - 2;
    std::memmove(&symbol[at + 1], &symbol[at + 2], moved * sizeof(symbol[0]));
    std::memmove(&rank[at + 1], &rank[at + 2], moved * sizeof(rank[0]));
    std::memmove(&result[at + 1], &result[at + 2], moved * sizeof(result[0]));
    --n;
    look_up(at);
    if (at > 0) look_up(at - 1);
  }
  ids.insert(ids.end(), symbol.begin(), symbol.begin() + static_cast<std::ptrdiff_t>(n));
}

void ByteBpe::merge_long(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  constexpr uint32_t kEnd = ~0u;
  if (piece.size() >= kEnd)
    throw Error({.who = "tokenizer", .what = "4 GiB of text without a place to cut it", .hint = "split the text into documents"});
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  const auto n = static_cast<uint32_t>(piece.size());
  symbols.resize(n);
  heap.clear();
  for (uint32_t i = 0; i < n; ++i)
    symbols[i] = {id_of_byte_[static_cast<uint8_t>(piece[i])], i == 0 ? kEnd : i - 1, i + 1 == n ? kEnd : i + 1};
  const auto entry_of = [&](uint32_t i) -> uint64_t {  // rank, then position: the leftmost of equals comes first
    if (i == kEnd || symbols[i].next == kEnd) return kNoPair;
    const Merge* merge = find(symbols[i].id, symbols[symbols[i].next].id);
    return merge ? uint64_t{merge->rank} << 32 | i : kNoPair;
  };
  for (uint32_t i = 0; i < n; ++i)
    if (const uint64_t entry = entry_of(i); entry != kNoPair) heap.push_back(entry);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto push = [&](uint32_t i) {
    if (const uint64_t entry = entry_of(i); entry != kNoPair) {
      heap.push_back(entry);
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t entry = heap.back();
    heap.pop_back();
    const auto at = static_cast<uint32_t>(entry);
    if (symbols[at].id < 0 || entry_of(at) != entry) continue;  // its symbols have changed since
    const uint32_t gone = symbols[at].next;
    symbols[at].id = find(symbols[at].id, symbols[gone].id)->result;
    symbols[at].next = symbols[gone].next;
    symbols[gone].id = -1;
    if (symbols[at].next != kEnd) symbols[symbols[at].next].previous = at;
    push(at);
    push(symbols[at].previous);
  }
  for (uint32_t i = 0; i != kEnd; i = symbols[i].next) ids.push_back(symbols[i].id);
}

void ByteBpe::check_id(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= texts_.size())
    throw Error({.who = "tokenizer", .what = "token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(texts_.size())});
}

std::string ByteBpe::decode(std::span<const int32_t> ids, bool keep_specials) const {
  std::string out;
  for (const int32_t id : ids) {
    check_id(id);
    if (keep_specials || !special_[static_cast<size_t>(id)]) out += bytes_[static_cast<size_t>(id)];
  }
  return out;
}

int ByteBpe::token_bytes(int32_t id) const {
  check_id(id);
  return special_[static_cast<size_t>(id)] ? 0 : static_cast<int>(bytes_[static_cast<size_t>(id)].size());
}

bool ByteBpe::is_special(int32_t id) const {
  check_id(id);
  return special_[static_cast<size_t>(id)];
}

std::string ByteBpe::token_text(int32_t id) const {
  check_id(id);
  return texts_[static_cast<size_t>(id)];
}

std::optional<int32_t> ByteBpe::id_of(std::string_view token) const {
  const auto at = id_of_text_.find(std::string(token));
  return at == id_of_text_.end() ? std::nullopt : std::optional(at->second);
}

void ByteBpe::save(const std::filesystem::path& folder) const {
  make_folder(folder);
  write_file(folder / "tokenizer.json", write_bpe(definition_));
  write_file(folder / "tokenizer_config.json", write_tokenizer_config(definition_));
}

std::string ByteBpe::compute_hash() const {
  StreamHash hash;
  const auto add = [&](std::string_view text) {
    const uint64_t bytes = text.size();
    hash.update(&bytes, sizeof(bytes));
    hash.update(text.data(), text.size());
  };
  add("byte-level bpe 1");
  const char flags[3] = {definition_.add_prefix_space, definition_.use_regex, definition_.ignore_merges};
  hash.update(flags, sizeof(flags));
  for (const std::string& token : definition_.tokens) add(token);
  for (const auto& [left, right] : definition_.merges) {
    const int32_t pair[2] = {left, right};
    hash.update(pair, sizeof(pair));
  }
  for (const AddedToken& token : definition_.added) {
    add(token.content);
    const int32_t about[6] = {token.id, token.single_word, token.lstrip, token.rstrip, token.normalized, token.special};
    hash.update(about, sizeof(about));
  }
  const int32_t ends[2] = {bos_.value_or(-1), eos_.value_or(-1)};
  hash.update(ends, sizeof(ends));
  return hash.hex();
}

}  // namespace gamut
