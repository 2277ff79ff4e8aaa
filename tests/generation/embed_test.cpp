// Sentence embeddings: every pooling by hand, modules as sentence-transformers stores them, and that neighbours and padding change no bit.
#include "generation/embed.h"

#include <cmath>

#include "base/io.h"
#include "temp_folder.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

TEST(Pooling, EveryKindByHand) {
  const std::vector<float> hidden{1, -2, 3, 4, 5, -6};  // three positions of width 2
  const auto near = [&](Pooled kind, double a, double b) {
    const std::vector<double> got = pool({kind}, hidden, 2);
    EXPECT_NEAR(got[0], a, 1e-12);
    EXPECT_NEAR(got[1], b, 1e-12);
  };
  near(Pooled::cls, 1, -2);
  near(Pooled::last, 5, -6);
  near(Pooled::max, 5, 4);
  near(Pooled::mean, 3, -4.0 / 3);
  near(Pooled::mean_sqrt_length, 9 / std::sqrt(3.0), -4 / std::sqrt(3.0));
  near(Pooled::weighted_mean, (1 + 2 * 3 + 3 * 5) / 6.0, (-2 + 2 * 4 - 3 * 6) / 6.0);
  EXPECT_EQ(pool({Pooled::cls, Pooled::last}, hidden, 2), (std::vector<double>{1, -2, 5, -6}));
  EXPECT_EQ(pool({Pooled::max, Pooled::mean}, {}, 2), (std::vector<double>{0, 0, 0, 0}));
}

// The fixture of a bare BERT, with a tokenizer of single letters.
class SentenceFolder : public testing::Test {
 protected:
  TempFolder folder;
  ThreadPool pool{2};
  Device device = Device::real(pool);

  void SetUp() override {
    for (const char* file : {"config.json", "model.safetensors"}) fs::copy(fs::path(GAMUT_SOURCE_DIR "/tests/families/fixtures/bert-bare") / file, folder / file);
    Json vocabulary = {{"[PAD]", 0}, {"[UNK]", 1}, {"[CLS]", 2}, {"[SEP]", 3}};
    for (char c = 'a'; c <= 'z'; ++c) vocabulary[std::string(1, c)] = vocabulary.size();
    Json tokenizer = {{"version", "1.0"}, {"truncation", {{"max_length", 4}, {"strategy", "LongestFirst"}, {"stride", 0}}}, {"padding", nullptr}, {"added_tokens", Json::array()},
                      {"normalizer", {{"type", "BertNormalizer"}, {"clean_text", true}, {"handle_chinese_chars", true}, {"strip_accents", nullptr}, {"lowercase", true}}},
                      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}}, {"post_processor", {{"type", "BertProcessing"}, {"sep", {"[SEP]", 3}}, {"cls", {"[CLS]", 2}}}},
                      {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
                      {"model", {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"continuing_subword_prefix", "##"}, {"max_input_chars_per_word", 100}, {"vocab", vocabulary}}}};
    for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]"})
      tokenizer["added_tokens"].push_back({{"id", vocabulary[token]}, {"content", token}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", true}});
    write("tokenizer.json", tokenizer);
  }
  void write(const std::string& name, const Json& document) {
    make_folder((folder / name).parent_path());
    write_file(folder / name, document.dump());
  }
  void modules(const std::vector<std::string>& types) {
    Json list = Json::array({{{"idx", 0}, {"name", "0"}, {"path", ""}, {"type", "sentence_transformers.models.Transformer"}}});
    for (size_t i = 0; i < types.size(); ++i) {
      const std::string number = std::to_string(i + 1);
      list.push_back({{"idx", i + 1}, {"name", number}, {"path", number + "_" + types[i]}, {"type", "sentence_transformers.models." + types[i]}});
    }
    write("modules.json", list);
    write("1_Pooling/config.json", {{"word_embedding_dimension", 16}, {"pooling_mode_cls_token", false}, {"pooling_mode_mean_tokens", true}, {"pooling_mode_max_tokens", false}, {"pooling_mode_mean_sqrt_len_tokens", false}});
  }
  std::vector<std::vector<float>> embed(const std::vector<std::string>& texts) {
    SentenceEncoder encoder(folder.path(), device, "f32");
    return encoder.embed(texts);
  }
};

const std::vector<std::string> kTexts{"a b c", "q", "", " a  b c\n", "z y x w v u t s r q p o n m l k j"};

TEST_F(SentenceFolder, NeighboursAndPaddingChangeNoBit) {
  for (const char* dtype : {"f32", "bf16"}) {
    SentenceEncoder encoder(folder.path(), device, dtype);
    const auto together = encoder.embed(kTexts);
    for (size_t i = 0; i < kTexts.size(); ++i) EXPECT_EQ(encoder.embed({kTexts[i]})[0], together[i]) << dtype << " " << i;
    EXPECT_EQ(together[0], together[3]) << "spaces around a text";
    EXPECT_NE(together[0], together[1]);
    EXPECT_EQ(encoder.width(), 16);
  }
}

