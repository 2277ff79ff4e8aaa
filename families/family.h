// Families translate published model folders to and from ModelSpec and the model's own parameter names.
//
// A folder is what Hugging Face transformers reads and writes: config.json, model.safetensors (or shards), tokenizer.json,
// tokenizer_config.json, generation_config.json.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "checkpoints/safetensors.h"
#include "data/tokenizers/tokenizer.h"
#include "modules/model.h"

namespace gamut {

// Neighbouring elements of one parameter.
struct ParameterRange {
  std::string parameter;
  int64_t offset = 0, count = 0;
};

// A tensor of a checkpoint: ranges of parameters one after another, each element multiplied by `factor` when written. `offset` is subtracted when written and
// added when read (gains stored around zero). `transposed`: the file's matrix
// [shape[0], shape[1]] is the transpose of what the ranges make; or each of its `matrices`, one after another.
struct StoredTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<ParameterRange> parts;
  double factor = 1;
  bool transposed = false;
  double offset = 0;
  int64_t matrices = 1;
  int64_t alternating = 0;  // ? of the ranges' rows, of so many elements, the file holds the first of each, then the second of each …

  int64_t elements() const;
  // Of one matrix in the file.
  int64_t columns() const { return shape.back(); }
  int64_t rows() const { return elements() / matrices / columns(); }
  // The file's elements in their order (before transposition): which of `parts`, first element in its parameter, count.
  template <class Visit> void each_range(const Visit& visit) const {
    if (alternating == 0)
      for (size_t i = 0; i < parts.size(); ++i) visit(i, parts[i].offset, parts[i].count);
    else
      for (int64_t at = 0; at < parts[0].count; at += alternating)
        for (size_t i = 0; i < parts.size(); ++i) visit(i, parts[i].offset + at, alternating);
  }
};

using TensorNames = std::set<std::string, std::less<>>;

struct GgufMapping;  // families/gguf.h

struct Family {
  std::string model_type;  // as config.json says
  std::string meaning;     // for `gamut explain`
  // Every key is taken or deliberately ignored; the caller finishes the Config.
  ModelSpec (*read)(Config& cfg);
  // config.json without token ids, or why the family cannot express this model.
  struct Written {
    Json config;             // null when it cannot
    std::string obstacle;
  };
  Written (*write)(const ModelSpec& spec);
  // The checkpoint's tensors, together every parameter exactly once. A family with several layouts chooses by the names that
  // are `present`; with none it takes the one that is written.
  std::vector<StoredTensor> (*tensors)(const Model& model, const TensorNames& present);
  // Tensors that files may hold and nobody needs.
  bool (*ignores)(const ModelSpec& spec, const std::string& tensor);
  // ? Reads what config.json leaves to the tensors' shapes.
  void (*complete)(ModelSpec& spec, const SafetensorsReader& file) = nullptr;
  const GgufMapping* gguf = nullptr;  // ? how such models lie in GGUF files
};
const std::vector<Family>& families();  // registry.cpp

// What a model folder, a config.json or a GGUF file describes.
struct ModelConfig {
  const Family* family = nullptr;
  ModelSpec spec;
  std::vector<int32_t> eos;    // where generation ends: generation_config.json, else config.json
  std::optional<int32_t> bos;
};
ModelConfig read_model_config(const std::filesystem::path& model);

struct LoadOptions {
  std::string dtype;  // of activations: f32, bf16, f64; empty: as config.json says (float16: f32)
};

struct LoadedModel {
  ModelConfig config;
  Model model;
  std::vector<StoredTensor> tensors;  // under the names of the files read
};
// A model folder or a GGUF file. Tensors that are missing, surplus, misshapen or of a type that is no number: one Error with all of them.
LoadedModel load_model(const std::filesystem::path& model, const Device& device, const LoadOptions& options = {});

// The weights alone, into a model of that specification; the tensors read, under the names of the files.
std::vector<StoredTensor> load_weights(Model& model, const Family& family, const std::filesystem::path& from, ThreadPool& pool);

// Fills the model's parameters from checkpoint tensors of any float type; the same Error. `ignored` tells surplus tensors that nobody needs.
void read_tensors(Model& model, const std::vector<StoredTensor>& wanted, const TensorFile& file, const std::function<bool(const std::string&)>& ignored, ThreadPool& pool);

// The family that can express the spec: a published one if possible, else `gamut`.
const Family& family_for(const ModelSpec& spec);

// Writes config.json, model.safetensors in `dtype` (empty: the spec's), and with a tokenizer its files and generation_config.json, each
// completely or not at all.
void save_model(const Model& model, const Tokenizer* tokenizer, const std::filesystem::path& folder, const std::string& dtype = "");

// Row-major matrices [rows, columns] of elements of `element` bytes, one after another, each as [columns, rows].
std::vector<std::byte> transposed(std::span<const std::byte> matrices, int64_t rows, int64_t columns, size_t element);

// A checkpoint's bytes made from parameter values or gradients.
struct TensorBytes {
  TensorView view;
  std::vector<std::byte> owned;  // what the view points to, unless it points into the parameter
};
// `dtype` f32, f64 or bf16. With gradients: ∂/∂(stored element); parameters without one count as zero.
TensorBytes stored_bytes(const Model& model, const StoredTensor& tensor, DType dtype, bool gradients = false);

}  // namespace gamut
