// A router as it is registered, in f64, in front of one row of tokens.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "modules/channels/routers/router.h"
#include "tiny_models.h"

namespace gamut {

struct RouterBench {
  // `options`: of the router, its kind with them ("topk" by default). The tokens are random until set.
  RouterBench(int64_t experts, int64_t k, Json options, uint64_t seed = 1, Tape::Mode mode = Tape::Mode::training, int64_t width = 8, int64_t tokens = 24)
      : spec(tiny_spec({{"width", width}})), parameters(device.arena, DType::f64), tape(device, mode), experts_(experts), k_(k) {
    const std::string kind = options.value("kind", "topk");
    options.erase("kind");
    Config cfg(options, {.source = "test"});
    router = find_registered(routers(), kind, "router").build({{parameters, spec, "r", 0}, experts, k}, cfg);
    cfg.finish();
    parameters.allocate_gradients();
    parameters.initialise(seed, pool);
    std::vector<double> values(static_cast<size_t>(tokens * width));
    const RandomStream stream(seed, "test", "x");
    for (size_t i = 0; i < values.size(); ++i) values[i] = stream.normal(i);
    read(values);
    ids = id_tensor(tape, random_ids(tokens, spec.vocab), 1, tokens, spec.vocab);
  }

  void read(const std::vector<double>& values) {
    x = tape.empty({1, static_cast<int64_t>(values.size()) / spec.width, spec.width}, DType::f64);
    std::copy(values.begin(), values.end(), x.data<double>());
    x.require_grad();
  }
  void set(const char* name, const std::vector<double>& values) {
    std::copy(values.begin(), values.end(), parameters.find(name)->value.data<double>());
    parameters.mark_changed();
  }
  ops::Routing route(const Tensor& counted_N = Tensor()) {
    Pass pass{.tape = tape, .ids_BT = ids, .seed = 5, .counted_N = counted_N};
    return router->route(pass, x);
  }
  Tensor bias() { return parameters.find("r.router_bias")->value; }

  ThreadPool pool{1};
  Device device = Device::real(pool);
  ModelSpec spec;
  Parameters parameters;
  Tape tape;
  std::unique_ptr<Router> router;
  Tensor x, ids;
  int64_t experts_, k_;
};

}  // namespace gamut
