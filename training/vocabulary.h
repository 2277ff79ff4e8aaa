// What a model and a tokenizer must agree on before training.
#pragma once

#include <memory>

#include "data/tokenizers/tokenizer.h"
#include "modules/spec.h"

namespace gamut {

// Gives the special tokens of spec.objective ids behind the tokenizer's own, unless its option `specials` names others, and sets
// spec.vocab where it is 0. Returns the tokenizer with those tokens, framing texts as the objective does ([CLS] … [SEP]). Error when the model has fewer tokens
// than the tokenizer.
std::shared_ptr<const Tokenizer> settle_vocabulary(ModelSpec& spec, std::shared_ptr<const Tokenizer> tokenizer);

}  // namespace gamut
