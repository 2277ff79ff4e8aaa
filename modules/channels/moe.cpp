// Mixture of experts: y = Σ over the chosen experts g_e·FFN_e(x) [+ FFN_shared(x)].
// [Shazeer et al. 2017; Fedus et al. 2021; Dai et al., DeepSeekMoE, 2024]
#include <algorithm>
#include <cmath>
#include <optional>

#include "modules/channels/channels.h"
#include "modules/channels/routers/router.h"
#include "modules/channels/weightless.h"
#include "ops/add.h"
#include "ops/balance.h"
#include "ops/constant.h"
#include "ops/linear.h"
#include "ops/map.h"
#include "ops/mix.h"
#include "ops/rowwise.h"
#include "ops/slots.h"

namespace gamut {
namespace {

struct SharedExpert {
  ops::FfnWeights weights;
  Tensor gate = {};                // ? [1, D]: σ
  Tensor mix = {}, mix_bias = {};  // ? [2, D], [2]: shares of the routed and the shared part
};

// Projections around routed experts: [L, D] and [D, L]; null: none.
struct Latent {
  Tensor down = {}, up = {};
};

class Moe : public ChannelMixer {
 public:
  Moe(const BuildContext& ctx, const MoeOptions& options, std::unique_ptr<Router> router, ops::FfnWeights experts, WeightlessExperts weightless, Latent latent,
      std::optional<SharedExpert> shared, Tensor bias)
      : options_(options),
        name_(ctx.prefix),
        router_(std::move(router)),
        experts_(std::move(experts)),
        weightless_(std::move(weightless)),
        latent_(std::move(latent)),
        shared_(std::move(shared)),
        bias_(std::move(bias)) {}

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    pass.mixture = &name_;
    ops::Routing routing = router_->route(pass, x);
    if (pass.router_logits && routing.logits_NE) pass.router_logits->push_back(routing.logits_NE);
    ops::Dispatch dispatch{routing.index_Nk, routing.weight_Nk, routing.most_rows};
    int64_t dropped = 0;
    if (options_.drop.limited() && (options_.drop.always || tape.training())) limit(pass, routing, dispatch, dropped);
    Tensor shares;
    if (shared_ && shared_->mix) {
      shares = two_shares(tape, x);
      dispatch.weight_Nk = times_share(tape, dispatch.weight_Nk, shares);
    }
    if (pass.routing && tape.runs()) record(pass, routing, dispatch, dropped);
    Tensor passed;  // by experts without matrices
    if (options_.routed() > options_.experts) passed = weightless_.take(tape, x, dispatch);
    const Tensor in = latent_.down ? ops::linear(tape, x, {latent_.down, Tensor()}) : x;
    const bool apart = options_.weigh_input || (options_.output_orthogonality > 0 && tape.training() && options_.top_k > 1);
    Tensor y = apart ? choice_by_choice(pass, in, dispatch) : ops::moe(tape, in, dispatch, experts_);
    if (latent_.up) y = ops::linear(tape, y, {latent_.up, Tensor()});
    if (passed) y = ops::add(tape, y, passed.reshape(y.shape()));
    if (shared_) y = ops::add(tape, y, shared(pass, x, shares));
    if (bias_) y = ops::map(tape, kernels::Formula::affine, {y}, {ops::constant(tape, bias_.shape(), bias_.dtype(), 1), bias_});
    return y;
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch) const override { return router_->start(tape, batch); }
  void after_step(double progress) override { router_->after_step(progress); }

