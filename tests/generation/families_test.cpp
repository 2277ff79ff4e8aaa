// Every family against fixtures that Hugging Face transformers made (tools/make_family_fixtures.py), and against its own writer.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "checkpoints/elements.h"
#include "generation/decoder.h"
#include "generation/score.h"
#include "modules/registry.h"
#include "temp_folder.h"
#include "tiny_models.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(GAMUT_SOURCE_DIR "/tests/families/fixtures")) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

fs::path folder_of(const std::string& name) { return fs::path(GAMUT_SOURCE_DIR "/tests/families/fixtures") / name; }

// The objective that the reference's loss is of; empty: it has none.
std::string loss_of(const std::string& name) {
  const fs::path about = folder_of(name) / "about.json";
  if (!fs::exists(about)) return "causal";
  const Json loss = read_json(about)["loss"];
  return loss.is_string() ? loss.get<std::string>() : "";
}

std::vector<double> values(const TensorView& view) {
  std::vector<double> out(view.bytes.size() / size_of(view.dtype));
  read_elements(view, 0, static_cast<int64_t>(out.size()), out.data());
  return out;
}

// ‖a−b‖ / ‖b‖
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(error / std::max(norm, 1e-30));
}

// The references are computed in float64 and stored in float32.
struct Bounds {
  const char* dtype;
  double logits, loss, gradient;
};

class FamilyFixture : public testing::TestWithParam<std::string> {
 protected:
  ThreadPool pool{2};
  Device device = Device::real(pool);
  void compare(const Bounds& bounds);  // with what the reference says
};

TEST_P(FamilyFixture, LogitsLossAndGradientsAreTheReferences) { compare({"f64", 1e-6, 1e-6, 5e-6}); }
TEST_P(FamilyFixture, Float32IsClose) { compare({"f32", 1e-5, 1e-5, 1e-4}); }

void FamilyFixture::compare(const Bounds& bounds) {
  const fs::path folder = folder_of(GetParam());
  LoadedModel loaded = load_model(folder, device, {.dtype = bounds.dtype});
  const Example input = read_example(read_json(folder / "input.json"), "input.json");
  const std::string loss = loss_of(GetParam());
  const Scores scores = score(loaded.model, device, input, {.loss = loss, .gradients = !loss.empty()});
  const SafetensorsReader expected(folder / "expected.safetensors");

  for (const TensorView& want : expected.tensors()) {
    if (want.name == "loss" || want.name.starts_with("grad.")) continue;
    ASSERT_TRUE(scores.tensors.contains(want.name)) << want.name;
    const Tensor& got = scores.tensors.at(want.name);
    const std::vector<double> reference = values(want);
    ASSERT_EQ(got.elements(), static_cast<int64_t>(reference.size())) << want.name;
    // Results of padding do not matter.
    const bool by_position = want.shape.size() > 2;
    const std::vector<uint8_t>& mask = input.target_length > 0 ? input.decoder_mask : input.mask;
    const size_t width = by_position ? reference.size() / mask.size() : 0;
    double largest = 0, error = 0;
    for (size_t i = 0; i < reference.size(); ++i) {
      if (by_position && !mask[i / width]) continue;
      largest = std::max(largest, std::abs(reference[i]));
      error = std::max(error, std::abs((got.dtype() == DType::f64 ? got.data<double>()[i] : got.data<float>()[i]) - reference[i]));
    }
    EXPECT_LE(error / largest, bounds.logits) << want.name;
  }
  if (loss.empty()) return;
  EXPECT_NEAR(*scores.loss, values(expected.at("loss"))[0], bounds.loss * *scores.loss);

  std::set<std::string> compared;
  for (const StoredTensor& tensor : loaded.tensors) {
    const TensorView* want = expected.find("grad." + tensor.name);
    if (!want) continue;  // an expert that no token chose
    const TensorBytes got = stored_bytes(loaded.model, tensor, DType::f32, true);
    ASSERT_EQ(got.view.shape, want->shape) << tensor.name;
    compared.insert(tensor.name);
    // Keys shift all scores of a softmax alike: the gradient of their bias is zero but for rounding.
    const std::vector<double> reference = values(*want);
    double norm = 0;
    for (const double g : reference) norm += g * g;
    if (norm < 1e-10) continue;
    EXPECT_LE(distance(values(got.view), reference), bounds.gradient) << tensor.name;
  }
  int64_t gradients = 0;
  for (const TensorView& view : expected.tensors()) gradients += view.name.starts_with("grad.");
  EXPECT_EQ(static_cast<int64_t>(compared.size()), gradients) << "every gradient of the reference has a tensor here";
  const auto trained = std::count_if(loaded.tensors.begin(), loaded.tensors.end(), [&](const StoredTensor& t) { return loaded.model.parameters().find(t.parts[0].parameter)->trained; });
  EXPECT_GE(gradients, trained - 6);
}

