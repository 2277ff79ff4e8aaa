#include "families/gguf.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/text.h"
#include "checkpoints/elements.h"
#include "families/skeleton.h"

namespace gamut {
namespace {

constexpr const char* kRotaryFactors = "rope_freqs.weight";

[[noreturn]] void refuse(const std::string& what, const std::string& where, const std::string& hint = "") { throw Error({.who = "gguf", .what = what, .where = where, .hint = hint}); }

const Family& family_of(const GgufMetadata& metadata) {
  const std::string key = "general.architecture", architecture(metadata.text(key));
  const Family* found = nullptr;
  std::vector<std::string> known;
  for (const Family& family : families()) {
    if (!family.gguf) continue;
    known.emplace_back(family.gguf->architecture);
    if (family.gguf->architecture != architecture) continue;
    const std::string needs = architecture + "." + std::string(family.gguf->needs);
    if (family.gguf->needs.empty() || (metadata.has(needs) && metadata.integer(needs) != 0)) found = &family;  // the more particular ones come later
  }
  if (!found) metadata.reject(key, "is '" + architecture + "', an architecture this version does not read from GGUF", did_you_mean(architecture, known));
  return *found;
}

// One value; or a list with one for each layer, if all are equal.
Json value_of(const GgufMetadata& metadata, const std::string& key) {
  Json value = metadata.json(key);
  if (!value.is_array()) return value;
  if (value.empty() || std::any_of(value.begin(), value.end(), [&](const Json& item) { return item != value[0]; })) metadata.reject(key, "differs between layers, which this family does not have here");
  return value[0];
}

// Llama 3's scaling is in the file as the factor of every pair of a head: the parameters that make these factors. [Dubey et al., The Llama 3 Herd of Models, 2024]
Json llama3_scaling(const GgufReader& file, double theta) {
  const TensorView& view = file.at(kRotaryFactors);
  if (view.shape.size() != 1 || view.shape[0] < 1 || !is_float(view.dtype)) refuse("expected one float for each pair of a head", file.place(view));
  std::vector<double> factors(static_cast<size_t>(view.shape[0]));
  read_elements(view, 0, view.shape[0], factors.data());
  const double factor = *std::max_element(factors.begin(), factors.end());
  if (std::all_of(factors.begin(), factors.end(), [](double f) { return f == 1; })) return {};
  constexpr double kLow = 1, kHigh = 4;
  for (int64_t original = 8; original <= 1 << 24; original *= 2) {
    bool same = true;
    for (size_t i = 0; i < factors.size() && same; ++i) {
      const double wave = 2 * std::numbers::pi * std::pow(theta, static_cast<double>(i) / static_cast<double>(factors.size())), turns = static_cast<double>(original) / wave;
      const double smooth = (turns - kLow) / (kHigh - kLow), expected = turns > kHigh ? 1 : turns < kLow ? factor : 1 / ((1 - smooth) / factor + smooth);
      same = std::abs(factors[i] - expected) <= 1e-5 * expected;
    }
    if (same) return {{"rope_type", "llama3"}, {"factor", factor}, {"low_freq_factor", kLow}, {"high_freq_factor", kHigh}, {"original_max_position_embeddings", original}};
  }
  refuse("its factors are not those of llama3's rotary scaling, the only one that is read from such a tensor", file.place(view));
}

// rope.scaling.* as rope_scaling; takes the keys it knows out of `left`.
Json take_scaling(const GgufMetadata& metadata, const std::string& architecture, std::set<std::string>& left) {
  const auto name = [&](const char* key) { return architecture + ".rope." + key; };
  const auto take = [&](const char* key) {
    left.erase(name(key));
    return metadata.has(name(key)) ? metadata.json(name(key)) : Json();
  };
  const Json kind = take("scaling.type"), factor = take("scaling.factor"), original = take("scaling.original_context_length"), amplitude = take("scaling.attn_factor"), linear = take("scale_linear");
  take("scaling.finetuned");
  const std::string type = kind.is_string() ? kind.get<std::string>() : linear.is_number() && linear != 1 ? "linear" : "none";
  if (type == "none" || type == "") return {};
  if (type != "linear" && type != "yarn") metadata.reject(name("scaling.type"), "is '" + type + "', a rotary scaling that is not read from GGUF", "known: none, linear, yarn");
  Json out = {{"rope_type", type}, {"factor", factor.is_number() ? factor : linear}};
  if (type == "yarn") {
    if (!original.is_null()) out["original_max_position_embeddings"] = original;
    if (amplitude.is_number()) out["attention_factor"] = amplitude;
  }
  return out;
}

// The numbers of `name` where `pattern` has stars; nothing if it does not match.
std::optional<std::vector<std::string>> match(std::string_view pattern, std::string_view name) {
  std::vector<std::string> numbers;
  size_t at = 0;
  for (const char c : pattern) {
    if (c != '*') {
      if (at >= name.size() || name[at] != c) return std::nullopt;
      ++at;
      continue;
    }
    const size_t end = std::min(name.find_first_not_of("0123456789", at), name.size());
    if (end == at) return std::nullopt;
    numbers.emplace_back(name.substr(at, end - at));
    at = end;
  }
  if (at != name.size()) return std::nullopt;
  return numbers;
}

std::string gguf_name(const GgufMapping& mapping, const std::string& ours) {
  const size_t dot = ours.rfind('.');
  const std::string stem = ours.substr(0, dot), suffix = ours.substr(dot);
  for (const GgufName& row : mapping.names) {
    const auto numbers = match(row.ours, stem);
    if (!numbers) continue;
    std::string out(row.file);
    if (const size_t star = out.find('*'); star != std::string::npos) out.replace(star, 1, numbers->at(0));
    return out + suffix;
  }
  refuse("no name in GGUF files is known for the tensor " + ours, std::string(mapping.architecture));
}

// Rows [half][pair] of every head in the file's order [pair][half].
void interleave(StoredTensor& tensor, int64_t head_dim) {
  const ParameterRange whole = tensor.parts.at(0);
  const int64_t rows = tensor.shape[0], width = whole.count / rows;
  tensor.parts.clear();
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t within = row % head_dim, from = row - within + within / 2 + within % 2 * (head_dim / 2);
    tensor.parts.push_back({whole.parameter, whole.offset + from * width, width});
  }
}

}  // namespace

