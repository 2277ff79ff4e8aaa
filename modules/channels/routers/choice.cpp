// Choices of routers that are noted, or enforced.
#include <algorithm>

#include "modules/channels/routers/router.h"

namespace gamut {

RouterChoices RouterChoices::rows(int64_t first, int64_t count, int64_t of) const {
  const auto each = static_cast<int64_t>(index_Nk.size()) / of;
  return {router, slots, {index_Nk.begin() + first * each, index_Nk.begin() + (first + count) * each}};
}

void append_choices(std::vector<RouterChoices>& to, const std::vector<RouterChoices>& more) {
  for (const RouterChoices& c : more) {
    const auto found = std::find_if(to.begin(), to.end(), [&](const RouterChoices& t) { return t.router == c.router; });
    if (found == to.end())
      to.push_back(c);
    else
      found->index_Nk.insert(found->index_Nk.end(), c.index_Nk.begin(), c.index_Nk.end());
  }
}

Tensor given_choices(const Pass& pass, int64_t tokens, int64_t slots, int64_t experts, bool empty_slots) {
  if (!pass.choices_given || !pass.tape.runs()) return Tensor();
  const std::string& router = *pass.mixture;
  const auto found = std::find_if(pass.choices_given->begin(), pass.choices_given->end(), [&](const RouterChoices& c) { return c.router == router; });
  const auto wrong = [&](const std::string& what) {
    throw Error({.who = "routing", .what = "the choices to be enforced " + what, .hint = "were they made by this model, on these tokens?"});
  };
  if (found == pass.choices_given->end()) wrong("have none of " + router);
  if (found->slots != slots || found->tokens() != tokens)
    wrong("of " + router + " are [" + std::to_string(found->tokens()) + ", " + std::to_string(found->slots) + "], not [" + std::to_string(tokens) + ", " +
          std::to_string(slots) + "]");
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t j = 0; j < slots; ++j) {
      const int32_t* row = found->index_Nk.data() + t * slots;
      if (row[j] >= experts || row[j] < (empty_slots ? -1 : 0) || (row[j] >= 0 && std::find(row, row + j, row[j]) != row + j))
        wrong("of " + router + " name expert " + std::to_string(row[j]) + " for token " + std::to_string(t) + ": of " + std::to_string(experts) +
              " experts, each once");
    }
  const Tensor index = pass.tape.empty({tokens, slots}, DType::i32);
  std::copy(found->index_Nk.begin(), found->index_Nk.end(), index.data<int32_t>());
  return index;
}

void note_choices(const Pass& pass, const Tensor& index) {
  if (pass.choices_made && pass.tape.runs())
    pass.choices_made->push_back({*pass.mixture, index.width(), {index.data<int32_t>(), index.data<int32_t>() + index.elements()}});
}

ops::Routing select_experts(Pass& pass, const Tensor& logits, const Tensor& bias, const ops::SelectOptions& options, const Tensor& chosen) {
  const Tensor given = given_choices(pass, logits.rows(), options.k, logits.width());
  ops::Routing r = ops::select(pass.tape, logits, bias, options, given ? given : chosen);
  note_choices(pass, r.index_Nk);
  return r;
}

}  // namespace gamut