 private:
  // Drops what does not fit from the dispatch.
  void limit(Pass& pass, const ops::Routing& routing, ops::Dispatch& dispatch, int64_t& dropped) const {
    Tape& tape = pass.tape;
    const DropOptions& o = options_.drop;
    const int64_t n = routing.index_Nk.rows(), group = o.group == "batch" ? n : o.group == "sequence" ? pass.length() : std::min(o.group_tokens, n);
    const int64_t bins = o.devices > 0 ? o.devices : options_.routed();
    ops::CapacityOptions c{.rule = o.rule,
                           .choices_first = o.choices_first,
                           .limit = o.capacity(group, options_.top_k, bins, tape.training()),
                           .share = options_.routed() / bins,
                           .group = group};
    std::vector<double> key;
    if (c.rule == ops::DropRule::random && tape.runs()) {
      const RandomStream stream(pass.seed, "drop", name_);
      for (int64_t t = 0; t < n; ++t) key.push_back(stream.uniform(static_cast<uint64_t>(pass.first_row + t)));
      c.key_N = key.data();
    }
    std::vector<uint8_t> exempt;
    if (o.exempt > 0 && tape.training() && tape.runs()) {
      const RandomStream stream(pass.seed, "drop exempt", name_);
      for (int64_t t = 0; t < n; ++t) exempt.push_back(stream.uniform(static_cast<uint64_t>((pass.first_row + t) / pass.length())) < o.exempt);
      c.exempt_N = exempt.data();
    }
    if (o.skip_padding && pass.counted_N) c.counted_N = &pass.counted_N;
    if (routing.scores_NE) c.scores_NE = &routing.scores_NE;
    dispatch.index_Nk = ops::drop(tape, routing.index_Nk, routing.weight_Nk, options_.routed(), c, &dropped);
    const int64_t most = n / std::max<int64_t>(group, 1) * c.limit * bins;
    if (o.exempt <= 0 || !tape.training()) dispatch.most_rows = dispatch.most_rows > 0 ? std::min(dispatch.most_rows, most) : most;
    if (o.kept_sum > 0) dispatch.weight_Nk = ops::renormalised(tape, dispatch.index_Nk, dispatch.weight_Nk, 1.1920929e-7, o.kept_sum);
  }

  // A row for every choice: what goes into an expert may be weighed, and what comes out is seen alone.
  Tensor choice_by_choice(Pass& pass, const Tensor& x, const ops::Dispatch& dispatch) const {
    Tape& tape = pass.tape;
    const Tensor& weight = dispatch.weight_Nk;
    const int64_t n = x.rows(), k = weight.width();
    const Tensor ones = ops::constant(tape, {n, k}, weight.dtype(), 1);
    const Tensor rows = ops::weighted_copies(tape, x, options_.weigh_input ? weight : ones);
    const Tensor given = ops::moe(tape, rows, {dispatch.index_Nk.reshape({n * k, 1}), ones.reshape({n * k, 1}), dispatch.most_rows}, experts_);
    if (options_.output_orthogonality > 0 && tape.training() && k > 1)
      ops::output_orthogonality_loss(tape, given, k, options_.output_orthogonality * pass.loss_scale);
    return options_.weigh_input ? ops::sum_of_copies(tape, given, k, x.shape()) : ops::mix(tape, weight, given, n, ops::MixTo::tokens).reshape(x.shape());
  }

  // [N, 2]: softmax(W x + b).
  Tensor two_shares(Tape& tape, const Tensor& x) const {
    return ops::rowwise(
        tape, "router", ops::router_logits(tape, x, shared_->mix, shared_->mix_bias), 2,
        [](int64_t, const double* h, double* p) {
          p[0] = 1 / (1 + std::exp(h[1] - h[0]));
          p[1] = 1 - p[0];
        },
        [](int64_t, const double* h, const double* d, double* dh) {
          const double p = 1 / (1 + std::exp(h[1] - h[0])), slope = p * (1 - p) * (d[0] - d[1]);
          dh[0] = slope;
          dh[1] = -slope;
        });
  }

  static Tensor times_share(Tape& tape, const Tensor& weight, const Tensor& shares) {
    const int64_t k = weight.width();
    return ops::rowwise(
        tape, "router", ops::beside(tape, weight, shares), k,
        [k](int64_t, const double* in, double* out) {
          for (int64_t j = 0; j < k; ++j) out[j] = in[j] * in[k];
        },
        [k](int64_t, const double* in, const double* d, double* d_in) {
          for (int64_t j = 0; j < k; ++j) {
            d_in[j] = d[j] * in[k];
            d_in[k] += d[j] * in[j];
          }
        });
  }