GgufConfig config_of(const GgufReader& file) {
  const GgufMetadata& metadata = file.metadata();
  const Family& family = family_of(metadata);
  const GgufMapping& mapping = *family.gguf;
  const std::string architecture(mapping.architecture), prefix = architecture + ".";
  std::set<std::string> left;
  for (const auto& [key, value] : metadata.values())
    if (key.starts_with(prefix)) left.insert(key);

  Json config = parse_json(mapping.defaults, "defaults of " + architecture);
  config["model_type"] = family.model_type;
  for (const GgufKey& row : mapping.keys) {
    const std::string key = prefix + std::string(row.file);
    left.erase(key);
    if (row.required && !metadata.has(key)) metadata.reject(key, "is missing");
    if (row.ours.empty() || !metadata.has(key)) continue;
    const Json value = value_of(metadata, key);
    if (value != 0 || row.required) config[std::string(row.ours)] = value;  // a zero is how files say that they have no experts or windows
  }
  const TensorView& embedding = file.at("token_embd.weight");
  if (embedding.shape.size() != 2) refuse("expected a matrix, not " + shape_text(embedding.shape), file.place(embedding));
  config["vocab_size"] = embedding.shape[0];
  config["tie_word_embeddings"] = file.find("output.weight") == nullptr;
  config["torch_dtype"] = embedding.blocks || embedding.dtype == DType::bf16 ? "bfloat16" : "float32";
  for (const auto& [tensor, key] : {std::pair("blk.0.attn_output.bias", "attention_bias"), std::pair("blk.0.ffn_gate.bias", "mlp_bias")})
    if (file.find(tensor) && config.contains("num_attention_heads")) config[key] = true;

  const auto number = [&](const char* key) { return config.contains(key) && config[key].is_number_integer() ? config[key].get<int64_t>() : 0; };
  if (const int64_t heads = number("num_attention_heads"), width = number("hidden_size"); heads > 0) {
    if (!config.contains("num_key_value_heads")) config["num_key_value_heads"] = heads;
    if (!config.contains("head_dim")) config["head_dim"] = width / heads;
    for (const char* key : {"attention.value_length", "rope.dimension_count"})
      if (left.erase(prefix + key) && metadata.integer(prefix + key) != number("head_dim"))
        metadata.reject(prefix + key, "is " + std::to_string(metadata.integer(prefix + key)) + ", other than the heads' width " + std::to_string(number("head_dim")) + ", which this family does not have here");
    if (const Json scaling = take_scaling(metadata, architecture, left); !scaling.is_null()) config["rope_scaling"] = scaling;
    if (file.find(kRotaryFactors) && config.contains("rope_theta") && config["rope_theta"].is_number())
      if (const Json scaling = llama3_scaling(file, config["rope_theta"].get<double>()); !scaling.is_null()) config["rope_scaling"] = scaling;
  }
  if (left.erase(prefix + "vocab_size") && metadata.integer(prefix + "vocab_size") != embedding.shape[0])
    metadata.reject(prefix + "vocab_size", "is " + std::to_string(metadata.integer(prefix + "vocab_size")) + ", token_embd.weight has " + std::to_string(embedding.shape[0]) + " rows");
  if (!left.empty()) metadata.reject(*left.begin(), "is not a key this version understands");

  config["eos_token_id"] = Json::array();
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (metadata.has(key)) config["eos_token_id"].push_back(metadata.integer(key));
  if (metadata.has("tokenizer.ggml.bos_token_id")) config["bos_token_id"] = metadata.integer("tokenizer.ggml.bos_token_id");
  return {&family, std::move(config)};
}

