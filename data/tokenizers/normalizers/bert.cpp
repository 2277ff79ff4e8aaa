#include "data/tokenizers/normalizers/normalizer.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

bool is_chinese(uint32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) ||
         (c >= 0x2b920 && c <= 0x2ceaf) /* the peer's own bound, not BERT's 2B820 */ || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

// The first half of BERT's basic tokenizer [Devlin et al., "BERT", 2019].
class BertNormalizer final : public Normalizer {
 public:
  BertNormalizer(bool clean, bool chinese, bool accents, bool lower) : clean_(clean), chinese_(chinese), accents_(accents), lower_(lower) {}

  void apply(std::string& text) const override {
    if (clean_ || chinese_) {
      rewrite(text, [&](uint32_t code, std::string_view bytes, std::string& out) {
        if (clean_ && (code == 0 || code == 0xfffd || is_bert_control(code))) return;
        if (clean_ && is_space(code)) out += ' ';
        else if (chinese_ && is_chinese(code)) (out += ' ').append(bytes) += ' ';
        else out += bytes;
      });
    }
    if (accents_) {
      normalize(text, NormalForm::nfd);
      rewrite(text, [](uint32_t code, std::string_view bytes, std::string& out) {
        if (!is_accent(code)) out += bytes;
      });
    }
    if (lower_) rewrite(text, [](uint32_t code, std::string_view, std::string& out) { append_lowercase(code, out); });
  }

 private:
  bool clean_, chinese_, accents_, lower_;

  template <class Change> static void rewrite(std::string& text, Change&& change) {
    std::string out;
    out.reserve(text.size() + text.size() / 8);
    for_each_character(text, [&](uint32_t code, std::string_view bytes) {
      if (code == Character::broken) out += bytes;
      else change(code, bytes, out);
    });
    text = std::move(out);
  }
};

}  // namespace

NormalizerPtr read_bert_normalizer(Config& cfg) {
  const bool clean = cfg.take<bool>("clean_text", true), chinese = cfg.take<bool>("handle_chinese_chars", true), lower = cfg.take<bool>("lowercase", true);
  return std::make_unique<BertNormalizer>(clean, chinese, cfg.take<bool>("strip_accents", lower), lower);
}

}  // namespace gamut