TEST_P(FamilyFixture, GreedyTokensAreTheReferences) {
  const fs::path folder = folder_of(GetParam());
  LoadedModel loaded = load_model(folder, device, {.dtype = "f32"});
  if (!fs::exists(folder / "greedy.json")) {  // another way of writing, tested where that is, or none
    EXPECT_NE(loss_of(GetParam()), "causal");
    return;
  }
  const Json greedy = read_json(folder / "greedy.json");
  const auto prompts = greedy["input_ids"].get<std::vector<std::vector<int32_t>>>(), want = greedy["output_ids"].get<std::vector<std::vector<int32_t>>>();
  GenerateOptions options{.max_new_tokens = static_cast<int64_t>(want[0].size() - prompts[0].size()), .sampling = {.temperature = 0}};
  const auto sources = greedy.value("sources", std::vector<std::vector<int32_t>>());  // of encoder-decoders
  for (const int64_t chunk : {1, 4, 512}) {
    options.chunk = chunk;
    EXPECT_EQ(generate(loaded.model, device, prompts, options, sources), want) << "prompt in chunks of " << chunk;
  }
}

TEST_P(FamilyFixture, SavedAndLoadedIsTheSameModel) {
  const TempFolder out;
  LoadedModel loaded = load_model(folder_of(GetParam()), device, {.dtype = "f32"});
  save_model(loaded.model, nullptr, out / "model");
  LoadedModel again = load_model(out / "model", device);
  // GPT-2's attention scaled by layer is written in Gamut's own format, others as the family they are.
  const std::map<std::string, std::string> others{{"gpt2", "gamut"}, {"mt5", "t5"}, {"xlm-roberta", "roberta"}, {"camembert", "roberta"}, {"minicpm", "granitemoe"}};
  EXPECT_EQ(again.config.family->model_type, others.contains(GetParam()) ? others.at(GetParam()) : loaded.config.family->model_type);
  const auto& before = loaded.model.parameters().all();
  const auto& after = again.model.parameters().all();
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    ASSERT_EQ(before[i].name, after[i].name);
    ASSERT_EQ(before[i].value.shape(), after[i].value.shape()) << before[i].name;
    EXPECT_EQ(std::memcmp(before[i].value.raw(), after[i].value.raw(), before[i].value.bytes()), 0) << before[i].name;
  }
  const Example input = read_example(read_json(folder_of(GetParam()) / "input.json"), "input.json");
  const std::string loss = loss_of(GetParam());
  const Scores a = score(loaded.model, device, input, {.loss = loss}), b = score(again.model, device, input, {.loss = loss});
  for (const auto& [name, tensor] : a.tensors) EXPECT_EQ(std::memcmp(tensor.raw(), b.tensors.at(name).raw(), tensor.bytes()), 0) << name;
  EXPECT_EQ(a.loss, b.loss);
}

