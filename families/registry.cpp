#include "base/text.h"
#include "families/family.h"

namespace gamut {

// In this order a family is sought that can express a model to be written; gamut expresses all.
const std::vector<Family>& families() {
  static const std::vector<Family> rows{kLlama, kMistral, kMixtral, kGamut};
  return rows;
}

const Family& family_named(const std::string& model_type) {
  std::vector<std::string> known;
  for (const Family& family : families()) {
    if (family.model_type == model_type) return family;
    known.push_back(family.model_type);
  }
  throw Error({.who = "model", .what = "unknown model_type '" + model_type + "'", .hint = did_you_mean(model_type, known)});
}

const Family& family_for(const ModelSpec& spec) {
  for (const Family& family : families())
    if (!family.write(spec).config.is_null()) return family;
  return families().back();
}

}  // namespace gamut
