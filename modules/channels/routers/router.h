// Routers choose experts for tokens.
#pragma once

#include "modules/registry.h"
#include "ops/ffn.h"
#include "ops/route.h"

namespace gamut {

struct RouterContext {
  BuildContext build;
  int64_t experts, k;
};

class Router {
 public:
  virtual ~Router() = default;
  // Choices for x [B, T, D]; auxiliary losses go onto the tape.
  virtual ops::Routing route(Pass& pass, const Tensor& x) = 0;
  virtual void after_step() {}
};

struct RegisteredRouter {
  std::string kind, meaning;
  std::function<std::unique_ptr<Router>(const RouterContext&, Config&)> build;
};
const std::vector<RegisteredRouter>& routers();  // routers/registry.cpp

struct TopKOptions {
  kernels::RouterScore score;
  bool normalise;
  std::string balance;  // none | loss | pooled | bias
  double scale, balance_loss, z_loss, bias_rate;
  static TopKOptions take(Config& cfg);
};

std::unique_ptr<Router> build_topk(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_switch(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_hash(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_random(const RouterContext& ctx, Config& options);

}  // namespace gamut
