// One mixture of experts in f64 with what goes into it, for plain computations from its weights.
#pragma once

#include <cmath>
#include <numeric>

#include "modules/channels/channels.h"
#include "modules/channels/routers/router.h"
#include "tiny_models.h"

namespace gamut {

inline constexpr int64_t kTokens = 10, kWidth = 8, kVocab = 13;

struct MoeLayer {
  explicit MoeLayer(const Json& options, double spread = 0.3)
      : device(Device::real(pool)), spec(tiny_spec({{"init_std", spread}})), parameters(device.arena, DType::f64) {
    Json table = {{"experts", 4}, {"top_k", 2}, {"hidden", 6}};
    table.merge_patch(options);
    Config cfg(table, {.source = "test"});
    channel = build_moe({parameters, spec, "c", 0}, cfg);
    cfg.finish();
    parameters.initialise(2, pool);
    parameters.allocate_gradients();
    for (Parameter& p : parameters.all())
      if (p.role == Role::bias)
        for (int64_t i = 0; i < p.value.elements(); ++i) p.value.data<double>()[i] += 0.1 * std::sin(static_cast<double>(3 * i + 1));
    const RandomStream stream(4, "variants");
    for (int64_t i = 0; i < kTokens * kWidth; ++i) x.push_back(stream.normal(static_cast<uint64_t>(i)));
  }
  Tensor input(Tape& tape) {
    const Tensor t = tape.empty({1, kTokens, kWidth}, DType::f64);
    std::copy(x.begin(), x.end(), t.data<double>());
    return t;
  }
  Tensor run(Tape& tape, RoutingRecord* record = nullptr, std::shared_ptr<Tensor> losses = nullptr) {
    std::vector<RoutingRecord> records;
    Pass pass{.tape = tape,
              .ids_BT = id_tensor(tape, ids, 1, kTokens, kVocab),
              .seed = 5,
              .token_loss_N = std::move(losses),
              .routing = &records,
              .routing_choices = true};
    const Tensor y = channel->forward(pass, input(tape));
    if (record) *record = records.at(0);
    return y;
  }
  const double* weights(const char* name) { return parameters.find(std::string("c.") + name)->value.data<double>(); }
  double dot(const double* w, int64_t token) const { return std::inner_product(w, w + kWidth, x.begin() + token * kWidth, 0.0); }

  ThreadPool pool{1};
  Device device;
  ModelSpec spec;
  Parameters parameters;
  std::unique_ptr<ChannelMixer> channel;
  std::vector<double> x;
  std::vector<int32_t> ids = random_ids(kTokens, kVocab);
};

}  // namespace gamut