TEST_P(FamilyFixture, UnknownKeysAndStrangeTensorsAreRefusedByName) {
  const TempFolder out;
  const fs::path folder = folder_of(GetParam());
  Json config = read_json(folder / "config.json");
  fs::copy(folder / "model.safetensors", out / "model.safetensors");
  config["hiden_act"] = "silu";
  write_file(out / "config.json", config.dump());
  EXPECT_ERROR(load_model(out.path(), device), "'hiden_act' is not a known key");
  config.erase("hiden_act");
  for (const char* key : {"n_layer", "n_layers", "num_layers", "num_hidden_layers", "encoder_layers"})
    if (config.contains(key)) config[key] = 1;
  for (const char* key : {"layer_types", "no_rope_layers", "attention_types", "attention_layers", "mlp_layer_types", "attn_layer_indices"}) config.erase(key);
  if (config.contains("layers_block_type")) config["layers_block_type"] = {config["layers_block_type"][0]};
  write_file(out / "config.json", config.dump());
  EXPECT_ERROR(load_model(out.path(), device), "surplus ");
}

INSTANTIATE_TEST_SUITE_P(All, FamilyFixture, testing::ValuesIn(fixtures()), [](const auto& param) {
  std::string name = param.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Other readers refuse 24.0 where they declare an integer.
TEST(Families, WholeNumbersAreWrittenAsIntegers) {
  ThreadPool pool(1);
  const Device device = Device::real(pool);
  for (const auto& [family, key] : {std::pair("gemma2", "/query_pre_attn_scalar"), std::pair("mpt", "/attn_config/alibi_bias_max")}) {
    const TempFolder out;
    save_model(load_model(folder_of(family), device, {.dtype = "f32"}).model, nullptr, out / "model");
    EXPECT_TRUE(read_json(out / "model" / "config.json").at(Json::json_pointer(key)).is_number_integer()) << family;
  }
}

TEST(Families, EverySequenceMixerIsSavedAndLoadedBitForBit) {
  ThreadPool pool(2);
  for (const auto& row : sequence_mixers())
    for (const std::string& sample : row.samples) {
      ModelSpec spec = tiny_spec({{"width", 32}, {"dtype", "f32"}});
      const Json options = Json::parse(sample);
      for (size_t i = 0; i < spec.layers.size(); ++i) spec.layers[i].mixer = {row.kind, options.is_array() ? options.at(i) : options};
      TinyModel tiny(spec, pool);
      const TempFolder out;
      save_model(tiny.model, nullptr, out / "model");
      LoadedModel again = load_model(out / "model", tiny.device);
      const auto logits = [&](Model& model) {
        Tape tape(tiny.device, Tape::Mode::inference);
        Pass pass{.tape = tape, .ids_BT = id_tensor(tape, random_ids(2 * 9, spec.vocab), 2, 9, spec.vocab), .visibility = {.sight = {.causal = true}}};
        const Tensor source = tape.zeros({2, 5, spec.width}, DType::f32);
        pass.encoded_BSD = &source;
        return elements(model.logits(pass, model.hidden(pass)));
      };
      EXPECT_EQ(logits(again.model), logits(tiny.model)) << row.kind << " " << sample;
    }
}

TEST(Families, EachHasAFixture) {
  std::set<std::string> with;
  for (const std::string& name : fixtures()) with.insert(read_json(folder_of(name) / "config.json")["model_type"].get<std::string>());
  with.insert("gamut");
  for (const Family& family : families()) EXPECT_TRUE(with.contains(family.model_type)) << family.model_type << ": add one with tools/make_family_fixtures.py";
}

TEST(Families, OlderKeysMeanTheSame) {
  const TempFolder out;
  Json config = read_json(folder_of("llama-llama3") / "config.json");
  const Json rope = config["rope_parameters"];
  const auto spec_of = [&](const Json& document) {
    write_file(out / "config.json", document.dump());
    return read_model_config(out.path()).spec;
  };
  const ModelSpec newer = spec_of(config);
  config.erase("rope_parameters");
  config["rope_theta"] = rope["rope_theta"];
  config["rope_scaling"] = rope;
  config["rope_scaling"].erase("rope_theta");
  config["torch_dtype"] = config["dtype"];
  config.erase("dtype");
  EXPECT_EQ(spec_of(config), newer);
  config["rope_scaling"]["rope_type"] = "spiral";
  EXPECT_ERROR(spec_of(config), "'spiral'");
  config["rope_scaling"] = nullptr;
  EXPECT_NE(spec_of(config), newer);
  config["partial_rotary_factor"] = 1.0;
  EXPECT_NO_THROW(spec_of(config));
  config["partial_rotary_factor"] = 0.5;
  EXPECT_ERROR(spec_of(config), "partial_rotary_factor");
  config["model_type"] = "lama";
  EXPECT_ERROR(spec_of(config), "did you mean 'llama'?");
}

TEST(Families, AHeadThatDiffersFromTheEmbeddingItIsTiedToIsRefusedACopyIsNot) {
  ThreadPool pool(1);
  const Device device = Device::real(pool);
  const SafetensorsReader file(folder_of("llama-llama3") / "model.safetensors");
  const TensorView& embedding = file.at("model.embed_tokens.weight");
  std::vector<std::byte> head(embedding.bytes.begin(), embedding.bytes.end());
  const TempFolder folder;
  fs::copy_file(folder_of("llama-llama3") / "config.json", folder / "config.json");
  const auto save = [&] {
    std::vector<TensorView> tensors = file.tensors();
    tensors.push_back({"lm_head.weight", embedding.dtype, embedding.shape, head});
    write_safetensors(folder / "model.safetensors", tensors);
  };
  save();
  EXPECT_NO_THROW(load_model(folder.path(), device));
  head[5] ^= std::byte{1};
  save();
  EXPECT_ERROR(load_model(folder.path(), device), "differs from model.embed_tokens.weight, to which it is tied");
}

TEST(Families, ANarrowEmbeddingNeedsANarrowHeadWhereTheyAreTied) {
  ThreadPool pool(1);
  const Device device = Device::real(pool);
  ModelSpec spec = read_model_config(folder_of("opt-narrow")).spec;
  EXPECT_EQ(family_for(spec).model_type, "opt");
  spec.heads = ModelSpec{}.heads;
  EXPECT_ERROR(Model(spec, device), "narrow = true");
  spec.tied = false;
  EXPECT_NO_THROW(Model(spec, device));
  EXPECT_EQ(family_for(spec).model_type, "gamut");
}

TEST(Families, NullAndPatternsMeanWhatTransformersSays) {
  const TempFolder out;
  const auto spec_of = [&](const std::string& fixture, const Json& changes) {
    Json config = read_json(folder_of(fixture) / "config.json");
    for (const auto& [key, value] : changes.items()) config[key] = value;
    write_file(out / "config.json", config.dump());
    return read_model_config(out.path()).spec;
  };
  const std::string s = "sliding_attention", f = "full_attention";
  EXPECT_EQ(spec_of("exaone4", {{"layer_types", nullptr}, {"sliding_window_pattern", "LG"}}), spec_of("exaone4", {{"layer_types", {s, f, f}}}));
  EXPECT_EQ(spec_of("exaone4", {{"layer_types", nullptr}, {"sliding_window_pattern", 2}}), spec_of("exaone4", {{"layer_types", {s, f, s}}}));
  EXPECT_ERROR(spec_of("exaone4", {{"sliding_window_pattern", "LX"}}), "'LX'");
  EXPECT_EQ(spec_of("deepseek_v3", {{"norm_topk_prob", nullptr}}), spec_of("deepseek_v3", {{"norm_topk_prob", false}}));
  EXPECT_EQ(spec_of("granitemoe", {{"attention_multiplier", nullptr}}), spec_of("granitemoe", {{"attention_multiplier", 1 / std::sqrt(8.0)}}));
  EXPECT_EQ(spec_of("gpt_oss", {{"rope_parameters", nullptr}, {"rope_scaling", nullptr}}), spec_of("gpt_oss", {{"rope_parameters", nullptr}}));  // what the publisher has
  EXPECT_EQ(spec_of("llama", {{"hidden_act", "gelu_fast"}}), spec_of("llama", {{"hidden_act", "gelu_pytorch_tanh"}}));
}

}  // namespace
}  // namespace gamut
