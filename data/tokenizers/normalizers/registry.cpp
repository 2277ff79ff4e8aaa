#include "data/tokenizers/normalizers/normalizer.h"

namespace gamut {

NormalizerPtr read_normalizer(Config& cfg) {
  static constexpr PartKind<Normalizer> kinds[] = {
      {"Sequence", read_normalizers},
      {"NFC", read_nfc},
      {"NFD", read_nfd},
      {"NFKC", read_nfkc},
      {"NFKD", read_nfkd},
      {"Lowercase", read_lowercase},
      {"Strip", read_strip_normalizer},
      {"StripAccents", read_strip_accents},
      {"Replace", read_replace_normalizer},
      {"Prepend", read_prepend},
      {"Nmt", read_nmt},
      {"ByteLevel", read_byte_level_normalizer},
      {"BertNormalizer", read_bert_normalizer},
      {"Precompiled", read_precompiled},
  };
  return read_part<Normalizer>(cfg, kinds);
}

}  // namespace gamut
