#include "data/tokenizers/post_processors/post_processor.h"

namespace gamut {

// [CLS] A [SEP], with a second text B [SEP] of type 1.
PostProcessorPtr read_bert_processing(Config& cfg) {
  const TemplatePiece separator{TemplatePiece::tokens, {take_token_and_id(cfg, "sep")}}, classifier{TemplatePiece::tokens, {take_token_and_id(cfg, "cls")}};
  TemplatePiece last = separator;
  last.type = 1;
  return make_template({classifier, {TemplatePiece::first, {}}, separator}, {classifier, {TemplatePiece::first, {}}, separator, {TemplatePiece::second, {}, 1}, last});
}

}  // namespace gamut
