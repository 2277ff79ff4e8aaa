#include "data/tokenizers/post_processors/post_processor.h"

namespace gamut {

PostProcessorPtr read_post_processor(Config& cfg) {
  static constexpr PartKind<PostProcessor> kinds[] = {
      {"Sequence", read_post_processors},
      {"TemplateProcessing", read_template},
      {"BertProcessing", read_bert_processing},
      {"RobertaProcessing", read_roberta_processing},
      {"ByteLevel", read_byte_level_post_processor},
  };
  return read_part<PostProcessor>(cfg, kinds);
}

FramedIds unframed(const std::vector<int32_t>& first, const std::vector<int32_t>* second) {
  FramedIds out;
  out.add(first, 0);
  if (second) out.add(*second, 1);
  return out;
}

int32_t take_token_and_id(Config& cfg, const std::string& key) {
  const Json value = cfg.take_json(key);
  if (!value.is_array() || value.size() != 2 || !value[0].is_string() || !value[1].is_number_integer() || value[1].get<int64_t>() < 0 || value[1].get<int64_t>() > INT32_MAX)
    cfg.reject(key, "must be [token, id]");
  return value[1].get<int32_t>();
}

}  // namespace gamut
