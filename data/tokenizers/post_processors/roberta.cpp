#include "data/tokenizers/post_processors/post_processor.h"

namespace gamut {

// <s> A </s>, with a second text </s> B </s>; all of type 0.
PostProcessorPtr read_roberta_processing(Config& cfg) {
  const TemplatePiece separator{TemplatePiece::tokens, {take_token_and_id(cfg, "sep")}}, classifier{TemplatePiece::tokens, {take_token_and_id(cfg, "cls")}};
  for (const char* key : {"add_prefix_space", "trim_offsets"}) cfg.ignore(key, "offsets are not computed");
  return make_template({classifier, {TemplatePiece::first, {}}, separator}, {classifier, {TemplatePiece::first, {}}, separator, separator, {TemplatePiece::second, {}}, separator});
}

}  // namespace gamut
