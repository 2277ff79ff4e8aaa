#include "data/tokenizers/pre_tokenizers/behavior.h"

namespace gamut {

SplitBehavior take_behavior(Config& cfg, const std::string& key, const char* fallback) {
  const std::string name = cfg.take_choice(key, fallback, {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"});
  return name == "Removed"              ? SplitBehavior::removed
         : name == "Isolated"           ? SplitBehavior::isolated
         : name == "MergedWithPrevious" ? SplitBehavior::merged_with_previous
         : name == "MergedWithNext"     ? SplitBehavior::merged_with_next
                                        : SplitBehavior::contiguous;
}

}  // namespace gamut
