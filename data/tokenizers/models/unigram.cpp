#include <algorithm>
#include <bit>
#include <optional>

#include "base/error.h"
#include "data/tokenizers/models/byte_tokens.h"
#include "data/tokenizers/models/model.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

// All tokens by their characters: a trie whose nodes are slots of one hash table, keyed by parent and character.
class Trie {
 public:
  static constexpr uint32_t root = 0, none = ~0u;

  void build(const Vocabulary& vocabulary) {
    size_t characters = 1;
    for (int32_t id = 0; id < vocabulary.ids(); ++id) characters += vocabulary.text(id).size();
    // Shared beginnings make far fewer nodes than characters; the table doubles where it must.
    slots_.assign(std::bit_ceil(std::max<size_t>(1024, characters / 2)), {});
    for (int32_t id = 0; id < vocabulary.ids();) {
      if (used_ + vocabulary.text(id).size() + 1 > slots_.size() / 4 * 3) {
        slots_.assign(slots_.size() * 2, {});
        used_ = 0;
        id = 0;
        continue;
      }
      uint32_t node = root;
      for_each_character(vocabulary.text(id), [&](uint32_t code, std::string_view) { node = add(node, code); });
      if (node != root) slots_[node].token = vocabulary.find(vocabulary.text(id));
      ++id;
    }
  }

  uint32_t child(uint32_t node, uint32_t code) const {
    const uint64_t key = key_of(node, code);
    for (size_t at = place(key);; at = next(at)) {
      if (slots_[at].key == key) return static_cast<uint32_t>(at);
      if (slots_[at].key == kEmpty) return none;
    }
  }
  int32_t token(uint32_t node) const { return slots_[node].token; }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    int32_t token = Vocabulary::none;
  };
  std::vector<Slot> slots_;  // slot 0 is the root's
  size_t used_ = 0;

  static uint64_t key_of(uint32_t node, uint32_t code) { return uint64_t{node} << 32 | code; }
  size_t place(uint64_t key) const {
    key *= 0x9e3779b97f4a7c15u;
    return std::max<size_t>(1, (key ^ key >> 29) >> 3 & (slots_.size() - 1));
  }
  size_t next(size_t at) const { return at + 1 == slots_.size() ? 1 : at + 1; }

  uint32_t add(uint32_t node, uint32_t code) {
    const uint64_t key = key_of(node, code);
    size_t at = place(key);
    while (slots_[at].key != key && slots_[at].key != kEmpty) at = next(at);
    if (slots_[at].key == kEmpty) {
      slots_[at].key = key;
      ++used_;
    }
    return static_cast<uint32_t>(at);
  }
};

// The most probable way to spell a piece [Kudo, "Subword Regularization", 2018], found by Viterbi's algorithm.
class Unigram final : public Model {
 public:
  Unigram(Vocabulary vocabulary, std::vector<double> scores, std::optional<int64_t> unknown, bool byte_fallback)
      : Model(std::move(vocabulary)), scores_(std::move(scores)), unknown_(unknown), bytes_(vocabulary_), byte_fallback_(byte_fallback) {
    trie_.build(vocabulary_);
    unknown_score_ = *std::min_element(scores_.begin(), scores_.end()) - 10;
  }

  void encode(std::string_view piece, std::vector<int32_t>& ids) const override {
    struct Best {
      double score = 0;
      size_t begin = 0;
      int32_t id = kUnset;
    };
    thread_local std::vector<Best> best;  // over the ways to spell piece[0 … i)
    best.assign(piece.size() + 1, {});
    const auto offer = [&](size_t begin, size_t end, int32_t id, double score) {
      if (best[end].id == kUnset || score > best[end].score) best[end] = {score, begin, id};
    };
    for (size_t begin = 0; begin < piece.size();) {
      const double so_far = best[begin].score;
      const size_t next = begin + character_at(piece, begin).bytes;
      bool single = false;
      uint32_t node = Trie::root;
      for (size_t at = begin; at < piece.size();) {
        const Character c = character_at(piece, at);
        if (c.code == Character::broken || (node = trie_.child(node, c.code)) == Trie::none) break;
        at += c.bytes;
        if (const int32_t id = trie_.token(node); id >= 0) {
          offer(begin, at, id, so_far + scores_[static_cast<size_t>(id)]);
          single = single || at == next;
        }
      }
      if (!single) offer(begin, next, kUnknown, so_far + unknown_score_);
      begin = next;
    }
    // Back along the path; unknown characters in a row are one.
    thread_local std::vector<std::pair<size_t, size_t>> path;
    path.clear();
    bool after_unknown = false;
    for (size_t end = piece.size(); end > 0;) {
      const Best& step = best[end];
      const bool unknown = step.id == kUnknown || (unknown_ && step.id == *unknown_);
      if (unknown && after_unknown) path.back().first = step.begin;
      else path.emplace_back(step.begin, end);
      after_unknown = unknown;
      end = step.begin;
    }
    for (auto step = path.rbegin(); step != path.rend(); ++step) {
      const std::string_view text = piece.substr(step->first, step->second - step->first);
      if (const int32_t id = vocabulary_.find(text); id >= 0) {
        ids.push_back(id);
      } else if (!byte_fallback_ || !bytes_.spell(text, ids)) {
        if (!unknown_) throw Error({.who = "tokenizer", .what = "'" + std::string(text) + "' cannot be spelled, and the tokenizer has no unknown token"});
        ids.push_back(static_cast<int32_t>(*unknown_));
      }
    }
  }

  bool has_byte_fallback() const override { return byte_fallback_; }

 private:
  static constexpr int32_t kUnset = -1, kUnknown = -2;
  std::vector<double> scores_;
  std::optional<int64_t> unknown_;
  ByteTokens bytes_;
  bool byte_fallback_;
  double unknown_score_ = 0;
  Trie trie_;
};

}  // namespace

ModelPtr read_unigram(Config& cfg, const ModelData& data) {
  if (data.scores.size() != data.vocab.size()) cfg.reject("vocab", "must be a list of [token, score]");
  std::optional<int64_t> unknown;
  if (cfg.has("unk_id")) unknown = cfg.take_in<int64_t>("unk_id", 0, 0, static_cast<int64_t>(data.vocab.size()) - 1);
  else cfg.ignore("unk_id", "null");
  return std::make_unique<Unigram>(Vocabulary(data.vocab), data.scores, unknown, cfg.take<bool>("byte_fallback", false));
}

}  // namespace gamut