  // With a gate or a share: a mixture of one expert, which every token takes with its own weight.
  Tensor shared(Pass& pass, const Tensor& x, const Tensor& shares) const {
    Tape& tape = pass.tape;
    RoutingRecord* record = pass.routing && tape.runs() ? &pass.routing->back() : nullptr;
    if (record) record->shared = static_cast<double>(x.rows());
    if (!shared_->gate && !shares) return ops::ffn(tape, x, shared_->weights);
    const Tensor index = tape.zeros({x.rows(), 1}, DType::i32);
    const Tensor weight = shares ? ops::rowwise(
                                       tape, "router", shares, 1, [](int64_t, const double* p, double* out) { out[0] = p[1]; },
                                       [](int64_t, const double*, const double* d, double* dp) { dp[1] = d[0]; })
                                 : ops::map(tape, kernels::Formula::sigmoid, {ops::linear(tape, x, {shared_->gate, Tensor()}, shared_->gate.dtype())});
    if (record) record->shared = sum_of(weight);
    return ops::moe(tape, x, {index, weight.reshape({x.rows(), 1})}, shared_->weights);
  }

  static double sum_of(const Tensor& weights) {
    double sum = 0;
    with_float_type(weights.dtype(), [&]<class P>() {
      for (const P w : weights.span<P>()) sum += static_cast<double>(w);
    });
    return sum;
  }

  void record(Pass& pass, const ops::Routing& routing, const ops::Dispatch& dispatch, int64_t dropped) const {
    const int64_t n = routing.index_Nk.rows(), k = routing.index_Nk.width(), e = routing.load_E.elements();
    RoutingRecord record{.layer = pass.layer, .tokens = n, .k = options_.top_k, .balance = routing.balance, .z = routing.z, .dropped = dropped};
    record.load_E.assign(routing.load_E.data<int32_t>(), routing.load_E.data<int32_t>() + e);
    if (routing.scores_NE) record.entropy = ops::mean_entropy(pass.tape, routing.scores_NE) / std::log(std::max<double>(2, static_cast<double>(e)));
    if (routing.logits_NE) record.logit_square = ops::mean_square(pass.tape, routing.logits_NE);
    if (e <= RoutingRecord::kMostPairedExperts && k > 1) count_pairs(routing.index_Nk, e, record.pairs);
    const int32_t* taken = dispatch.index_Nk.data<int32_t>();
    record.gate_E.resize(static_cast<size_t>(e));
    with_float_type(dispatch.weight_Nk.dtype(), [&]<class P>() {
      for (int64_t i = 0; i < n * k; ++i)
        if (taken[i] >= 0) record.gate_E[static_cast<size_t>(taken[i])] += static_cast<double>(dispatch.weight_Nk.data<P>()[i]);
    });
    if (pass.routing_choices) record.index_Nk.assign(taken, taken + n * k);
    pass.routing->push_back(std::move(record));
  }

  static void count_pairs(const Tensor& index, int64_t e, std::vector<int64_t>& pairs) {
    pairs.assign(static_cast<size_t>(e * (e - 1) / 2), 0);
    const int64_t k = index.width();
    for (int64_t t = 0; t < index.rows(); ++t)
      for (int64_t i = t * k; i < (t + 1) * k; ++i)
        for (int64_t j = i + 1; j < (t + 1) * k; ++j) {
          const int64_t a = std::min(index.data<int32_t>()[i], index.data<int32_t>()[j]), b = std::max(index.data<int32_t>()[i], index.data<int32_t>()[j]);
          if (a >= 0 && a != b) ++pairs[static_cast<size_t>(a * (2 * e - a - 1) / 2 + b - a - 1)];
        }
  }

  MoeOptions options_;
  std::string name_;
  std::unique_ptr<Router> router_;
  ops::FfnWeights experts_;
  WeightlessExperts weightless_;
  Latent latent_;
  std::optional<SharedExpert> shared_;
  Tensor bias_;  // ? of the whole
};

}  // namespace

void RoutingRecord::add(const RoutingRecord& more, double share) {
  layer = more.layer;
  k = more.k;
  tokens += more.tokens;
  dropped += more.dropped;
  balance += share * more.balance;
  z += share * more.z;
  entropy += share * more.entropy;
  logit_square += share * more.logit_square;
  load_E.resize(more.load_E.size());
  for (size_t e = 0; e < load_E.size(); ++e) load_E[e] += more.load_E[e];
  shared += more.shared;
  gate_E.resize(more.gate_E.size());
  for (size_t e = 0; e < gate_E.size(); ++e) gate_E[e] += more.gate_E[e];
  pairs.resize(more.pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i] += more.pairs[i];
}

