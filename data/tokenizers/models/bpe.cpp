#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "data/tokenizers/byte_level.h"
#include "data/tokenizers/models/byte_tokens.h"
#include "data/tokenizers/models/model.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

constexpr uint64_t kNoPair = ~uint64_t{0};
constexpr size_t kShort = 96;  // symbols up to which a linear scan for the best pair beats a heap

uint64_t pair_of(int32_t left, int32_t right) { return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right); }
uint64_t mix(uint64_t x) {
  x *= 0x9e3779b97f4a7c15u;
  return x ^ x >> 32;
}

// Which token a pair becomes, and how early: open addressing on the pair.
class Merges {
 public:
  struct Merge {
    uint64_t pair = kNoPair;
    uint32_t rank;
    int32_t result;
  };

  void reserve(size_t merges) {
    table_.resize(std::bit_ceil(merges + merges / 2 + 2));
    mask_ = table_.size() - 1;
  }
  void prefetch(uint64_t pair) const { __builtin_prefetch(&table_[mix(pair) & mask_]); }
  void add(uint64_t pair, uint32_t rank, int32_t result) {  // the later of two with the same pair counts
    uint64_t at = mix(pair) & mask_;
    while (table_[at].pair != kNoPair && table_[at].pair != pair) at = (at + 1) & mask_;
    table_[at] = {pair, rank, result};
  }
  const Merge* find(int32_t left, int32_t right) const {
    const uint64_t pair = pair_of(left, right);
    for (uint64_t at = mix(pair) & mask_;; at = (at + 1) & mask_) {
      if (table_[at].pair == pair) return &table_[at];
      if (table_[at].pair == kNoPair) return nullptr;
    }
  }

 private:
  std::vector<Merge> table_;
  uint64_t mask_ = 0;
};

// Pairs of neighbouring characters that stand within some token. Where two characters never do, no merge crosses, and text may be
// cut there: this makes words of a text that has no pre-tokenizer. A Bloom filter: it errs by cutting too little, never too much.
class Neighbours {
 public:
  void add(uint32_t left, uint32_t right) {
    const size_t bit = place(left, right);
    bits_[bit / 64] |= uint64_t{1} << bit % 64;
  }
  bool maybe(uint32_t left, uint32_t right) const {
    const size_t bit = place(left, right);
    return bits_.empty() || bits_[bit / 64] >> bit % 64 & 1;
  }
  void start() { bits_.assign(kBits / 64, 0); }
  bool empty() const { return bits_.empty(); }

 private:
  static constexpr size_t kBits = size_t{1} << 21;
  std::vector<uint64_t> bits_;
  static size_t place(uint32_t left, uint32_t right) { return mix(uint64_t{left} << 32 | right) & (kBits - 1); }
};

struct Settings {
  std::string unknown, prefix, suffix;  // prefix: of symbols that do not begin the piece; suffix: of the one that ends it
  bool fuse_unknown = false, byte_fallback = false, ignore_merges = false;
};

// Byte-pair encoding [Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016]: symbols are characters,
// or the bytes of a byte-level vocabulary [Radford et al., "Language Models are Unsupervised Multitask Learners", 2019]; the pair of
// lowest rank merges first, the leftmost of equals.
class Bpe final : public Model {
 public:
  Bpe(Vocabulary vocabulary, const ModelData& data, Settings settings)
      : Model(std::move(vocabulary)), settings_(std::move(settings)), unknown_(settings_.unknown.empty() ? Vocabulary::none : vocabulary_.find(settings_.unknown)), byte_tokens_(vocabulary_) {
    for (int last = 0; last < 2; ++last)
      for (int inner = 0; inner < 2; ++inner)
        for (unsigned byte = 0; byte < 256; ++byte) {
          const std::string symbol = text_of_bytes(std::string(1, static_cast<char>(byte)));
          const int32_t id = byte_symbols_[static_cast<size_t>(2 * last + inner)][byte] = vocabulary_.find((inner ? settings_.prefix : "") + symbol + (last ? settings_.suffix : ""));
          all_bytes_ = all_bytes_ && id >= 0;
        }
    for (unsigned code = 0; code < 128; ++code) {
      const char c = static_cast<char>(code);
      ascii_[code] = vocabulary_.find({&c, 1});
    }
    read_merges(data.merges);
    // A byte-level vocabulary gets its words cut. One with byte fallback may hold the characters that stand for bytes, too: as letters.
    if ((settings_.byte_fallback || !all_bytes_) && !settings_.ignore_merges && settings_.prefix.empty() && settings_.suffix.empty()) find_neighbours();
  }

  void encode(std::string_view piece, std::vector<int32_t>& ids) const override {
    if (piece.empty() || whole(piece, ids)) return;
    std::vector<int32_t>& symbols = work_symbols();
    spell(piece, symbols);
    merge(symbols, ids);
  }

