#include "families/routing_file.h"

#include <cstring>

#include "checkpoints/safetensors.h"

namespace gamut {

void write_routing(const std::vector<RouterChoices>& choices, const std::filesystem::path& path) {
  std::vector<TensorView> views;
  for (const RouterChoices& c : choices) views.push_back({c.router, DType::i32, {c.tokens(), c.slots}, std::as_bytes(std::span(c.index_Nk))});
  write_safetensors(path, views, {{"format", "gamut routing"}});
}

std::vector<RouterChoices> read_routing(const std::filesystem::path& path) {
  const SafetensorsReader file(path);
  std::vector<RouterChoices> out;
  for (const TensorView& view : file.tensors()) {
    if (view.dtype != DType::i32 || view.shape.size() != 2 || view.shape[1] < 1)
      throw Error({.who = "routing",
                   .what = "is " + shape_text(view.shape) + " " + std::string(name_of(view.dtype)) + ", not int32 [tokens, slots]",
                   .where = file.place(view)});
    out.push_back({view.name, view.shape[1], std::vector<int32_t>(static_cast<size_t>(view.elements()))});
    std::memcpy(out.back().index_Nk.data(), view.bytes.data(), view.bytes.size());
  }
  return out;
}

}  // namespace gamut
