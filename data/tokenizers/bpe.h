// Byte-level byte-pair encoding [Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016;
// Radford et al., "Language Models are Unsupervised Multitask Learners", 2019], equal id for id to Hugging Face `tokenizers`.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "data/tokenizers/added_tokens.h"
#include "data/tokenizers/tokenizer.h"

namespace gamut {

// Everything a tokenizer.json says about a byte-level BPE tokenizer.
struct BpeDefinition {
  std::vector<std::string> tokens;                  // by id, as written in the file; "" where no token has that id
  std::vector<std::pair<int32_t, int32_t>> merges;  // by rank; of two with the same pair the later counts
  std::vector<AddedToken> added;                    // their ids may lie beyond tokens
  std::optional<std::string> bos, eos;
  bool add_prefix_space = false, use_regex = true, ignore_merges = false;
  nlohmann::json post_processor;                    // kept as found; encoding never adds tokens
};

class ByteBpe final : public Tokenizer {
 public:
  // Error when a byte has no token, a merge's result is not a token, or bos or eos is unknown; `source` is named in it.
  ByteBpe(BpeDefinition definition, const std::string& source);
  ~ByteBpe() override;

  void encode_to(std::string_view text, std::vector<int32_t>& ids, SpecialTokens specials) const override;
  std::vector<int32_t> add_special_tokens(std::vector<int32_t> ids) const override { return ids; }
  std::string decode(std::span<const int32_t> ids, bool keep_specials) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(texts_.size()); }
  int token_bytes(int32_t id) const override;
  bool is_special(int32_t id) const override;
  std::string token_text(int32_t id) const override;
  std::optional<int32_t> id_of(std::string_view token) const override;
  std::optional<int32_t> bos() const override { return bos_; }
  std::optional<int32_t> eos() const override { return eos_; }
  void save(const std::filesystem::path& folder) const override;
  const std::string& hash() const override { return hash_; }

 private:
  struct Scratch;  // word cache and work space of one encoding call at a time
  BpeDefinition definition_;
  AddedTokens added_;
  std::vector<std::string> texts_, bytes_;  // by id
  std::vector<bool> special_;               // by id
  std::unordered_map<std::string, int32_t> id_of_text_;
  std::unordered_map<std::string, int32_t> id_of_bytes_;  // with ignore_merges: model tokens
  std::array<int32_t, 256> id_of_byte_{};
  std::optional<int32_t> bos_, eos_;
  std::string hash_;

  // Merge look-up: open addressing on (left, right).
  struct Merge {
    uint64_t pair;
    uint32_t rank;
    int32_t result;
  };
  std::vector<Merge> table_;
  uint64_t table_mask_ = 0;

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> idle_;

  const Merge* find(int32_t left, int32_t right) const;
  void build_table(const std::string& source);
  void encode_stretch(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;
  void encode_piece(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;
  void merge_short(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge_long(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;
  void check_id(int32_t id) const;
  std::string compute_hash() const;
};

// tokenizer.json → definition. `config` is tokenizer_config.json's text or
// empty. Errors name `source`.
BpeDefinition read_bpe(std::string_view json, const std::string& source, std::string_view config, const std::string& config_source);
std::string write_bpe(const BpeDefinition& definition);              // tokenizer.json
std::string write_tokenizer_config(const BpeDefinition& definition);  // tokenizer_config.json

}  // namespace gamut