  void encode_bytes(std::string_view piece, std::vector<int32_t>& ids) const override {
    if (piece.empty()) return;
    if (!all_bytes_) return encode(text_of_bytes(piece), ids);
    if (settings_.ignore_merges && piece.size() > 1) {
      thread_local std::string text;
      text.clear();
      append_text_of_bytes(piece, text);
      if (whole(text, ids)) return;
    }
    std::vector<int32_t>& symbols = work_symbols();
    symbols.resize(piece.size());
    const size_t inner = settings_.prefix.empty() ? 0 : 1;
    for (size_t i = 0; i < piece.size(); ++i) symbols[i] = byte_symbols_[i > 0 ? inner : 0][static_cast<unsigned char>(piece[i])];
    if (!settings_.suffix.empty()) symbols.back() = byte_symbols_[2 + (piece.size() > 1 ? inner : 0)][static_cast<unsigned char>(piece.back())];
    merge(symbols, ids);
  }

  size_t part_end(std::string_view text, size_t begin) const override {
    if (neighbours_.empty()) return text.size();
    Character left = character_at(text, begin);
    for (size_t at = begin + left.bytes; at < text.size();) {
      const Character right = character_at(text, at);
      // Unknown characters in a row are one token: the cut is before a known one.
      if (!neighbours_.maybe(left.code, right.code) && vocabulary_.find(text.substr(at, right.bytes)) >= 0) return at;
      at += right.bytes;
      left = right;
    }
    return text.size();
  }

  bool has_byte_fallback() const override { return settings_.byte_fallback; }

 private:
  Settings settings_;
  int32_t unknown_;
  ByteTokens byte_tokens_;
  Merges merges_;
  Neighbours neighbours_;
  std::array<std::array<int32_t, 256>, 4> byte_symbols_{};  // [2·last + inner][byte]
  std::array<int32_t, 128> ascii_{};
  bool all_bytes_ = true;
  bool fallback_merges_ = false;  // a merge of byte tokens

  static std::vector<int32_t>& work_symbols() {
    thread_local std::vector<int32_t> symbols;
    symbols.clear();
    return symbols;
  }

  bool whole(std::string_view text, std::vector<int32_t>& ids) const {
    if (!settings_.ignore_merges) return false;
    const int32_t id = vocabulary_.find(text);
    if (id >= 0) ids.push_back(id);
    return id >= 0;
  }

  void read_merges(const std::vector<std::pair<std::string_view, std::string_view>>& merges) {
    merges_.reserve(merges.size());
    std::vector<bool> is_byte_token(static_cast<size_t>(vocabulary_.ids()));
    for (size_t byte = 0; byte < 256; ++byte)
      if (byte_tokens_[byte] >= 0) is_byte_token[static_cast<size_t>(byte_tokens_[byte])] = true;
    // In batches, so that look-ups in tables larger than the caches wait for memory together.
    constexpr size_t kBatch = 32;
    struct Step {
      std::string joined;
      std::array<uint64_t, 3> hashes;
      std::array<int32_t, 3> ids;
    };
    std::array<Step, kBatch> batch;
    for (size_t first = 0; first < merges.size(); first += kBatch) {
      const size_t n = std::min(kBatch, merges.size() - first);
      for (size_t i = 0; i < n; ++i) {
        const auto& [left, right] = merges[first + i];
        batch[i].joined = left;
        batch[i].joined += right.substr(right.starts_with(settings_.prefix) ? settings_.prefix.size() : 0);
        batch[i].hashes = {vocabulary_.hash(left), vocabulary_.hash(right), vocabulary_.hash(batch[i].joined)};
        for (const uint64_t hash : batch[i].hashes) vocabulary_.prefetch(hash);
      }
      for (size_t i = 0; i < n; ++i) {
        const auto& [left, right] = merges[first + i];
        const std::array<std::string_view, 3> texts = {left, right, batch[i].joined};
        for (size_t k = 0; k < 3; ++k) {
          batch[i].ids[k] = vocabulary_.find(texts[k], batch[i].hashes[k]);
          if (batch[i].ids[k] < 0)
            throw Error({.who = "tokenizer", .what = "model.merges[" + std::to_string(first + i) + "]: '" + std::string(texts[k]) + "' is not in the vocabulary"});
        }
        merges_.prefetch(pair_of(batch[i].ids[0], batch[i].ids[1]));
      }
      for (size_t i = 0; i < n; ++i) {
        const auto [left, right, result] = batch[i].ids;
        merges_.add(pair_of(left, right), static_cast<uint32_t>(first + i), result);
        fallback_merges_ = fallback_merges_ || is_byte_token[static_cast<size_t>(left)] || is_byte_token[static_cast<size_t>(right)];
      }
    }
  }

  void find_neighbours() {
    if (settings_.byte_fallback && fallback_merges_) return;
    neighbours_.start();
    for (int32_t id = 0; id < vocabulary_.ids(); ++id) {
      uint32_t left = Character::broken;
      for_each_character(vocabulary_.text(id), [&](uint32_t code, std::string_view) {
        if (left != Character::broken) neighbours_.add(left, code);
        left = code;
      });
    }
  }

