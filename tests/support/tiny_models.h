// Models of a few thousand parameters, and passes through them, for tests of levels above modules.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/rng.h"
#include "modules/model.h"

namespace gamut {

// Two layers of width 8 with grouped-query attention over a vocabulary of 13, in f64; `changes` are merged into the table.
inline ModelSpec tiny_spec(const Json& changes = Json::object()) {
  Json table = {{"vocab", 13}, {"width", 8}, {"layers", 2}, {"dtype", "f64"}, {"init_std", 0.3}, {"max_positions", 64},
                {"mixer", {{"kind", "attention"}, {"heads", 2}, {"kv_heads", 1}}}, {"channel", {{"kind", "ffn"}, {"hidden", 12}}}};
  table.merge_patch(changes);
  Config cfg(table, {.source = "test"});
  ModelSpec spec = ModelSpec::from_config(cfg);
  cfg.finish();
  return spec;
}

// Four experts, two chosen; `options` are merged into the channel's table, `changes` into the model's.
inline ModelSpec tiny_moe(const Json& options = Json::object(), const Json& changes = Json::object()) {
  Json channel = {{"kind", "moe"}, {"experts", 4}, {"top_k", 2}, {"hidden", 6}};
  channel.merge_patch(options);
  Json all = changes;
  all["channel"] = channel;
  return tiny_spec(all);
}

// Two layers that look at an encoder of two; its sizes differ from the decoder's.
inline ModelSpec tiny_encoder_decoder(const Json& changes = Json::object()) {
  Json all = {{"cross", {{"kind", "cross_attention"}, {"heads", 2}}}, {"encoder", {{"layers", 2}, {"mixer", {{"heads", 2}}}, {"channel", {{"hidden", 10}}}}}};
  all.merge_patch(changes);
  return tiny_spec(all);
}

// The built model with gradients; every parameter drawn at random and moved a little, so that no gain is 1 and no bias 0.
struct TinyModel {
  TinyModel(const ModelSpec& spec, ThreadPool& pool, uint64_t seed = 1) : device(Device::real(pool)), model(spec, device) {
    model.parameters().allocate_gradients();
    model.parameters().initialise(seed, pool);
    for (Parameter& p : model.parameters().all()) {
      if (p.role != Role::norm && p.role != Role::bias) continue;
      const RandomStream stream(seed, "test", p.name);
      for (int64_t i = 0; i < p.value.elements(); ++i) {
        const double moved = 0.2 * stream.normal(static_cast<uint64_t>(i));
        if (p.value.dtype() == DType::f64) p.value.data<double>()[i] += moved;
        else p.value.data<float>()[i] += static_cast<float>(moved);
      }
    }
    model.parameters().mark_changed();
  }
  Device device;
  Model model;
};

// `count` token ids, the same for the same seed.
inline std::vector<int32_t> random_ids(int64_t count, int64_t vocab, uint64_t seed = 1) {
  const RandomStream stream(seed, "test", "ids");
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(stream.below(i, static_cast<uint64_t>(vocab)));
  return ids;
}

inline double element(const Tensor& t, int64_t i) {
  return t.dtype() == DType::f64 ? t.data<double>()[i] : t.dtype() == DType::f32 ? static_cast<double>(t.data<float>()[i]) : static_cast<double>(static_cast<float>(t.data<bf16>()[i]));
}

inline std::vector<double> elements(const Tensor& t) {
  std::vector<double> out(static_cast<size_t>(t.elements()));
  for (size_t i = 0; i < out.size(); ++i) out[i] = element(t, static_cast<int64_t>(i));
  return out;
}

}  // namespace gamut