double max_violation(const std::vector<int64_t>& load_E) {
  double sum = 0;
  for (const int64_t n : load_E) sum += static_cast<double>(n);
  return sum > 0 ? static_cast<double>(*std::max_element(load_E.begin(), load_E.end())) * static_cast<double>(load_E.size()) / sum - 1 : 0.0;
}

double RoutingRecord::mean_gate() const {
  double sum = 0;
  for (const double g : gate_E) sum += g;
  return tokens > 0 ? sum / static_cast<double>(tokens) : 0.0;
}

DropOptions DropOptions::take(Config& cfg) {
  DropOptions o{};
  o.factor = cfg.take_in<double>("capacity_factor", 0.0, 0.0, 1e6);
  o.factor_later = cfg.take_in<double>("capacity_factor_later", 0.0, 0.0, 1e6);
  o.slots = cfg.take_in<int64_t>("capacity", 0, 0, int64_t{1} << 40);
  if (o.factor > 0 && o.slots > 0) cfg.reject("capacity", "and capacity_factor exclude each other");
  o.least = cfg.take_in<int64_t>("capacity_min", 0, 0, int64_t{1} << 40);
  o.formula = cfg.take_choice("capacity_formula", "ceil", {"ceil", "floor", "tutel", "fairseq", "tokens"});
  o.group = cfg.take_choice("capacity_group", "batch", {"batch", "sequence", "tokens"});
  o.group_tokens = cfg.take_in<int64_t>("group_tokens", 1024, 1, int64_t{1} << 40);
  const std::string rule = cfg.take_choice("drop", "position", {"position", "probability", "prioritised", "random"});
  o.rule = rule == "position"      ? ops::DropRule::position
           : rule == "probability" ? ops::DropRule::probability
           : rule == "prioritised" ? ops::DropRule::prioritised
                                   : ops::DropRule::random;
  o.choices_first = cfg.take_choice("drop_order", "token", {"token", "choice"}) == "choice";
  o.always = cfg.take_choice("drop_when", "training", {"training", "always"}) == "always";
  if (o.factor_later > 0 && (!o.always || o.factor == 0))
    cfg.reject("capacity_factor_later", "is of evaluation and decoding, where nothing is dropped", "set capacity_factor and drop_when = \"always\"");
  o.devices = cfg.take_in<int64_t>("capacity_devices", 0, 0, 1 << 16);
  o.exempt = cfg.take_in<double>("drop_exempt", 0.0, 0, 1);
  o.skip_padding = cfg.take<bool>("drop_padding", false);
  o.kept_sum = cfg.take_in<double>("kept_sum", 0.0, 0, 1e6);
  return o;
}

int64_t DropOptions::capacity(int64_t tokens, int64_t k, int64_t experts, bool training) const {
  const auto t = static_cast<double>(tokens), e = static_cast<double>(experts), chosen = static_cast<double>(k);
  double c = static_cast<double>(slots);
  if (const double times = !training && factor_later > 0 ? factor_later : factor; times > 0) {
    if (formula == "ceil")
      c = std::ceil(times * t * chosen / e);
    else if (formula == "floor")
      c = std::floor(times * t * chosen / e);
    else if (formula == "tutel")
      c = chosen * std::floor(times * std::ceil(t / e));
    else if (formula == "fairseq")
      c = chosen * std::ceil(t / e);
    else
      c = std::ceil(times * t);
  }
  return std::max(static_cast<int64_t>(c), least);
}

