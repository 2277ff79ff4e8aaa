#include "data/tokenizers/metaspace.h"

#include "data/tokenizers/pre_tokenizers/behavior.h"
#include "data/tokenizers/pre_tokenizers/pre_tokenizer.h"

namespace gamut {
namespace {

// Spaces become ▁, which starts a piece.
class MetaspaceSplit final : public PreTokenizer {
 public:
  explicit MetaspaceSplit(Metaspace about) : about_(std::move(about)) {}

  void apply(Pieces& pieces) const override {
    const std::string& sign = about_.replacement;
    pieces.rewrite([&](size_t i, std::string& out) {
      const std::string_view piece = pieces[i];
      const bool wanted = about_.prepend == Metaspace::Prepend::always || (about_.prepend == Metaspace::Prepend::first && pieces.starts_text(i));
      if (wanted && !piece.starts_with(' ') && !piece.starts_with(sign)) out += sign;
      for (size_t at = 0; at < piece.size();) {
        const size_t space = std::min(piece.find(' ', at), piece.size());
        out += piece.substr(at, space - at);
        if (space < piece.size()) out += sign;
        at = space + 1;
      }
    });
    if (!about_.split) return;
    pieces.split([&](std::string_view piece, const auto& keep) {
      size_t begin = 0;
      for (size_t at = piece.find(sign, 1); at != std::string_view::npos; at = piece.find(sign, at + sign.size())) {
        keep(begin, at);
        begin = at;
      }
      keep(begin, piece.size());
    });
  }

 private:
  Metaspace about_;
};

}  // namespace

PreTokenizerPtr read_metaspace_pre_tokenizer(Config& cfg) { return std::make_unique<MetaspaceSplit>(take_metaspace(cfg)); }

}  // namespace gamut
