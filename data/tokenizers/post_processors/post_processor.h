// Special tokens around the ids of one text or of two.
#pragma once

#include <cstdint>
#include <vector>

#include "data/tokenizers/part.h"

namespace gamut {

struct FramedIds {
  std::vector<int32_t> ids, type_ids;  // type_ids: 0 for the first text, 1 for the second, as the post-processor says

  void add(int32_t id, int32_t type) {
    ids.push_back(id);
    type_ids.push_back(type);
  }
  void add(const std::vector<int32_t>& more, int32_t type) {
    ids.insert(ids.end(), more.begin(), more.end());
    type_ids.insert(type_ids.end(), more.size(), type);
  }
};

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  // first, and second unless it is null.
  virtual FramedIds apply(const std::vector<int32_t>& first, const std::vector<int32_t>* second) const = 0;
  // Whether apply adds anything: one that only adjusts offsets does not.
  virtual bool frames() const { return true; }
};
using PostProcessorPtr = std::unique_ptr<const PostProcessor>;

FramedIds unframed(const std::vector<int32_t>& first, const std::vector<int32_t>* second);

// A list of special tokens and places for the texts, for one text and for two.
struct TemplatePiece {
  enum Kind : uint8_t { first, second, tokens } kind;
  std::vector<int32_t> ids;  // of a special token
  int32_t type = 0;
};
PostProcessorPtr make_template(std::vector<TemplatePiece> single, std::vector<TemplatePiece> pair);

PostProcessorPtr read_post_processor(Config& cfg);  // by "type"
PostProcessorPtr read_post_processors(Config& cfg);
PostProcessorPtr read_template(Config& cfg);
PostProcessorPtr read_bert_processing(Config& cfg);
PostProcessorPtr read_roberta_processing(Config& cfg);
PostProcessorPtr read_byte_level_post_processor(Config& cfg);
// ["[SEP]", 3] → 3
int32_t take_token_and_id(Config& cfg, const std::string& key);

}  // namespace gamut
