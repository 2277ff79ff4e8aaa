#include "data/tokenizers/post_processors/post_processor.h"

namespace gamut {
namespace {

// Trims offsets, which are not computed here: ids stay as they are.
class ByteLevel final : public PostProcessor {
 public:
  FramedIds apply(const std::vector<int32_t>& first, const std::vector<int32_t>* second) const override { return unframed(first, second); }
  bool frames() const override { return false; }
};

}  // namespace

PostProcessorPtr read_byte_level_post_processor(Config& cfg) {
  for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) cfg.ignore(key, "offsets are not computed");
  return std::make_unique<ByteLevel>();
}

}  // namespace gamut
