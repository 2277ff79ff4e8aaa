#include "training/vocabulary.h"

#include "base/error.h"
#include "objectives/objective.h"

namespace gamut {

std::shared_ptr<const Tokenizer> settle_vocabulary(ModelSpec& spec, std::shared_ptr<const Tokenizer> tokenizer) {
  const auto objective = build_objective(spec.objective);
  if (const std::vector<std::string> specials = objective->special_tokens(); !specials.empty()) {
    auto extended = tokenizer->with_special_tokens(specials);
    Json ids = Json::array();
    for (const std::string& token : specials) ids.push_back(extended->id_of(token).value());
    // Ids that say what would be chosen here come from a recipe that was resolved before.
    if (Json& given = spec.objective.options["specials"]; given.is_null() || given == ids) {
      given = std::move(ids);
      tokenizer = std::move(extended);
      if (const std::vector<std::string> frame = objective->frame(); !frame.empty()) tokenizer = tokenizer->with_frame(frame[0], frame[1]);
    }
  }
  const int64_t vocab = tokenizer->vocab_size();
  if (spec.vocab == 0) spec.vocab = vocab;
  if (spec.vocab < vocab)
    throw Error({.who = "train", .what = "model.vocab is " + std::to_string(spec.vocab) + ", but the tokenizer has " + std::to_string(vocab) + " tokens", .hint = "leave model.vocab out"});
  return tokenizer;
}

}  // namespace gamut
