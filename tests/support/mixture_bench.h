// A mixture of experts behind any router, in front of rows of tokens, and its gradient held against finite differences.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "modules/channels/channels.h"
#include "modules/channels/routers/router.h"
#include "tiny_models.h"

namespace gamut {

inline constexpr int64_t kExperts = 7, kHidden = 5, kWidth = 8, kVocab = 13, kLength = 12;  // 7: no other dimension is

// The channel mixer with the first number of choices that the router takes.
struct MixtureBench {
  MixtureBench(const std::string& router, const std::string& dtype, int threads = 1, Json options = Json::object(), bool shapes = false)
      : pool(threads),
        device(shapes ? Device::shapes_only(pool) : Device::real(pool)),
        spec(tiny_spec({{"dtype", dtype}})),
        parameters(device.arena, parameter_dtype(dtype_named(dtype))) {
    const Json base = {{"experts", kExperts}, {"hidden", kHidden}, {"allow_lookahead", true}, {"router", {{"kind", router}}}};
    for (const int64_t choices : {int64_t{2}, int64_t{1}, kExperts}) {
      Json table = base;
      table["top_k"] = choices;
      table.merge_patch(options);
      k = table["top_k"];
      try {
        Config cfg(table, {.source = "test"});
        channel = build_moe({parameters, spec, "channel", 0}, cfg);
        cfg.finish();
        break;
      } catch (const Error&) {
        if (choices == kExperts) throw;
        parameters = Parameters(device.arena, parameter_dtype(dtype_named(dtype)));
      }
    }
    if (!shapes) {
      parameters.initialise(3, pool);
      for (Parameter& p : parameters.all())  // routers that start at zero would choose by place alone
        if (p.role == Role::router && p.init.kind == Init::Kind::constant)
          with_float_type(p.value.dtype(), [&]<class P>() {
            for (int64_t i = 0; i < p.value.elements(); ++i)
              p.value.data<P>()[i] = P(static_cast<float>(0.3 * RandomStream(7, "start", p.name).normal(static_cast<uint64_t>(i))));
          });
    }
    parameters.allocate_gradients();
  }

  Tensor input(Tape& tape, const std::vector<double>& values, int64_t rows) {
    const Tensor x = tape.empty({rows, static_cast<int64_t>(values.size()) / rows / kWidth, kWidth}, dtype_named(spec.dtype));
    if (tape.runs())
      with_float_type(x.dtype(), [&]<class T>() {
        for (size_t i = 0; i < values.size(); ++i) x.data<T>()[i] = T(static_cast<accumulator<T>>(values[i]));
      });
    return x;
  }

  struct Result {
    std::vector<double> y;
    RoutingRecord record;
  };
  Result run(const std::vector<double>& values, const std::vector<int32_t>& ids, int64_t rows = 1, Tape::Mode mode = Tape::Mode::inference,
             std::vector<RouterChoices>* made = nullptr, const std::vector<RouterChoices>* given = nullptr) {
    Tape tape(device, mode);
    std::vector<RoutingRecord> records;
    Pass pass{.tape = tape,
              .ids_BT = id_tensor(tape, ids, rows, static_cast<int64_t>(ids.size()) / rows, kVocab),
              .seed = 5,
              .routing = &records,
              .routing_choices = true,
              .choices_made = made,
              .choices_given = given};
    Result r{elements(channel->forward(pass, input(tape, values, rows))), {}};
    r.record = records.at(0);
    tape.forget();
    return r;
  }

  ThreadPool pool;
  Device device;
  ModelSpec spec;
  Parameters parameters;
  std::unique_ptr<ChannelMixer> channel;
  int64_t k = 0;
};

inline std::vector<double> numbers(int64_t count, uint64_t seed = 1) {
  const RandomStream stream(seed, "router laws");
  std::vector<double> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(stream.normal(static_cast<uint64_t>(i)));
  return out;
}

// Along random directions, in double; parameters that learn by a rule of their own are left out.
inline void expect_slope(MixtureBench& bench, bool own_rule, const std::vector<double>& x, const std::vector<int32_t>& ids) {
  const std::vector<double> c = numbers(kLength * kWidth, 9), dx = numbers(kLength * kWidth, 10);
  const auto loss = [&](const std::vector<double>& values, std::vector<double>* x_gradient) {
    Tape tape(bench.device, Tape::Mode::training);
    Tensor in = bench.input(tape, values, 2);
    in.require_grad();
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, ids, 2, kLength / 2, kVocab), .seed = 5};
    const Tensor y = bench.channel->forward(pass, in), dy = tape.empty(y.shape(), y.dtype());
    double value = tape.total_loss();
    for (int64_t i = 0; i < y.elements(); ++i) {
      value += c[static_cast<size_t>(i)] * y.data<double>()[i];
      dy.data<double>()[i] = c[static_cast<size_t>(i)];
    }
    if (!x_gradient) {
      tape.forget();
      return value;
    }
    tape.give(y.grad(), dy);
    tape.backward();
    *x_gradient = elements(in.grad()->value);
    return value;
  };
  std::vector<double> gx;
  loss(x, &gx);
  double slope = 0;
  for (size_t i = 0; i < gx.size(); ++i) slope += own_rule ? 0 : gx[i] * dx[i];
  std::vector<std::vector<double>> directions;
  for (Parameter& p : bench.parameters.all()) {
    const bool moves = p.trained && !(own_rule && p.role == Role::router);
    directions.push_back(moves ? numbers(p.value.elements(), std::hash<std::string>{}(p.name)) : std::vector<double>(static_cast<size_t>(p.value.elements())));
    if (moves)
      for (int64_t i = 0; i < p.value.elements(); ++i) slope += directions.back()[static_cast<size_t>(i)] * p.value.grad()->value.data<double>()[i];
  }
  const auto moved = [&](double step) {
    const auto shift = [&](double by) {
      size_t k = 0;
      for (Parameter& p : bench.parameters.all()) {
        for (int64_t i = 0; i < p.value.elements(); ++i) p.value.data<double>()[i] += by * directions[k][static_cast<size_t>(i)];
        ++k;
      }
      bench.parameters.mark_changed();
    };
    std::vector<double> values = x;
    for (size_t i = 0; i < values.size() && !own_rule; ++i) values[i] += step * dx[i];
    shift(step);
    const double value = loss(values, nullptr);
    shift(-step);
    return value;
  };
  constexpr double h = 1e-6;
  const double numeric = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
  EXPECT_NEAR(slope, numeric, 1e-6 * std::abs(numeric) + 1e-8);
}

}  // namespace gamut
