#include "base/error.h"
#include "data/tokenizers/models/model.h"

namespace gamut {
namespace {

// A piece is a token or unknown.
class WordLevel final : public Model {
 public:
  WordLevel(Vocabulary vocabulary, std::string unknown) : Model(std::move(vocabulary)), unknown_(vocabulary_.find(unknown)) {}

  void encode(std::string_view piece, std::vector<int32_t>& ids) const override {
    const int32_t id = vocabulary_.find(piece);
    if (id < 0 && unknown_ < 0) throw Error({.who = "tokenizer", .what = "'" + std::string(piece) + "' is not in the vocabulary, nor is the unknown token"});
    ids.push_back(id < 0 ? unknown_ : id);
  }

 private:
  int32_t unknown_;
};

}  // namespace

ModelPtr read_word_level(Config& cfg, const ModelData& data) { return std::make_unique<WordLevel>(Vocabulary(data.vocab), cfg.take<std::string>("unk_token", "<unk>")); }

}  // namespace gamut
