#include <cstring>

#include "base/io.h"
#include "families/family.h"

namespace gamut {
namespace {

template <class P> void append(std::vector<std::byte>& out, DType type, const P* values, int64_t count, double factor, double offset) {
  const auto put = [&]<class S>(S) {
    const size_t at = out.size();
    out.resize(at + static_cast<size_t>(count) * sizeof(S));
    for (int64_t i = 0; i < count; ++i) {
      const P value = (values ? values[i] * static_cast<P>(factor) : P(0)) - static_cast<P>(offset);
      S s;
      if constexpr (std::is_same_v<S, bf16>) s = bf16(static_cast<float>(value));
      else s = static_cast<S>(value);
      std::memcpy(out.data() + at + static_cast<size_t>(i) * sizeof(S), &s, sizeof(S));
    }
  };
  if (type == DType::bf16) put(bf16{});
  else if (type == DType::f64) put(double{});
  else put(float{});
}

}  // namespace

TensorBytes stored_bytes(const Model& model, const StoredTensor& tensor, DType dtype, bool gradients) {
  TensorBytes out{{tensor.name, dtype, tensor.shape, {}}, {}};
  // Stored s = factor·p, so ∂/∂s = ∂/∂p ÷ factor.
  const double factor = gradients ? 1 / tensor.factor : tensor.factor, offset = gradients ? 0 : tensor.offset;
  std::vector<Tensor> values;
  for (const ParameterRange& part : tensor.parts)
    for (const Parameter& p : model.parameters().all())
      if (p.name == part.parameter) values.push_back(!gradients ? p.value : p.value.needs_grad() ? p.value.grad()->value : Tensor());
  if (const Tensor& whole = values[0]; whole && values.size() == 1 && factor == 1 && offset == 0 && !tensor.transposed && whole.dtype() == dtype) {
    const ParameterRange& part = tensor.parts[0];
    out.view.bytes = {whole.raw() + static_cast<size_t>(part.offset) * size_of(dtype), static_cast<size_t>(part.count) * size_of(dtype)};
    return out;
  }
  tensor.each_range([&](size_t part, int64_t first, int64_t count) {
    const Tensor& value = values[part];
    if (model.parameters().dtype() == DType::f64) append(out.owned, dtype, value ? value.data<double>() + first : nullptr, count, factor, offset);
    else append(out.owned, dtype, value ? value.data<float>() + first : nullptr, count, factor, offset);
  });
  if (tensor.transposed) out.owned = transposed(out.owned, tensor.columns(), tensor.rows(), size_of(dtype));
  out.view.bytes = out.owned;
  return out;
}

void save_model(const Model& model, const Tokenizer* tokenizer, const std::filesystem::path& folder, const std::string& dtype) {
  ModelSpec spec = model.spec();
  if (!dtype.empty()) spec.dtype = dtype;
  const Family& family = family_for(spec);
  Json config = family.write(spec).config;
  const DType type = dtype_named(spec.dtype);
  std::set<std::string> buffers;  // biases that steer selection stay exact
  for (const Parameter& p : model.parameters().all())
    if (p.role == Role::buffer) buffers.insert(p.name);
  const std::vector<StoredTensor> tensors = family.tensors(model, {});
  std::vector<TensorView> views;
  for (const StoredTensor& tensor : tensors)
    views.push_back({tensor.name, type == DType::bf16 && buffers.contains(tensor.parts[0].parameter) ? DType::f32 : type, tensor.shape, {}});

  make_folder(folder);
  TensorBytes bytes;  // of one tensor at a time: a large model is not held twice
  write_safetensors(folder / "model.safetensors", views, {{"format", "pt"}}, [&](const TensorView& view) {
    bytes = stored_bytes(model, tensors[static_cast<size_t>(&view - views.data())], view.dtype);
    return bytes.view.bytes;
  });
  // Token ids: those the family wrote belong to the model, others to its tokenizer; without either null, as the families' own defaults would be wrong.
  const auto add = [&](const char* key, std::optional<int32_t> id) {
    if (!config.contains(key)) config[key] = id ? Json(*id) : Json();
  };
  if (tokenizer || family.model_type != "gamut") {
    add("bos_token_id", tokenizer ? tokenizer->bos() : std::nullopt);
    add("eos_token_id", tokenizer ? tokenizer->eos() : std::nullopt);
  }
  if (tokenizer) {
    tokenizer->save(folder);
    Json generation = Json::object();
    for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"})
      if (config.contains(key) && !config[key].is_null()) generation[key] = config[key];
    write_file(folder / "generation_config.json", generation.dump(2) + "\n");
  }
  write_file(folder / "config.json", config.dump(2) + "\n");  // last: a folder with it is whole
}

}  // namespace gamut
