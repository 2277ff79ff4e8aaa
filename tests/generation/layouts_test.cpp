// One model, many files: shards, element types, fused experts, heads that are there twice; and what does not fit is refused all at once.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "base/json.h"
#include "checkpoints/elements.h"
#include "families/family.h"
#include "temp_folder.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = GAMUT_SOURCE_DIR "/tests/families/fixtures";

class Layouts : public testing::Test {
 protected:
  ThreadPool pool{1};
  Device device = Device::real(pool);
  TempFolder folder;
  std::vector<std::vector<float>> owned;

  std::vector<float> values(const TensorView& view) {
    std::vector<float> out(static_cast<size_t>(view.elements()));
    read_elements(view, 0, view.elements(), out.data());
    return out;
  }
  TensorView own(const std::string& name, std::vector<int64_t> shape, std::vector<float> numbers) {
    owned.push_back(std::move(numbers));
    return {.name = name, .dtype = DType::f32, .shape = std::move(shape), .bytes = std::as_bytes(std::span(owned.back()))};
  }
  // Largest difference of any parameter, relative to the largest number of its tensor.
  double apart(const Model& a, const Model& b) {
    double largest = 0;
    for (size_t i = 0; i < a.parameters().all().size(); ++i) {
      const Tensor &x = a.parameters().all()[i].value, &y = b.parameters().all()[i].value;
      double scale = 0, error = 0;
      for (int64_t k = 0; k < x.elements(); ++k) {
        scale = std::max(scale, std::abs(static_cast<double>(x.data<float>()[k])));
        error = std::max(error, std::abs(static_cast<double>(x.data<float>()[k]) - static_cast<double>(y.data<float>()[k])));
      }
      largest = std::max(largest, error / scale);
    }
    return largest;
  }
  void copy_config(const std::string& fixture) { fs::copy_file(kFixtures / fixture / "config.json", folder / "config.json", fs::copy_options::overwrite_existing); }
};

TEST_F(Layouts, ShardsOfEveryFloatTypeAreOneModel) {
  copy_config("llama");
  const SafetensorsReader whole(kFixtures / "llama");
  const std::vector<DType> types{DType::f32, DType::bf16, DType::f64};
  Json map = Json::object();
  for (size_t shard = 0; shard < types.size(); ++shard) {
    const std::string name = "model-0000" + std::to_string(shard + 1) + "-of-00003.safetensors";
    std::vector<TensorView> views;
    std::vector<std::vector<std::byte>> bytes;
    for (size_t i = shard; i < whole.tensors().size(); i += types.size()) {
      const TensorView& view = whole.tensors()[i];
      std::vector<std::byte> packed(static_cast<size_t>(view.elements()) * size_of(types[shard]));
      const std::vector<float> numbers = values(view);
      for (size_t k = 0; k < numbers.size(); ++k) {
        const bf16 half(numbers[k]);
        const double wide = numbers[k];
        const void* from = types[shard] == DType::bf16 ? static_cast<const void*>(&half) : types[shard] == DType::f64 ? static_cast<const void*>(&wide) : &numbers[k];
        std::memcpy(packed.data() + k * size_of(types[shard]), from, size_of(types[shard]));
      }
      bytes.push_back(std::move(packed));
      views.push_back({.name = view.name, .dtype = types[shard], .shape = view.shape, .bytes = bytes.back()});
      map[view.name] = name;
    }
    write_safetensors(folder / name, views);
  }
  write_file(folder / "model.safetensors.index.json", Json({{"metadata", {{"total_size", 1}}}, {"weight_map", map}}).dump());
  const LoadedModel sharded = load_model(folder.path(), device), expected = load_model(kFixtures / "llama", device);
  const double error = apart(expected.model, sharded.model);
  EXPECT_GT(error, 0) << "a third of the tensors was rounded";
  EXPECT_LE(error, 0x1p-8);
}

