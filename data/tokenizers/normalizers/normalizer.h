// Text to text, before it is cut: normal forms, case, accents, replacements.
#pragma once

#include <string>

#include "data/tokenizers/part.h"

namespace gamut {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(std::string& text) const = 0;
};
using NormalizerPtr = std::unique_ptr<const Normalizer>;

NormalizerPtr read_normalizer(Config& cfg);  // by "type"
NormalizerPtr read_normalizers(Config& cfg);
NormalizerPtr read_nfc(Config& cfg);
NormalizerPtr read_nfd(Config& cfg);
NormalizerPtr read_nfkc(Config& cfg);
NormalizerPtr read_nfkd(Config& cfg);
NormalizerPtr read_lowercase(Config& cfg);
NormalizerPtr read_strip_normalizer(Config& cfg);
NormalizerPtr read_strip_accents(Config& cfg);
NormalizerPtr read_replace_normalizer(Config& cfg);
NormalizerPtr read_prepend(Config& cfg);
NormalizerPtr read_nmt(Config& cfg);
NormalizerPtr read_byte_level_normalizer(Config& cfg);
NormalizerPtr read_bert_normalizer(Config& cfg);
NormalizerPtr read_precompiled(Config& cfg);

}  // namespace gamut
