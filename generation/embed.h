// Sentence embeddings: a model's last hidden states of a text, pooled to one vector. Folders as sentence-transformers writes them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/config.h"
#include "families/family.h"

namespace gamut {

// How the vectors of a text's positions become one; several are put one after another in this order. [sentence-transformers]
enum class Pooled : uint8_t {
  cls,               // the first position's
  max,               // the largest of each element
  mean,
  mean_sqrt_length,  // the sum over √length
  weighted_mean,     // weights 1, 2, 3, …
  last,              // the last position's
};
std::vector<Pooled> take_pooling(Config& cfg, int64_t width);  // 1_Pooling/config.json; Error when it names none, or vectors of another width
// The positions' vectors [T, D] as one, in double; without a position zeros (max: too).
std::vector<double> pool(const std::vector<Pooled>& kinds, const std::vector<float>& hidden_TD, int64_t width);

// A model with the modules behind it: pooling, and any dense layers and normalisation. Without modules.json: the mean.
class SentenceEncoder {
 public:
  // dtype as in LoadOptions. Modules and settings that are not known are Errors.
  SentenceEncoder(const std::filesystem::path& folder, const Device& device, const std::string& dtype = "");

  // [texts, width()]. What a text becomes depends, bit for bit, on nothing but the text.
  std::vector<std::vector<float>> embed(const std::vector<std::string>& texts);
  // The same of token ids, as the model reads them; every row has at least one.
  std::vector<std::vector<float>> embed(const std::vector<std::vector<int32_t>>& rows);
  int64_t width() const { return width_; }
  int64_t max_tokens() const { return max_tokens_; }  // a text's, special ones included; 0: any number. Longer texts are cut.
  std::vector<int32_t> tokens(const std::string& text) const;

 private:
  struct Dense {
    std::string activation;                 // tanh, identity, relu, gelu
    int64_t in, out;
    std::vector<float> weight, bias;        // [out, in]; [out] or empty
    std::vector<double> operator()(const std::vector<double>& x) const;
  };
  struct Module {
    enum class Kind : uint8_t { pooling, dense, normalize } kind;
    Dense dense;
  };
  Device device_;
  LoadedModel loaded_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<Pooled> pooling_{Pooled::mean};
  std::vector<Module> modules_{{Module::Kind::pooling, {}}};
  std::string prompt_;         // put before every text
  int64_t max_tokens_ = 0, width_ = 0;

  void read_modules(const std::filesystem::path& folder);
};

}  // namespace gamut
