#include <algorithm>
#include <cstring>

#include "base/io.h"
#include "base/text.h"
#include "checkpoints/elements.h"
#include "checkpoints/mxfp4.h"
#include "families/gguf.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

std::vector<int32_t> token_ids(const Json& value) {
  std::vector<int32_t> ids;
  for (const Json& item : value.is_array() ? value : Json::array({value}))
    if (item.is_number_integer()) ids.push_back(item.get<int32_t>());
  return ids;
}

ModelConfig describe(const Family& family, const Json& document, const Json& generation, const std::string& source) {
  ModelConfig config;
  config.family = &family;
  Config cfg(document, {.source = source});
  cfg.ignore("model_type", "it chose the family");
  config.spec = family.read(cfg);
  cfg.finish();
  const auto ids_of = [&](const char* key) {
    const Json& from = generation.is_object() && generation.contains(key) ? generation : document;
    return from.contains(key) ? token_ids(from[key]) : std::vector<int32_t>();
  };
  config.eos = ids_of("eos_token_id");
  if (const auto bos = ids_of("bos_token_id"); !bos.empty()) config.bos = bos[0];
  return config;
}

}  // namespace

ModelConfig read_model_config(const fs::path& path) {
  if (is_gguf(path)) {
    const GgufConfig found = config_of(GgufReader(path));
    return describe(*found.family, found.config, Json(), path.string());
  }
  const bool folder = fs::is_directory(path);
  const fs::path file = folder ? path / "config.json" : path;
  if (folder && !fs::exists(file))
    throw Error({.who = "model", .what = "no config.json in this folder", .where = path.string(), .hint = "a model is a folder as Hugging Face transformers writes it, or a .gguf file"});
  if (!folder && !fs::exists(file)) throw Error({.who = "model", .what = "no such model", .where = path.string(), .hint = "name a folder that holds config.json, or a .gguf file"});
  const Json document = read_json(file);
  Config cfg(document, {.source = file.string()});
  const auto type = cfg.take<std::string>("model_type");
  std::vector<std::string> known;
  for (const Family& family : families()) {
    known.push_back(family.model_type);
    if (family.model_type != type) continue;
    const fs::path defaults = file.parent_path() / "generation_config.json";
    ModelConfig config = describe(family, document, fs::exists(defaults) ? read_json(defaults) : Json::object(), file.string());
    if (family.complete && folder && (fs::exists(path / "model.safetensors") || fs::exists(path / "model.safetensors.index.json"))) family.complete(config.spec, SafetensorsReader(path));
    return config;
  }
  cfg.reject("model_type", "is '" + type + "', a family this version does not know", did_you_mean(type, known));
}

std::vector<std::byte> transposed(std::span<const std::byte> matrices, int64_t rows, int64_t columns, size_t element) {
  std::vector<std::byte> out(matrices.size());
  const auto r = static_cast<size_t>(rows), c = static_cast<size_t>(columns);
  for (size_t first = 0; first < out.size() / element; first += r * c)
    for (size_t i = 0; i < r; ++i)
      for (size_t j = 0; j < c; ++j) std::memcpy(out.data() + (first + j * r + i) * element, matrices.data() + (first + i * c + j) * element, element);
  return out;
}

int64_t StoredTensor::elements() const {
  int64_t count = 1;
  for (const int64_t n : shape) count *= n;
  return count;
}