std::vector<StoredTensor> gguf_tensors(const Model& model, const Family& family, const GgufReader& file) {
  std::vector<StoredTensor> out;
  std::map<std::string, size_t> places;
  for (StoredTensor& tensor : family.tensors(model, {})) {
    const std::string ours = std::exchange(tensor.name, gguf_name(*family.gguf, tensor.name));
    if (std::exchange(tensor.transposed, false)) std::swap(tensor.shape[0], tensor.shape[1]);  // matrices are [outputs, inputs] here
    tensor.offset = 0;                                                                         // and gains are what they multiply with
    const std::string layers = "model.layers.";
    if (family.gguf->neighbours && (ours.find(".self_attn.q_proj.") != std::string::npos || ours.find(".self_attn.k_proj.") != std::string::npos))
      interleave(tensor, attention_options(model.spec(), std::stoul(ours.substr(layers.size()))).head_dim);
    const auto [place, fresh] = places.try_emplace(tensor.name, out.size());
    if (fresh) {
      out.push_back(std::move(tensor));
      continue;
    }
    StoredTensor& stack = out[place->second];
    if (stack.shape.size() == tensor.shape.size()) stack.shape.insert(stack.shape.begin(), 1);
    ++stack.shape[0];
    std::move(tensor.parts.begin(), tensor.parts.end(), std::back_inserter(stack.parts));
  }
  // An only expert's stack is one matrix to us, and a vector may be stored as a matrix of one row.
  for (StoredTensor& tensor : out)
    if (const TensorView* view = file.find(tensor.name); view && view->shape.size() != tensor.shape.size()) {
      const auto rest = [](const std::vector<int64_t>& shape) { return std::vector(std::find_if(shape.begin(), shape.end(), [](int64_t n) { return n != 1; }), shape.end()); };
      if (rest(view->shape) == rest(tensor.shape)) tensor.shape = view->shape;
    }
  return out;
}

bool gguf_ignores(const std::string& tensor) { return tensor == kRotaryFactors; }

}  // namespace gamut
