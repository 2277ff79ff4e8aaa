// Models in GGUF files against the folders they were made from (tools/make_gguf_fixtures.py).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "checkpoints/elements.h"
#include "families/gguf.h"
#include "generation/decoder.h"
#include "generation/score.h"
#include "gguf_file.h"
#include "temp_folder.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

const fs::path kFiles = GAMUT_SOURCE_DIR "/tests/families/gguf", kFolders = GAMUT_SOURCE_DIR "/tests/families/fixtures";

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(kFiles))
    if (is_gguf(entry.path()) && entry.path().stem() != "packed") out.push_back(entry.path().stem());
  std::sort(out.begin(), out.end());
  return out;
}

class GgufFixture : public testing::TestWithParam<std::string> {
 protected:
  ThreadPool pool{2};
  Device device = Device::real(pool);
};

// What the format cannot say: windows of some layers, scales of attention by layer.
ModelSpec comparable(ModelSpec spec, const std::string& name) {
  spec.dtype = "f32";
  for (LayerSpec& layer : spec.layers) {
    if (name == "qwen2") layer.mixer.options.erase("window");
    if (name == "gpt2") layer.mixer.options.erase("scale");
    if (layer.channel.kind == "moe") layer.channel.options["router"].erase("balance"), layer.channel.options["router"].erase("balance_loss");
  }
  return spec;
}

