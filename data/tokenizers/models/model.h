// From a piece of text to token ids.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizers/part.h"
#include "data/tokenizers/vocabulary.h"

namespace gamut {

// The large parts of "model", which are not read into a tree.
struct ModelData {
  std::vector<Vocabulary::Entry> vocab;                                // "vocab" as an object, or a list's texts numbered in order
  std::vector<double> scores;                                          // by id, where "vocab" is a list of [text, score]
  std::vector<std::pair<std::string_view, std::string_view>> merges;   // by rank
};

class Model {
 public:
  explicit Model(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  virtual ~Model() = default;

  // Appends the ids of one piece.
  virtual void encode(std::string_view piece, std::vector<int32_t>& ids) const = 0;
  // The same for a piece that stands for its byte-level characters (data/tokenizers/byte_level.h).
  virtual void encode_bytes(std::string_view piece, std::vector<int32_t>& ids) const;
  // Where a first part of text[begin …] ends that may be encoded on its own with the same ids in the end.
  virtual size_t part_end(std::string_view text, size_t /*begin*/) const { return text.size(); }
  // Whether some ids are bytes "<0x0A>" of characters without a token.
  virtual bool has_byte_fallback() const { return false; }

  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};
using ModelPtr = std::unique_ptr<const Model>;

ModelPtr read_model(Config& cfg, const ModelData& data);  // by "type", or what the keys say where old files leave it out
ModelPtr read_bpe(Config& cfg, const ModelData& data);
ModelPtr read_unigram(Config& cfg, const ModelData& data);
ModelPtr read_word_piece(Config& cfg, const ModelData& data);
ModelPtr read_word_level(Config& cfg, const ModelData& data);

}  // namespace gamut
