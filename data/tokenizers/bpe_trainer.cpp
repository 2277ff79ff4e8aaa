#include "data/tokenizers/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <queue>
#include <unordered_map>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "data/tokenizers/byte_level.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

uint64_t pair_of(int32_t left, int32_t right) { return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right); }

struct Hasher {
  size_t operator()(std::string_view text) const { return hash64(text); }
  size_t operator()(uint64_t pair) const { return pair * 0x9e3779b97f4a7c15u ^ (pair >> 29); }
};

// What training found.
struct Learned {
  std::vector<std::string> specials;                // ids 0, 1, …
  std::vector<std::string> tokens;                  // by id, the specials included
  std::vector<std::pair<int32_t, int32_t>> merges;  // by rank
};

// By hand, so that vocabulary and merges stand in their order, one a line.
std::string tokenizer_json(const Learned& learned) {
  const auto quoted = [](const std::string& s) { return Json(s).dump(); };
  std::string out = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  for (size_t i = 0; i < learned.specials.size(); ++i) {
    const Json about = {{"id", i}, {"content", learned.specials[i]}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", true}};
    out += (i ? ",\n    " : "\n    ") + about.dump();
  }
  out += learned.specials.empty() ? "],\n" : "\n  ],\n";
  const auto byte_level = [](bool prefix, bool trim) { return Json({{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", trim}, {"use_regex", true}}).dump(); };
  out += "  \"normalizer\": null,\n  \"pre_tokenizer\": " + byte_level(false, true) + ",\n";
  out += "  \"post_processor\": " + byte_level(true, false) + ",\n  \"decoder\": " + byte_level(true, true) + ",\n";
  out += "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n";
  out += "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n    \"vocab\": {";
  for (size_t id = 0; id < learned.tokens.size(); ++id) out += (id ? ",\n      " : "\n      ") + quoted(learned.tokens[id]) + ": " + std::to_string(id);
  out += "\n    },\n    \"merges\": [";
  for (size_t i = 0; i < learned.merges.size(); ++i) {
    const auto [left, right] = learned.merges[i];
    out += (i ? ",\n      [" : "\n      [") + quoted(learned.tokens[static_cast<size_t>(left)]) + "," + quoted(learned.tokens[static_cast<size_t>(right)]) + "]";
  }
  return out + (learned.merges.empty() ? "]\n  }\n}\n" : "\n    ]\n  }\n}\n");
}

std::string tokenizer_config(const Learned& learned) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}, {"add_prefix_space", false}, {"model_max_length", 1000000000000000019884624838656.0}};
  if (!learned.specials.empty()) config["bos_token"] = config["eos_token"] = learned.specials.front();
  return config.dump(2) + "\n";
}

// Distinct pieces in order of first occurrence, with their counts.
struct PieceCounts {
  std::unordered_map<std::string_view, uint32_t, Hasher> index;
  std::vector<std::string_view> pieces;  // in the caller's texts
  std::vector<int64_t> counts;

  void add(std::string_view piece, int64_t count) {
    const auto [at, fresh] = index.try_emplace(piece, static_cast<uint32_t>(pieces.size()));
    if (fresh) {
      pieces.push_back(piece);
      counts.push_back(0);
    }
    counts[at->second] += count;
  }
};

PieceCounts count_pieces(std::span<const std::string_view> texts, ThreadPool& pool) {
  // Texts are dealt into few groups of about equal bytes, by position alone; groups are merged in order.
  constexpr size_t kGroupBytes = size_t{1} << 20;
  std::vector<std::pair<size_t, size_t>> groups;
  for (size_t begin = 0; begin < texts.size();) {
    size_t end = begin, bytes = 0;
    while (end < texts.size() && (bytes == 0 || bytes + texts[end].size() <= kGroupBytes)) bytes += texts[end++].size() + 1;
    groups.emplace_back(begin, end);
    begin = end;
  }
  std::vector<PieceCounts> parts(groups.size());
  pool.parallel_for(static_cast<int64_t>(groups.size()), [&](int64_t group, int) {
    const auto [begin, end] = groups[static_cast<size_t>(group)];
    PieceCounts& counts = parts[static_cast<size_t>(group)];
    for (size_t i = begin; i < end; ++i) {
      for (size_t at = 0; at < texts[i].size();) {
        const size_t stop = gpt2_piece_end(texts[i], at);
        counts.add(texts[i].substr(at, stop - at), 1);
        at = stop;
      }
    }
  });
  PieceCounts all;
  for (const PieceCounts& part : parts)
    for (size_t i = 0; i < part.pieces.size(); ++i) all.add(part.pieces[i], part.counts[i]);
  return all;
}

class Trainer {
 public:
  Trainer(const PieceCounts& counts, const BpeTraining& options) : options_(options), weights_(counts.counts) {
    alphabet();
    words_.reserve(counts.pieces.size());
    for (const std::string_view piece : counts.pieces) {
      words_.push_back({static_cast<uint32_t>(symbols_.size()), static_cast<uint32_t>(piece.size())});
      for (const char byte : piece) symbols_.push_back(id_of_byte_[static_cast<uint8_t>(byte)]);
    }
  }

  Learned run() {
    count_pairs();
    while (static_cast<int64_t>(learned_.tokens.size()) < options_.vocab_size && !queue_.empty()) {
      Candidate best = queue_.top();
      queue_.pop();
      const int64_t now = pair_counts_[best.pair];
      if (best.count != now) {
        if (now > 0) queue_.push({now, best.pair, best.words});
        continue;
      }
      if (best.count < 1 || best.count < options_.min_frequency) break;
      merge(best);
    }
    return finish();
  }

 private:
  struct Word {
    uint32_t begin, length;
  };
  struct Candidate {
    int64_t count;
    uint64_t pair;
    uint32_t words;  // index in places_: where the pair may be found
    bool operator<(const Candidate& other) const { return count != other.count ? count < other.count : pair > other.pair; }
  };
  struct Fresh {
    uint64_t pair;
    uint32_t words;
  };

  const BpeTraining& options_;
  Learned learned_;
  std::array<int32_t, 256> id_of_byte_{};
  std::unordered_map<std::string, int32_t> id_of_text_;
  std::vector<int64_t> weights_;
  std::vector<Word> words_;
  std::vector<int32_t> symbols_;  // of all words, each in its place; a word shrinks within it
  std::unordered_map<uint64_t, int64_t, Hasher> pair_counts_;
  std::deque<std::vector<uint32_t>> places_;
  std::priority_queue<Candidate> queue_;

  int32_t token(const std::string& text) {
    const auto [at, fresh] = id_of_text_.try_emplace(text, static_cast<int32_t>(learned_.tokens.size()));
    if (fresh) learned_.tokens.push_back(text);
    return at->second;
  }

  void alphabet() {
    learned_.specials = options_.special_tokens;
    for (const std::string& special : options_.special_tokens) token(special);
    for (uint32_t code = 0; code < 0x200; ++code)
      if (const int byte = byte_of_code(code); byte >= 0)
        id_of_byte_[static_cast<size_t>(byte)] = token(text_of_bytes(std::string(1, static_cast<char>(byte))));
  }

  void count_pairs() {
    std::unordered_map<uint64_t, uint32_t, Hasher> place;
    std::vector<uint64_t> order;
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const int32_t* s = &symbols_[words_[w].begin];
      for (uint32_t i = 0; i + 1 < words_[w].length; ++i) {
        const uint64_t pair = pair_of(s[i], s[i + 1]);
        pair_counts_[pair] += weights_[w];
        const auto [at, fresh] = place.try_emplace(pair, static_cast<uint32_t>(places_.size()));
        if (fresh) {
          places_.emplace_back();
          order.push_back(pair);
        }
        auto& list = places_[at->second];
        if (list.empty() || list.back() != w) list.push_back(w);
      }
    }
    for (const uint64_t pair : order) queue_.push({pair_counts_[pair], pair, place[pair]});
  }

  // Rewrites every word that holds the pair. A pair's own count is left as it was: when the same two tokens meet again later
  // (a token can come to be in two ways) they meet in other words, and the old count still ranks them, as in the reference.
  void merge(const Candidate& best) {
    const auto left = static_cast<int32_t>(best.pair >> 32), right = static_cast<int32_t>(best.pair);
    std::string text = learned_.tokens[static_cast<size_t>(left)];
    text += learned_.tokens[static_cast<size_t>(right)];
    const int32_t merged = token(text);
    learned_.merges.emplace_back(left, right);
    std::unordered_map<uint64_t, uint32_t, Hasher> place;  // of pairs that gained
    std::vector<Fresh> fresh;
    const auto change = [&](int32_t a, int32_t b, int64_t by, uint32_t word) {
      const uint64_t pair = pair_of(a, b);
      pair_counts_[pair] += by;
      if (by < 0) return;
      const auto [at, is_new] = place.try_emplace(pair, static_cast<uint32_t>(places_.size()));
      if (is_new) {
        places_.emplace_back();
        fresh.push_back({pair, at->second});
      }
      auto& list = places_[at->second];
      if (list.empty() || list.back() != word) list.push_back(word);
    };
    for (const uint32_t w : std::exchange(places_[best.words], {})) {
      int32_t* s = &symbols_[words_[w].begin];
      const uint32_t n = words_[w].length;
      const int64_t weight = weights_[w];
      uint32_t out = 0;
      for (uint32_t i = 0; i < n; ++i) {
        if (s[i] != left || i + 1 == n || s[i + 1] != right) {
          s[out++] = s[i];
          continue;
        }
        if (out > 0) {
          change(s[out - 1], left, -weight, w);
          change(s[out - 1], merged, weight, w);
        }
        if (i + 2 < n) {
          change(right, s[i + 2], -weight, w);
          change(merged, s[i + 2], weight, w);
        }
        s[out++] = merged;
        ++i;
      }
      words_[w].length = out;
    }
    for (const Fresh& f : fresh)
      if (const int64_t count = pair_counts_[f.pair]; count > 0) queue_.push({count, f.pair, f.words});
  }

  Learned finish() {
    // The same pair may have been merged twice, in different words: the later rank is the one that counts.
    std::unordered_map<uint64_t, size_t, Hasher> last;
    for (size_t i = 0; i < learned_.merges.size(); ++i)
      last[pair_of(learned_.merges[i].first, learned_.merges[i].second)] = i;
    std::vector<std::pair<int32_t, int32_t>> merges;
    for (size_t i = 0; i < learned_.merges.size(); ++i)
      if (last[pair_of(learned_.merges[i].first, learned_.merges[i].second)] == i) merges.push_back(learned_.merges[i]);
    learned_.merges = std::move(merges);
    return std::move(learned_);
  }
};

}  // namespace

std::shared_ptr<const Tokenizer> train_bpe(std::span<const std::string_view> texts, const BpeTraining& options, ThreadPool& pool) {
  const auto smallest = static_cast<int64_t>(256 + options.special_tokens.size());
  if (options.vocab_size < smallest || options.vocab_size > int64_t{1} << 24)
    throw Error({.who = "tokenizer", .what = "vocabulary size " + std::to_string(options.vocab_size) + " is out of range",
                 .hint = "at least " + std::to_string(smallest) + " (256 bytes and the special tokens), at most 16777216"});
  for (const std::string& special : options.special_tokens) {
    if (special.empty() || lossy_utf8(special) != special || bytes_of_text(special).size() <= 1)
      throw Error({.who = "tokenizer", .what = "'" + special + "' cannot be a special token", .hint = "use a name such as <|endoftext|>"});
  }
  const Learned learned = Trainer(count_pieces(texts, pool), options).run();
  return Tokenizer::from_json(tokenizer_json(learned), tokenizer_config(learned), "trained tokenizer");
}

}  // namespace gamut