TEST_P(GgufFixture, IsTheModelOfTheFolder) {
  const LoadedModel folder = load_model(kFolders / GetParam(), device, {.dtype = "f32"}), file = load_model(kFiles / (GetParam() + ".gguf"), device, {.dtype = "f32"});
  EXPECT_EQ(file.config.family, folder.config.family);
  ModelSpec expected = comparable(folder.model.spec(), GetParam());
  if (GetParam() == "qwen3_moe") expected.layers.erase(expected.layers.begin() + 1);  // the dense one, which the format does not have there
  EXPECT_EQ(comparable(file.model.spec(), GetParam()).to_json().dump(1), expected.to_json().dump(1));
  std::map<std::string, Tensor> wanted;
  for (const Parameter& p : folder.model.parameters().all()) wanted.emplace(p.name, p.value);
  const GgufReader reader(kFiles / (GetParam() + ".gguf"));
  const DType type = reader.at("token_embd.weight").dtype;
  const double tolerance = type == DType::bf16 ? 0x1p-8 : type == DType::f16 ? 0x1p-11 : 0;
  for (const Parameter& p : file.model.parameters().all()) {
    std::string theirs = p.name;
    if (GetParam() == "qwen3_moe" && theirs.starts_with("layers.1.")) theirs[7] = '2';
    const Tensor& want = wanted.at(theirs);
    ASSERT_EQ(p.value.shape(), want.shape()) << p.name;
    for (int64_t i = 0; i < want.elements(); ++i) {
      const float a = p.value.data<float>()[i], b = want.data<float>()[i];
      ASSERT_LE(std::abs(a - b), tolerance * std::abs(b) + (tolerance > 0 ? 0x1p-24 : 0)) << p.name << ", element " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgufFixture, testing::ValuesIn(names()), [](const auto& param) {
  std::string name = param.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(GgufModels, EachFamilyWithAMappingHasAFixture) {
  std::set<std::string> with;
  for (const std::string& name : names()) with.insert(name);
  for (const Family& family : families()) {
    if (!family.gguf) continue;
    EXPECT_TRUE(with.contains(family.model_type)) << family.model_type << ": add one with tools/make_gguf_fixtures.py";
  }
}

// Every format of 32 numbers in one model, with vocabulary: logits of transformers' reading, ids of the tokenizer it was made from.
TEST(GgufModels, PackedWeightsAndVocabularyAreThePeers) {
  ThreadPool pool{2};
  const Device device = Device::real(pool);
  LoadedModel loaded = load_model(kFiles / "packed.gguf", device, {.dtype = "f32"});
  const SafetensorsReader expected(kFiles / "packed.safetensors");
  Json rows = Json::array({Json::array()});
  for (int id = 3; id < 19; ++id) rows[0].push_back(id);
  const Scores scores = score(loaded.model, device, read_example({{"input_ids", rows}}, "ids"), {});
  const TensorView& want = expected.at("logits");
  std::vector<float> logits(static_cast<size_t>(want.elements()));
  read_elements(want, 0, want.elements(), logits.data());
  float largest = 0, error = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    largest = std::max(largest, std::abs(logits[i]));
    error = std::max(error, std::abs(logits[i] - scores.tensors.at("logits").data<float>()[i]));
  }
  EXPECT_LE(error, 1e-5f * largest);
  EXPECT_EQ(loaded.config.eos, (std::vector<int32_t>{0}));
  EXPECT_EQ(loaded.config.bos, 1);
  EXPECT_EQ(read_model_config(kFiles / "packed.gguf").spec.dtype, "bf16") << "packed weights are computed with in bf16 unless told otherwise";

  const auto tokenizer = Tokenizer::load(kFiles / "packed.gguf");
  const Json texts = parse_json(expected.metadata().at("texts"), "texts");
  for (size_t i = 0; i < texts.size(); ++i) {
    const TensorView& view = expected.at("ids." + std::to_string(i));
    std::vector<double> ids(static_cast<size_t>(view.elements()));
    read_elements(view, 0, view.elements(), ids.data());
    EXPECT_EQ(tokenizer->add_special_tokens(tokenizer->encode(texts[i].get<std::string>())), std::vector<int32_t>(ids.begin(), ids.end())) << texts[i];
  }
  // As a folder it is the same model with the same vocabulary and chat template.
  const TempFolder out;
  save_model(loaded.model, tokenizer.get(), out / "model");
  LoadedModel again = load_model(out / "model", device);
  EXPECT_EQ(again.config.family->model_type, "llama");
  const Scores saved = score(again.model, device, read_example({{"input_ids", rows}}, "ids"), {});
  EXPECT_EQ(std::memcmp(saved.tensors.at("logits").raw(), scores.tensors.at("logits").raw(), scores.tensors.at("logits").bytes()), 0);
  EXPECT_EQ(Tokenizer::load(out / "model")->hash(), tokenizer->hash());
  EXPECT_TRUE(contains(read_json(out / "model" / "tokenizer_config.json")["chat_template"].get<std::string>(), "for message in messages"));
}

// A Llama of one layer, as the format's keys describe it; tests damage it.
struct Described {
  GgufFile file;
  explicit Described(const std::string& leave_out = "") {
    file.string("general.architecture", "llama");
    for (const auto& [key, value] : {std::pair("context_length", 16), std::pair("embedding_length", 8), std::pair("block_count", 1), std::pair("feed_forward_length", 4), std::pair("attention.head_count", 2)})
      if (leave_out != key) file.u32(std::string("llama.") + key, static_cast<uint32_t>(value));
    file.f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  }
  void matrix(const std::string& name, uint64_t rows, uint64_t width) { file.tensor(name + ".weight", {width, rows}, 0, std::string(4 * rows * width, '\0')); }
  void vector(const std::string& name, uint64_t size) { file.tensor(name + ".weight", {size}, 0, std::string(4 * size, '\0')); }
  void weights() {
    matrix("token_embd", 5, 8);
    vector("output_norm", 8);
    for (const char* norm : {"attn_norm", "ffn_norm"}) vector(std::string("blk.0.") + norm, 8);
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) matrix(std::string("blk.0.") + name, 8, 8);
    for (const char* name : {"ffn_gate", "ffn_up"}) matrix(std::string("blk.0.") + name, 4, 8);
    matrix("blk.0.ffn_down", 8, 4);
  }
};

class GgufRefusal : public testing::Test {
 protected:
  ThreadPool pool{1};
  Device device = Device::real(pool);
  TempFolder folder;
  fs::path path(const GgufFile& file) {
    write_file(folder / "m.gguf", file.bytes());
    return folder / "m.gguf";
  }
};

TEST_F(GgufRefusal, AWholeFileIsRead) {
  Described whole;
  whole.weights();
  const LoadedModel loaded = load_model(path(whole.file), device);
  EXPECT_TRUE(loaded.model.spec().tied);
  EXPECT_EQ(loaded.model.spec().vocab, 5);
  EXPECT_EQ(loaded.model.spec().norm_eps, 1e-5);
}

TEST_F(GgufRefusal, AllStrangeTensorsAreInOneError) {
  Described damaged;
  damaged.matrix("token_embd", 5, 8);
  damaged.vector("output_norm", 7);
  damaged.matrix("blk.0.attn_q", 8, 8);
  damaged.matrix("blk.7.attn_q", 8, 8);
  damaged.file.tensor("blk.0.attn_k.weight", {8, 8}, 24, std::string(64, '\0'));
  const std::string error = error_of([&] { load_model(path(damaged.file), device); });
  for (const char* part : {"missing blk.0.attn_v.weight [8, 8]", "missing blk.0.ffn_down.weight [8, 4]", "[7] instead of [8] in ", "m.gguf, tensor 'output_norm.weight', byte ",
                           "surplus [8, 8] in ", "tensor 'blk.7.attn_q.weight', byte ", "i8 instead of a float type in "})
    EXPECT_TRUE(contains(error, part)) << part << "\n" << error;
}

TEST_F(GgufRefusal, KeysByName) {
  const auto error_with = [&](auto change) {
    Described model;
    change(model.file);
    model.weights();
    return error_of([&] { read_model_config(path(model.file)); });
  };
  EXPECT_TRUE(contains(error_with([](GgufFile& f) { f.u32("llama.strange", 1); }), "'llama.strange' is not a key this version understands ("));
  EXPECT_TRUE(contains(error_with([](GgufFile& f) { f.u32("llama.rope.dimension_count", 2); }), "'llama.rope.dimension_count' is 2, other than the heads' width 4"));
  EXPECT_TRUE(contains(error_with([](GgufFile& f) { f.u32("llama.vocab_size", 6); }), "'llama.vocab_size' is 6, token_embd.weight has 5 rows"));
  EXPECT_TRUE(contains(error_with([](GgufFile& f) { f.string("llama.rope.scaling.type", "spiral"); }), "'spiral', a rotary scaling that is not read from GGUF"));
  EXPECT_TRUE(contains(error_with([](GgufFile& f) { f.numbers<int32_t>("llama.attention.head_count_kv", 5, {1, 2}); }), "differs between layers"));
  EXPECT_TRUE(contains(error_with([](GgufFile& f) { f.tensor("rope_freqs.weight", {2}, 0, GgufFile::number(1.5f) + GgufFile::number(3.0f)); }), "not those of llama3's rotary scaling"));
  GgufFile other;
  other.string("general.architecture", "lama");
  EXPECT_ERROR(read_model_config(path(other)), "'lama', an architecture this version does not read from GGUF");
  EXPECT_ERROR(read_model_config(path(Described("block_count").file)), "'llama.block_count' is missing");
  EXPECT_ERROR(read_model_config(path(Described().file)), "there is no tensor 'token_embd.weight'");
}

}  // namespace
}  // namespace gamut
