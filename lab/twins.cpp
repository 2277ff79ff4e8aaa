#include "lab/twins.h"

#include <algorithm>
#include <cmath>

namespace gamut {
namespace {

ModelSpec base(const TwinShape& s, Component channel) {
  ModelSpec spec;
  spec.vocab = s.vocab;
  spec.width = s.width;
  spec.max_positions = s.length;
  const LayerSpec layer{{"attention", {{"heads", s.heads}, {"kv_heads", s.heads}}}, std::move(channel)};
  spec.layers.assign(static_cast<size_t>(s.layers), layer);
  return spec;
}

Component ffn(int64_t hidden) { return {"ffn", {{"hidden", hidden}}}; }

}  // namespace

int64_t expert_hidden(const TwinShape& s) {
  const double wanted = (static_cast<double>(s.hidden) - static_cast<double>(s.experts) / 3) / static_cast<double>(s.top_k);
  return std::max<int64_t>(16, std::llround(wanted / 16) * 16);
}

ModelSpec dense_twin(const TwinShape& s) { return base(s, ffn(s.hidden)); }

ModelSpec moe_twin(const TwinShape& s, const std::string& router) {
  Json options = {{"kind", router}, {"scale", static_cast<double>(s.top_k)}};
  if (router != "hash") {
    options["score"] = "sigmoid";
    options["balance"] = "bias";
    options["bias_rate"] = 0.01;  // 0.001, as published for long runs, leaves an expert at three shares for hundreds of steps
  }
  return base(s, {"moe", {{"experts", s.experts}, {"top_k", s.top_k}, {"hidden", expert_hidden(s)}, {"router", options}}});
}

ModelSpec null_twin(const TwinShape& s) {
  return base(s, {"moe", {{"experts", 1}, {"top_k", 1}, {"hidden", s.hidden}, {"router", {{"kind", "topk"}, {"score", "softmax"}, {"balance", "none"}}}}});
}

ModelSpec total_twin(const TwinShape& s) { return base(s, ffn(expert_hidden(s) * s.experts + s.experts / 3)); }

}  // namespace gamut