void read_tensors(Model& model, const std::vector<StoredTensor>& wanted, const TensorFile& file, const std::function<bool(const std::string&)>& ignored, ThreadPool& pool) {
  std::vector<std::string> problems;
  TensorNames names;
  for (const StoredTensor& tensor : wanted) {
    names.insert(tensor.name);
    const TensorView* view = file.find(tensor.name);
    if (const PackedTensor packed = view ? PackedTensor() : find_mxfp4(file, tensor.name); packed.blocks) {
      for (const TensorView* part : {packed.blocks, packed.scales}) names.insert(part->name);
      if (packed.shape != tensor.shape) problems.push_back("blocks " + shape_text(packed.blocks->shape) + " and scales " + shape_text(packed.scales->shape) + " instead of " + shape_text(tensor.shape) + " in " + file.place(*packed.blocks));
    } else if (!view) problems.push_back("missing " + tensor.name + " " + shape_text(tensor.shape));
    else if (view->shape != tensor.shape) problems.push_back(shape_text(view->shape) + " instead of " + shape_text(tensor.shape) + " in " + file.place(*view));
    else if (!is_float(view->dtype)) problems.push_back(std::string(name_of(view->dtype)) + " instead of a float type in " + file.place(*view));
  }
  const auto table = std::find_if(wanted.begin(), wanted.end(), [](const StoredTensor& tensor) { return tensor.parts[0].parameter == "embedding"; });
  const TensorView* embedding = table == wanted.end() ? nullptr : file.find(table->name);
  for (const TensorView& view : file.tensors()) {
    if (names.contains(view.name) || view.bytes.empty()) continue;
    if (!ignored(view.name)) problems.push_back("surplus " + shape_text(view.shape) + " in " + file.place(view));
    // What is left out as a copy must be one.
    else if (model.spec().tied && embedding && view.dtype == embedding->dtype && view.shape == embedding->shape &&
             !std::ranges::equal(view.bytes, embedding->bytes))
      problems.push_back(file.place(view) + " differs from " + embedding->name + ", to which it is tied");
  }
  if (!problems.empty())
    throw Error({.who = "model",
                 .what = std::to_string(problems.size()) + (problems.size() == 1 ? " tensor does" : " tensors do") + " not fit the configuration: " + join(problems, "; "),
                 .where = file.path().string(),
                 .hint = "do configuration and weights belong together?"});
  std::map<std::string, Tensor> values;
  for (const Parameter& p : model.parameters().all()) values.emplace(p.name, p.value);
  const DType type = model.parameters().dtype();
  pool.parallel_for(static_cast<int64_t>(wanted.size()), [&](int64_t i, int) {
    const StoredTensor& tensor = wanted[static_cast<size_t>(i)];
    std::vector<float> unpacked;
    TensorView view{tensor.name, DType::f32, tensor.shape, {}};
    if (const TensorView* plain = file.find(tensor.name)) {
      view = *plain;
    } else {
      unpacked = decode_mxfp4(find_mxfp4(file, tensor.name));
      view.bytes = std::as_bytes(std::span(unpacked));
    }
    std::vector<std::byte> turned;
    if (tensor.transposed) {
      turned = transposed(view.bytes, tensor.rows(), tensor.columns(), size_of(view.dtype));
      view.bytes = turned;
    }
    int64_t at = 0;
    std::vector<const Tensor*> parameters;
    for (const ParameterRange& part : tensor.parts) parameters.push_back(&values.at(part.parameter));
    tensor.each_range([&](size_t part, int64_t first, int64_t count) {
      const Tensor& value = *parameters[part];
      if (type == DType::f64) read_elements(view, at, count, value.data<double>() + first);
      else read_elements(view, at, count, value.data<float>() + first);
      if (tensor.offset != 0)
        with_float_type(type, [&]<class P>() {
          for (int64_t k = first; k < first + count; ++k) value.data<P>()[k] = P(static_cast<accumulator<P>>(value.data<P>()[k]) + static_cast<accumulator<P>>(tensor.offset));
        });
      at += count;
    });
  });
  model.parameters().mark_changed();
}

std::vector<StoredTensor> load_weights(Model& model, const Family& family, const fs::path& path, ThreadPool& pool) {
  std::vector<StoredTensor> tensors;
  if (is_gguf(path)) {
    const GgufReader file(path);
    tensors = gguf_tensors(model, family, file);
    read_tensors(model, tensors, file, gguf_ignores, pool);
    return tensors;
  }
  const SafetensorsReader file(path);
  TensorNames present;
  for (const TensorView& view : file.tensors()) present.insert(view.name);
  tensors = family.tensors(model, present);
  read_tensors(model, tensors, file, [&](const std::string& name) { return family.ignores(model.spec(), name); }, pool);
  return tensors;
}

LoadedModel load_model(const fs::path& path, const Device& device, const LoadOptions& options) {
  ModelConfig config = read_model_config(path);
  if (!options.dtype.empty()) config.spec.dtype = options.dtype;
  Model model(config.spec, device);
  std::vector<StoredTensor> tensors = load_weights(model, *config.family, path, device.pool);
  return {std::move(config), std::move(model), std::move(tensors)};
}

}  // namespace gamut