MoeOptions MoeOptions::take(Config& cfg) {
  MoeOptions o{};
  o.experts = cfg.take_in<int64_t>("experts", 8, 1, 1 << 16);
  o.zero_experts = cfg.take_in<int64_t>("zero_experts", 0, 0, 1 << 16);
  o.identity_experts = cfg.take_in<int64_t>("identity_experts", 0, 0, 1 << 16);
  o.constant_experts = cfg.take_in<int64_t>("constant_experts", 0, 0, 1 << 16);
  o.latent = cfg.take_in<int64_t>("latent", 0, 0, 1 << 20);
  o.top_k = cfg.take_in<int64_t>("top_k", std::min<int64_t>(2, o.routed()), 1, 1 << 16);
  if (o.top_k > o.routed()) cfg.reject("top_k", "is " + std::to_string(o.top_k) + ", more than the " + std::to_string(o.routed()) + " experts");
  o.expert = FfnOptions::take(cfg);
  o.drop = DropOptions::take(cfg);
  if (o.drop.devices > 0 && o.routed() % o.drop.devices != 0)
    cfg.reject("capacity_devices", "must divide the " + std::to_string(o.routed()) + " experts, not be " + std::to_string(o.drop.devices));
  o.output_orthogonality = cfg.take_in<double>("output_orthogonality", 0.0, 0, 100);
  o.shared_hidden = cfg.take_in<int64_t>("shared_hidden", 0, 0, int64_t{1} << 24);
  o.shared_gate = cfg.take<bool>("shared_gate", false);
  o.output_bias = cfg.take<bool>("output_bias", false);
  o.shared_bias = cfg.take<bool>("shared_bias", o.expert.bias);
  o.residual = cfg.take<bool>("residual", false);
  if (o.residual && (o.shared_hidden == 0 || o.shared_gate))
    cfg.reject("residual", "needs shared_hidden and no shared_gate: it weighs the routed and the shared part by itself");
  o.weigh_input = cfg.take_choice("weigh", "output", {"output", "input"}) == "input";
  o.allow_lookahead = cfg.take<bool>("allow_lookahead", false);
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
  const RegisteredRouter& row = find_registered(routers(), o.router, "router");
  if (ctx.spec.objective.kind == "causal" && !o.allow_lookahead) {
    if (row.traits.sight == RouterSight::batch)
      cfg.reject("router.kind",
                 "is " + o.router + ", which looks at later tokens: a causal model would see the future while it trains and could not decode alike",
                 "allow_lookahead = true allows it");
    if (o.drop.always && o.drop.looks_ahead())
      cfg.reject("drop", "by this rule and order lets later tokens decide what is dropped of earlier ones, also in decoding",
                 "drop_when = \"training\", or allow_lookahead = true");
  }
  Config router_options(o.router_options, cfg.origin(), cfg.prefix() + ".router");
  auto router = row.build({ctx, o.routed(), o.top_k}, router_options);
  router_options.finish();
  ops::FfnWeights weights = add_ffn(ctx, o.expert, o.experts, std::min(1.0, static_cast<double>(o.top_k) / static_cast<double>(o.routed())), "", o.latent);
  Latent latent;
  if (o.latent > 0) {
    latent.down = ctx.add("latent_down", {o.latent, ctx.spec.width}, Role::matrix, ctx.matrix());
    latent.up = ctx.add("latent_up", {ctx.spec.width, o.latent}, Role::matrix, ctx.into_residual());
  }
  WeightlessExperts weightless{.experts = o.experts, .zero = o.zero_experts, .identity = o.identity_experts, .constant = o.constant_experts};
  if (o.constant_experts > 0) {
    weightless.value = ctx.add("constant", {ctx.spec.width, o.constant_experts}, Role::matrix, ctx.into_residual());
    weightless.mix = ctx.add("constant_mix", {2 * o.constant_experts, ctx.spec.width}, Role::router, ctx.matrix());
  }
  std::optional<SharedExpert> shared;
  if (o.shared_hidden > 0) {
    FfnOptions wide = o.expert;
    wide.hidden = o.shared_hidden;
    wide.bias = o.shared_bias;
    shared = SharedExpert{add_ffn(ctx, wide, o.shared_gate || o.residual ? 1 : 0, 1, "shared_")};
    if (o.residual) {
      shared->mix = ctx.add("shared_mix", {2, ctx.spec.width}, Role::router, ctx.matrix());
      shared->mix_bias = ctx.add("shared_mix_bias", {2}, Role::bias, Init::constant(0));
    }
    if (o.shared_gate) shared->gate = ctx.add("shared_router", {1, ctx.spec.width}, Role::router, ctx.matrix());
  }
  const Tensor bias = o.output_bias ? ctx.add("output_bias", {ctx.spec.width}, Role::bias, Init::constant(0)) : Tensor();
  return std::make_unique<Moe>(ctx, o, std::move(router), std::move(weights), std::move(weightless), std::move(latent), std::move(shared), bias);
}

}  // namespace gamut
