#include "data/tokenizers/normalizers/normalizer.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

class UnicodeForm final : public Normalizer {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  void apply(std::string& text) const override { normalize(text, form_); }

 private:
  NormalForm form_;
};

}  // namespace

NormalizerPtr read_nfc(Config&) { return std::make_unique<UnicodeForm>(NormalForm::nfc); }
NormalizerPtr read_nfd(Config&) { return std::make_unique<UnicodeForm>(NormalForm::nfd); }
NormalizerPtr read_nfkc(Config&) { return std::make_unique<UnicodeForm>(NormalForm::nfkc); }
NormalizerPtr read_nfkd(Config&) { return std::make_unique<UnicodeForm>(NormalForm::nfkd); }

}  // namespace gamut
