#include "data/tokenizers/byte_level.h"
#include "data/tokenizers/models/model.h"

namespace gamut {

void Model::encode_bytes(std::string_view piece, std::vector<int32_t>& ids) const { encode(text_of_bytes(piece), ids); }

ModelPtr read_model(Config& cfg, const ModelData& data) {
  struct Kind {
    const char* type;
    ModelPtr (*read)(Config& cfg, const ModelData& data);
  };
  static constexpr Kind kinds[] = {{"BPE", read_bpe}, {"Unigram", read_unigram}, {"WordPiece", read_word_piece}, {"WordLevel", read_word_level}};
  const char* guess = !data.merges.empty() ? "BPE" : !data.scores.empty() ? "Unigram" : cfg.has("max_input_chars_per_word") ? "WordPiece" : "WordLevel";
  const auto type = cfg.take<std::string>("type", guess);
  if (data.vocab.empty()) cfg.reject("vocab", "is empty");
  std::vector<std::string> known;
  for (const Kind& kind : kinds) {
    if (type == kind.type) {
      ModelPtr model = kind.read(cfg, data);
      cfg.finish();
      return model;
    }
    known.emplace_back(kind.type);
  }
  cfg.reject("type", "'" + type + "' is not supported", did_you_mean(type, known));
}

}  // namespace gamut
