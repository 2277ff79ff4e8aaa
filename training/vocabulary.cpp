#include "training/vocabulary.h"

#include "base/error.h"
#include "objectives/objective.h"

namespace gamut {

std::shared_ptr<const Tokenizer> settle_vocabulary(ModelSpec& spec, std::shared_ptr<const Tokenizer> tokenizer) {
  if (const std::vector<std::string> specials = build_objective(spec.objective)->special_tokens(); !specials.empty() && !spec.objective.options.contains("specials")) {
    tokenizer = tokenizer->with_special_tokens(specials);
    std::vector<int32_t> ids;
    for (const std::string& token : specials) ids.push_back(tokenizer->id_of(token).value());
    spec.objective.options["specials"] = ids;
  }
  const int64_t vocab = tokenizer->vocab_size();
  if (spec.vocab == 0) spec.vocab = vocab;
  if (spec.vocab < vocab)
    throw Error({.who = "train", .what = "model.vocab is " + std::to_string(spec.vocab) + ", but the tokenizer has " + std::to_string(vocab) + " tokens", .hint = "leave model.vocab out"});
  return tokenizer;
}

}  // namespace gamut
