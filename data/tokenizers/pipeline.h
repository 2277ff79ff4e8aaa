// A tokenizer as tokenizer.json describes it [Hugging Face `tokenizers`]: added tokens are cut out, the rest is normalised, cut into
// pieces and encoded piece by piece; decoding goes the other way.
#pragma once

#include <deque>
#include <mutex>
#include <unordered_map>

#include "data/tokenizers/added_tokens.h"
#include "data/tokenizers/decoders/decoder.h"
#include "data/tokenizers/models/model.h"
#include "data/tokenizers/normalizers/normalizer.h"
#include "data/tokenizers/post_processors/post_processor.h"
#include "data/tokenizers/pre_tokenizers/pre_tokenizer.h"
#include "data/tokenizers/tokenizer.h"

namespace gamut {

// Everything the two files say. Parts that are null are absent.
struct PipelineDefinition {
  std::string json, config;           // the files, as found; the vocabulary's texts are views into json
  std::deque<std::string> unescaped;  // … or into these
  std::vector<AddedToken> added;
  NormalizerPtr normalizer;
  PreTokenizerPtr pre_tokenizer;
  ModelPtr model;
  PostProcessorPtr post_processor;
  DecoderPtr decoder;
  std::optional<std::string> bos, eos;
};

// tokenizer.json and tokenizer_config.json (may be empty) → definition, strictly: unknown parts and keys are Errors naming `source`.
std::unique_ptr<const PipelineDefinition> read_pipeline(std::string json, std::string config, const std::string& source);

class Pipeline final : public Tokenizer {
 public:
  explicit Pipeline(std::unique_ptr<const PipelineDefinition> definition);
  ~Pipeline() override;

  void encode_to(std::string_view text, std::vector<int32_t>& ids, SpecialTokens specials) const override;
  FramedIds frame(const std::vector<int32_t>& first, const std::vector<int32_t>* second) const override;
  std::string decode(std::span<const int32_t> ids, bool keep_specials) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(texts_.size()); }
  int token_bytes(int32_t id) const override;
  bool is_special(int32_t id) const override;
  std::string token_text(int32_t id) const override;
  std::optional<int32_t> id_of(std::string_view token) const override;
  std::optional<int32_t> bos() const override { return bos_; }
  std::optional<int32_t> eos() const override { return eos_; }
  std::shared_ptr<const Tokenizer> with_special_tokens(std::span<const std::string> tokens) const override;
  std::shared_ptr<const Tokenizer> with_frame(const std::string& first, const std::string& last) const override;
  void save(const std::filesystem::path& folder) const override;
  const std::string& hash() const override { return hash_; }

 private:
  struct Scratch;  // word cache and work space of one encoding call at a time
  std::unique_ptr<const PipelineDefinition> definition_;
  TokenFinder raw_, normalized_;
  std::vector<std::string_view> texts_;  // by id, added tokens' included
  std::vector<bool> special_;            // by id
  std::unordered_map<std::string_view, int32_t> added_ids_;
  std::optional<int32_t> bos_, eos_;
  std::string hash_;
  int32_t ordinary_ = 0;  // a token that stands before another one when its bytes are counted

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> idle_;

  void encode_stretch(std::string_view text, bool at_start, Scratch& scratch, std::vector<int32_t>& ids) const;
  void check_id(int32_t id) const;
};

}  // namespace gamut