  // The first symbols of a piece: its characters with their affixes, bytes or the unknown token for those without a token.
  void spell(std::string_view piece, std::vector<int32_t>& symbols) const {
    const bool plain = settings_.prefix.empty() && settings_.suffix.empty();
    bool pending = false;  // an unknown symbol not yet written: more may join it
    std::string affixed;
    for (size_t at = 0; at < piece.size();) {
      const size_t bytes = character_at(piece, at).bytes;
      std::string_view symbol = piece.substr(at, bytes);
      int32_t id;
      if (plain) {
        id = bytes == 1 && static_cast<unsigned char>(piece[at]) < 0x80 ? ascii_[static_cast<unsigned char>(piece[at])] : vocabulary_.find(symbol);
      } else {
        affixed.assign(at > 0 ? settings_.prefix : "");
        affixed += symbol;
        if (at + bytes == piece.size()) affixed += settings_.suffix;
        symbol = affixed;
        id = vocabulary_.find(symbol);
      }
      at += bytes;
      if (id >= 0) {
        if (std::exchange(pending, false)) symbols.push_back(unknown());
        symbols.push_back(id);
        continue;
      }
      if (settings_.byte_fallback && byte_tokens_.spell(symbol, symbols)) continue;
      if (settings_.unknown.empty()) continue;  // it vanishes
      if (pending && !settings_.fuse_unknown) symbols.push_back(unknown());
      pending = true;
    }
    if (pending) symbols.push_back(unknown());
  }

  int32_t unknown() const {
    if (unknown_ < 0) throw Error({.who = "tokenizer", .what = "the text has a character without a token, and the unknown token '" + settings_.unknown + "' is not in the vocabulary"});
    return unknown_;
  }

  void merge(std::vector<int32_t>& symbols, std::vector<int32_t>& ids) const {
    if (symbols.size() <= kShort) merge_short(symbols.data(), symbols.size(), ids);
    else merge_long(symbols, ids);
  }

  void merge_short(int32_t* symbol, size_t n, std::vector<int32_t>& ids) const {
    constexpr uint32_t kNone = ~0u;
    std::array<uint32_t, kShort> rank;  // of the pair that starts at this symbol
    std::array<int32_t, kShort> result;
    const auto look_up = [&](size_t i) {
      const Merges::Merge* merge = i + 1 < n ? merges_.find(symbol[i], symbol[i + 1]) : nullptr;
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
    ids.insert(ids.end(), symbol, symbol + n);
  }

  void merge_long(const std::vector<int32_t>& pieces, std::vector<int32_t>& ids) const {
    constexpr uint32_t kEnd = ~0u;
    struct Symbol {
      int32_t id;
      uint32_t previous, next;
    };
    if (pieces.size() >= kEnd) throw Error({.who = "tokenizer", .what = "4 GiB of text without a place to cut it", .hint = "split the text into documents"});
    thread_local std::vector<Symbol> symbols;
    thread_local std::vector<uint64_t> heap;  // candidate merges: rank, then position, so that the leftmost of equals comes first
    const auto n = static_cast<uint32_t>(pieces.size());
    symbols.resize(n);
    heap.clear();
    for (uint32_t i = 0; i < n; ++i) symbols[i] = {pieces[i], i == 0 ? kEnd : i - 1, i + 1 == n ? kEnd : i + 1};
    const auto entry_of = [&](uint32_t i) -> uint64_t {
      if (i == kEnd || symbols[i].next == kEnd) return kNoPair;
      const Merges::Merge* merge = merges_.find(symbols[i].id, symbols[symbols[i].next].id);
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
      symbols[at].id = merges_.find(symbols[at].id, symbols[gone].id)->result;
      symbols[at].next = symbols[gone].next;
      symbols[gone].id = -1;
      if (symbols[at].next != kEnd) symbols[symbols[at].next].previous = at;
      push(at);
      push(symbols[at].previous);
    }
    for (uint32_t i = 0; i != kEnd; i = symbols[i].next) ids.push_back(symbols[i].id);
  }
};

}  // namespace

ModelPtr read_bpe(Config& cfg, const ModelData& data) {
  Settings settings;
  settings.unknown = cfg.take<std::string>("unk_token", "");
  settings.prefix = cfg.take<std::string>("continuing_subword_prefix", "");
  settings.suffix = cfg.take<std::string>("end_of_word_suffix", "");
  settings.fuse_unknown = cfg.take<bool>("fuse_unk", false);
  settings.byte_fallback = cfg.take<bool>("byte_fallback", false);
  settings.ignore_merges = cfg.take<bool>("ignore_merges", false);
  if (cfg.take<double>("dropout", 0.0) != 0) cfg.reject("dropout", "is not supported: equal text would get different ids", "set it to null");
  return std::make_unique<Bpe>(Vocabulary(data.vocab), data, std::move(settings));
}

}  // namespace gamut