TEST_F(SentenceFolder, ModulesSayWhatBecomesOfTheVectors) {
  const auto mean = embed(kTexts);
  modules({"Pooling", "Normalize"});
  const auto unit = embed(kTexts);
  for (size_t i = 0; i < kTexts.size(); ++i) {
    double norm = 0, length = 0;
    for (size_t k = 0; k < 16; ++k) {
      norm += static_cast<double>(unit[i][k]) * unit[i][k];
      length += static_cast<double>(mean[i][k]) * mean[i][k];
    }
    EXPECT_NEAR(norm, 1, 1e-6);
    for (size_t k = 0; k < 16; ++k) EXPECT_NEAR(unit[i][k], mean[i][k] / std::sqrt(length), 1e-6);
  }
  // A dense layer behind two poolings.
  modules({"Pooling", "Dense"});
  write("1_Pooling/config.json", {{"word_embedding_dimension", 16}, {"pooling_mode_mean_tokens", true}, {"pooling_mode_cls_token", true}, {"include_prompt", true}});
  write("2_Dense/config.json", {{"in_features", 32}, {"out_features", 2}, {"bias", true}, {"activation_function", "torch.nn.modules.activation.Tanh"}});
  std::vector<float> weight(64), bias{0.5f, -1.0f};
  weight[16 + 3] = 2;       // of the first output: element 3 of the mean, which comes after the first position's vector
  weight[32 + 5] = 1;       // of the second: element 5 of the first position
  const std::vector<TensorView> tensors{{"linear.weight", DType::f32, {2, 32}, std::as_bytes(std::span(weight))}, {"linear.bias", DType::f32, {2}, std::as_bytes(std::span(bias))}};
  write_safetensors(folder / "2_Dense/model.safetensors", tensors);
  SentenceEncoder encoder(folder.path(), device, "f32");
  EXPECT_EQ(encoder.width(), 2);
  const auto dense = encoder.embed({kTexts[0]});
  EXPECT_NEAR(dense[0][0], std::tanh(0.5 + 2 * mean[0][3]), 1e-6);
  write("1_Pooling/config.json", {{"word_embedding_dimension", 16}, {"pooling_mode_cls_token", true}});
  modules({});
  write("modules.json", Json::array({{{"type", "sentence_transformers.models.Transformer"}, {"path", ""}}, {{"type", "sentence_transformers.models.Pooling"}, {"path", "1_Pooling"}}}));
  write("1_Pooling/config.json", {{"pooling_mode_cls_token", true}});
  EXPECT_NEAR(dense[0][1], std::tanh(-1 + embed({kTexts[0]})[0][5]), 1e-6);
}

TEST_F(SentenceFolder, LongTextsAreCutAndPromptsComeFirst) {
  EXPECT_EQ(SentenceEncoder(folder.path(), device).tokens("a b c d e"), (std::vector<int32_t>{2, 4, 5, 6, 7, 8, 3})) << "tokenizer.json's own truncation is no limit";
  std::string alphabet;
  for (int i = 0; i < 30; ++i) alphabet += "a ";
  EXPECT_EQ(SentenceEncoder(folder.path(), device).tokens(alphabet).size(), 20u) << "the model's positions are";
  modules({"Pooling"});
  write("sentence_bert_config.json", {{"max_seq_length", 5}, {"do_lower_case", false}});
  write("config_sentence_transformers.json", {{"__version__", Json::object()}, {"prompts", {{"query", "q "}, {"passage", "p "}}}, {"default_prompt_name", "query"}});
  SentenceEncoder encoder(folder.path(), device);
  EXPECT_EQ(encoder.max_tokens(), 5);
  EXPECT_EQ(encoder.tokens("a b c d"), (std::vector<int32_t>{2, 20, 4, 5, 3}));
}

TEST_F(SentenceFolder, WhatItDoesNotKnowIsRefusedByName) {
  modules({"Pooling", "LSTM"});
  EXPECT_ERROR(embed({"a"}), "'LSTM'");
  modules({"Normalize"});
  EXPECT_ERROR(embed({"a"}), "before Pooling");
  modules({});
  EXPECT_ERROR(embed({"a"}), "no Pooling");
  modules({"Pooling"});
  write("1_Pooling/config.json", {{"word_embedding_dimension", 12}, {"pooling_mode_mean_tokens", true}});
  EXPECT_ERROR(embed({"a"}), "the model gives 16");
  write("1_Pooling/config.json", {{"pooling_mode_mean_tokens", false}});
  EXPECT_ERROR(embed({"a"}), "no other kind");
  write("1_Pooling/config.json", {{"pooling_mode_mean_token", true}});
  EXPECT_ERROR(embed({"a"}), "pooling_mode_mean_token");
  write("1_Pooling/config.json", {{"pooling_mode_mean_tokens", true}});
  write("sentence_bert_config.json", {{"max_seq_length", 2}});
  EXPECT_ERROR(embed({"a"}), "too few");
  write("sentence_bert_config.json", {{"do_lower_case", true}});
  EXPECT_ERROR(embed({"a"}), "do_lower_case");
}

}  // namespace
}  // namespace gamut
