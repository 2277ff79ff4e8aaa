#include <algorithm>

#include "base/error.h"
#include "data/tokenizers/models/model.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

// The longest token from the left, again and again; a word that cannot be spelled so is unknown as a whole
// [Wu et al., "Google's Neural Machine Translation System", 2016; Devlin et al., "BERT", 2019].
class WordPiece final : public Model {
 public:
  WordPiece(Vocabulary vocabulary, const std::string& unknown, std::string prefix, size_t longest_word)
      : Model(std::move(vocabulary)), unknown_(vocabulary_.find(unknown)), prefix_(std::move(prefix)), longest_word_(longest_word) {
    for (int32_t id = 0; id < vocabulary_.ids(); ++id) longest_token_ = std::max(longest_token_, vocabulary_.text(id).size());
  }

  void encode(std::string_view word, std::vector<int32_t>& ids) const override {
    const size_t first = ids.size();
    size_t characters = 0;
    for (const char c : word) characters += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    bool known = characters <= longest_word_;
    std::string candidate;
    for (size_t begin = 0; known && begin < word.size();) {
      candidate.assign(begin > 0 ? prefix_ : "");
      const size_t affix = candidate.size();
      candidate += word.substr(begin, longest_token_);
      int32_t id = Vocabulary::none;
      while (candidate.size() > affix && (id = vocabulary_.find(candidate)) < 0) candidate.resize(candidate.size() - character_before(candidate, candidate.size()).bytes);
      known = id >= 0;
      ids.push_back(id);
      begin += candidate.size() - affix;
    }
    if (known) return;
    if (unknown_ < 0) throw Error({.who = "tokenizer", .what = "'" + std::string(word) + "' cannot be spelled, and the unknown token is not in the vocabulary"});
    ids.resize(first);
    ids.push_back(unknown_);
  }

 private:
  int32_t unknown_;
  std::string prefix_;
  size_t longest_word_, longest_token_ = 0;
};

}  // namespace

ModelPtr read_word_piece(Config& cfg, const ModelData& data) {
  const auto unknown = cfg.take<std::string>("unk_token", "[UNK]"), prefix = cfg.take<std::string>("continuing_subword_prefix", "##");
  const auto longest = cfg.take_in<int64_t>("max_input_chars_per_word", 100, 1, int64_t{1} << 30);
  return std::make_unique<WordPiece>(Vocabulary(data.vocab), unknown, prefix, static_cast<size_t>(longest));
}

}  // namespace gamut
