#include "data/tokenizers/byte_level.h"

#include "data/tokenizers/pre_tokenizers/pre_tokenizer.h"

namespace gamut {
namespace {

// GPT-2's: cut by its pattern, then every byte as a printable character.
class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}

  void apply(Pieces& pieces) const override {
    if (add_prefix_space_) {
      pieces.rewrite([&](size_t i, std::string& out) {
        if (!pieces[i].starts_with(' ')) out += ' ';
        out += pieces[i];
      });
    }
    if (use_regex_) {
      pieces.split([](std::string_view piece, const auto& keep) {
        for (size_t begin = 0; begin < piece.size();) {
          const size_t end = gpt2_piece_end(piece, begin);
          keep(begin, end);
          begin = end;
        }
      });
    }
    pieces.set_byte_level();
  }

 private:
  bool add_prefix_space_, use_regex_;
};

}  // namespace

PreTokenizerPtr read_byte_level_pre_tokenizer(Config& cfg) {
  const bool prefix = cfg.take<bool>("add_prefix_space", true), regex = cfg.take<bool>("use_regex", true);
  cfg.ignore("trim_offsets", "offsets are not computed");
  return std::make_unique<ByteLevel>(prefix, regex);
}

}  // namespace gamut