TEST_F(Layouts, FusedExpertsAreTheSameModel) {
  copy_config("mixtral");
  const SafetensorsReader apart_file(kFixtures / "mixtral");
  const LoadedModel expected = load_model(kFixtures / "mixtral", device);
  std::vector<TensorView> views;
  std::map<std::string, std::map<int, std::pair<std::vector<float>, std::vector<int64_t>>>> experts;  // by layer and projection
  for (const TensorView& view : apart_file.tensors()) {
    const size_t at = view.name.find(".experts.");
    if (at == std::string::npos) {
      views.push_back(view);
      continue;
    }
    const int expert = view.name[at + 9] - '0';
    experts[view.name.substr(0, at) + "|" + view.name.substr(at + 11)][expert] = {values(view), view.shape};
  }
  for (const auto& [key, parts] : experts) {
    const std::string layer = key.substr(0, key.find('|')), projection = key.substr(key.find('|') + 1);
    if (projection == "w3.weight") continue;
    std::vector<float> all;
    for (const auto& [expert, part] : parts) {
      all.insert(all.end(), part.first.begin(), part.first.end());
      if (projection != "w1.weight") continue;
      const auto& up = experts.at(layer + "|w3.weight").at(expert).first;
      all.insert(all.end(), up.begin(), up.end());
    }
    const auto& shape = parts.at(0).second;
    const auto count = static_cast<int64_t>(parts.size());
    if (projection == "w1.weight") views.push_back(own(layer + ".experts.gate_up_proj", {count, 2 * shape[0], shape[1]}, all));
    else views.push_back(own(layer + ".experts.down_proj", {count, shape[0], shape[1]}, all));
  }
  write_safetensors(folder / "model.safetensors", views);
  const LoadedModel fused = load_model(folder.path(), device);
  EXPECT_LT(fused.tensors.size(), expected.tensors.size());
  EXPECT_EQ(apart(expected.model, fused.model), 0);
}

TEST_F(Layouts, ATiedHeadMayBeThereTwice) {
  copy_config("llama-linear");
  const SafetensorsReader file(kFixtures / "llama-linear");
  std::vector<TensorView> views = file.tensors();
  TensorView head = file.at("model.embed_tokens.weight");
  head.name = "lm_head.weight";
  views.push_back(head);
  write_safetensors(folder / "model.safetensors", views);
  EXPECT_EQ(apart(load_model(folder.path(), device).model, load_model(kFixtures / "llama-linear", device).model), 0);
  Json config = read_json(folder / "config.json");
  config["tie_word_embeddings"] = false;
  write_file(folder / "config.json", config.dump());
  EXPECT_NO_THROW(load_model(folder.path(), device));
  views.pop_back();
  write_safetensors(folder / "model.safetensors", views);
  EXPECT_ERROR(load_model(folder.path(), device), "1 tensor does not fit the configuration: missing lm_head.weight [40, 16]");
}

TEST_F(Layouts, EverythingStrangeIsInOneError) {
  copy_config("llama-linear");
  const SafetensorsReader file(kFixtures / "llama-linear");
  std::vector<TensorView> views;
  for (TensorView view : file.tensors()) {
    if (view.name.ends_with("layers.0.mlp.up_proj.weight")) continue;
    if (view.name == "model.norm.weight") view.shape = {4, 4};
    views.push_back(view);
  }
  const std::vector<int32_t> whole(16);
  views.push_back({.name = "of.many.dimensions", .dtype = DType::i32, .shape = {1, 2, 1, 2, 1, 2, 1, 2}, .bytes = std::as_bytes(std::span(whole))});
  write_safetensors(folder / "model.safetensors", views);
  const std::string error = error_of([&] { load_model(folder.path(), device); });
  for (const char* part : {"3 tensors do not fit", "missing model.layers.0.mlp.up_proj.weight [20, 16]", "[4, 4] instead of [16] in ", "model.safetensors, tensor 'model.norm.weight', byte ",
                           "surplus [1, 2, 1, 2, 1, 2, 1, 2] in ", "tensor 'of.many.dimensions', byte "})
    EXPECT_TRUE(contains(error, part)) << part << "\n" << error;
}

}  // namespace
}  // namespace gamut
