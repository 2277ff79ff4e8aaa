// Mixture of experts: y = Σ over the chosen experts g_e·FFN_e(x) [+ FFN_shared(x)].
// [Shazeer et al. 2017; Fedus et al. 2021; Dai et al., DeepSeekMoE, 2024]
#include <cmath>
#include <cstring>
#include <optional>

#include "modules/channels/channels.h"
#include "modules/channels/routers/router.h"
#include "ops/add.h"
#include "ops/linear.h"
#include "ops/map.h"

namespace gamut {
namespace {

class Moe : public ChannelMixer {
 public:
  Moe(std::unique_ptr<Router> router, ops::FfnWeights experts, std::optional<ops::FfnWeights> shared, Tensor shared_gate, double capacity_factor, int64_t k)
      : router_(std::move(router)), experts_(std::move(experts)), shared_(std::move(shared)), shared_gate_(std::move(shared_gate)), capacity_factor_(capacity_factor), k_(k) {}

  Tensor forward(Pass& pass, const Tensor& x) override {
    const int64_t n = x.rows(), e = experts_.gate.shape()[0];
    ops::Routing routing = router_->route(pass, x);
    if (pass.router_logits && routing.logits_NE) pass.router_logits->push_back(routing.logits_NE);
    int64_t dropped = 0;
    const int64_t capacity = capacity_factor_ > 0 ? static_cast<int64_t>(std::ceil(capacity_factor_ * static_cast<double>(n * k_) / static_cast<double>(e))) : 0;
    Tensor y = ops::moe(pass.tape, x, {routing.index_Nk, routing.weight_Nk, capacity}, experts_, &dropped);
    if (shared_) y = ops::add(pass.tape, y, shared(pass.tape, x));
    if (pass.routing && pass.tape.runs()) {
      RoutingRecord record{.layer = pass.layer, .tokens = n, .k = k_, .balance = routing.balance, .z = routing.z, .dropped = dropped};
      record.load_E.assign(routing.load_E.data<int32_t>(), routing.load_E.data<int32_t>() + e);
      if (pass.routing_choices) record.index_Nk.assign(routing.index_Nk.data<int32_t>(), routing.index_Nk.data<int32_t>() + n * k_);
      pass.routing->push_back(std::move(record));
    }
    return y;
  }

  void after_step() override { router_->after_step(); }

 private:
  // With a gate: a mixture of one expert, which every token takes with its own weight.
  Tensor shared(Tape& tape, const Tensor& x) const {
    if (!shared_gate_) return ops::ffn(tape, x, *shared_);
    const Tensor index = tape.zeros({x.rows(), 1}, DType::i32);
    const Tensor weight = ops::map(tape, kernels::Formula::sigmoid, {ops::linear(tape, x, {shared_gate_, Tensor()}, shared_gate_.dtype())});
    return ops::moe(tape, x, {index, weight.reshape({x.rows(), 1}), 0}, *shared_);
  }

  std::unique_ptr<Router> router_;
  ops::FfnWeights experts_;
  std::optional<ops::FfnWeights> shared_;
  Tensor shared_gate_;  // ? [1, D]
  double capacity_factor_;
  int64_t k_;
};

}  // namespace

MoeOptions MoeOptions::take(Config& cfg) {
  MoeOptions o{};
  o.experts = cfg.take_in<int64_t>("experts", 8, 1, 1 << 16);
  o.top_k = cfg.take_in<int64_t>("top_k", std::min<int64_t>(2, o.experts), 1, 1 << 16);
  if (o.top_k > o.experts) cfg.reject("top_k", "is " + std::to_string(o.top_k) + ", more than the " + std::to_string(o.experts) + " experts");
  o.expert = FfnOptions::take(cfg);
  if (o.expert.bias) cfg.reject("bias", "is not possible in experts");
  o.capacity_factor = cfg.take_in<double>("capacity_factor", 0.0, 0.0, 1e6);
  o.shared_hidden = cfg.take_in<int64_t>("shared_hidden", 0, 0, int64_t{1} << 24);
  o.shared_gate = cfg.take<bool>("shared_gate", false);
  o.router_options = cfg.take_json("router");
  if (o.router_options.is_null()) o.router_options = Json::object();
  if (!o.router_options.is_object()) cfg.reject("router", "must be a table, not " + o.router_options.dump());
  o.router = "topk";
  if (const auto kind = o.router_options.find("kind"); kind != o.router_options.end()) {
    if (!kind->is_string()) cfg.reject("router.kind", "must be a string, not " + kind->dump());
    o.router = *kind;
    o.router_options.erase("kind");
  }
  return o;
}

std::unique_ptr<ChannelMixer> build_moe(const BuildContext& ctx, Config& cfg) {
  const MoeOptions o = MoeOptions::take(cfg);
  Config router_options(o.router_options, cfg.origin(), cfg.prefix() + ".router");
  auto router = find_registered(routers(), o.router, "router").build({ctx, o.experts, o.top_k}, router_options);
  router_options.finish();
  ops::FfnWeights weights = add_ffn(ctx, o.expert, o.experts, static_cast<double>(o.top_k) / static_cast<double>(o.experts));
  std::optional<ops::FfnWeights> shared;
  Tensor shared_gate;
  if (o.shared_hidden > 0) {
    FfnOptions wide = o.expert;
    wide.hidden = o.shared_hidden;
    shared = add_ffn(ctx, wide, o.shared_gate ? 1 : 0, 1, "shared_");
    if (o.shared_gate) shared_gate = ctx.add("shared_router", {1, ctx.spec.width}, Role::router, ctx.matrix());
  }
  return std::make_unique<Moe>(std::move(router), std::move(weights), std::move(shared), shared_gate, o.capacity_factor, o.top_k);
}

}  // namespace gamut
