// Routers choose experts for tokens.
#pragma once

#include <span>

#include "base/rng.h"
#include "modules/registry.h"
#include "ops/balance.h"
#include "ops/ffn.h"
#include "ops/route.h"

namespace gamut {

struct RouterContext {
  BuildContext build;
  int64_t experts, k;
};

// What a choice depends on. Tests hold routers to it, and models refuse what would be unsound.
enum class RouterSight : uint8_t {
  token,     // the token alone: causal, and a row does not feel its neighbours
  past,      // earlier tokens of its sequence, too
  training,  // in training all tokens of the batch, later ones included; else the token alone
  batch,     // always all tokens of the batch: no causal decoder can use it
};
struct RouterTraits {
  RouterSight sight = RouterSight::token;
  bool needs_ids = false;       // the tokens' ids decide
  bool own_rule = false;        // learns otherwise than by the gradient of the loss
  bool fixed_count = true;      // every token takes top_k experts
  bool interchangeable = true;  // experts renamed together with their router rows change nothing
};

class Router {
 public:
  virtual ~Router() = default;
  // Choices for x [B, T, D]; auxiliary losses go onto the tape.
  virtual ops::Routing route(Pass& pass, const Tensor& x) = 0;
  // What it remembers of earlier positions; null: nothing.
  virtual std::unique_ptr<MixerState> start(Tape&, int64_t /*batch*/) const { return nullptr; }
  // Once per optimizer step; `progress`: the share of the run that is done.
  virtual void after_step(double /*progress*/) {}
};

// ops::select for the mixture that is asked: what is given to it is enforced, what is chosen is noted (Pass::choices_given, choices_made). chosen: as there.
ops::Routing select_experts(Pass& pass, const Tensor& logits_NE, const Tensor& bias_E, const ops::SelectOptions& options, const Tensor& chosen_Nk = Tensor());
// The two halves, for routers that choose otherwise. Null when nothing is given; an Error when it does not fit. empty_slots: −1 may occur.
Tensor given_choices(const Pass& pass, int64_t tokens, int64_t slots, int64_t experts, bool empty_slots = false);
void note_choices(const Pass& pass, const Tensor& index_Nk);

struct RegisteredRouter {
  std::string kind, meaning;
  std::function<std::unique_ptr<Router>(const RouterContext&, Config&)> build;
  RouterTraits traits = {};
};
const std::vector<RegisteredRouter>& routers();  // routers/registry.cpp

// The losses that any router with scores may carry.
struct RouterLosses {
  double balance = 0, z = 0, entropy = 0, variance = 0, importance = 0, sequence = 0, device = 0, communication = 0;
  std::string count = "slots";  // of f: slots | tokens | first
  int64_t devices = 1, reach = 1;
  bool global = false, sample_variance = false;
  // `defaults` hold while the table says nothing; `balance_loss` is taken by the caller.
  static RouterLosses take(Config& cfg, RouterLosses defaults);
  static RouterLosses take(Config& cfg) { return take(cfg, RouterLosses()); }
};
// Puts them onto the tape. What a step's micro-batches share is kept here.
class LossKeeper {
 public:
  LossKeeper(RouterLosses losses, bool unnormalised) : losses_(std::move(losses)), unnormalised_(unnormalised) {}
  void add(Pass& pass, ops::Routing& routing);
  void after_step() { gathered_.clear(); }

 private:
  RouterLosses losses_;
  bool unnormalised_;
  std::vector<int64_t> gathered_;
};

// Whether a second choice of weight `gate` stays on a draw u: 2·gate > u (random) [GShard; fairseq, NLLB], u < gate/0.2 (random_mesh) [Mesh TensorFlow],
// else always.
bool keeps_second(const std::string& rule, double gate, double u);

// Takes the option `score`.
kernels::RouterScore take_score(Config& cfg);

struct TopKOptions {
  kernels::RouterScore score;
  bool normalise;
  std::string balance;  // none | loss | pooled | bias
  double scale, balance_loss, bias_rate, bias_until, jitter, orthogonal_loss;
  std::string bias_rule;
  bool bias_centre;
  double power, epsilon, floor;
  int64_t groups, kept_groups, group_best;  // group_best 0: k/kept_groups
  bool zero_outside, linear_bias, choice_bias, rounded;
  RouterLosses losses;
  static TopKOptions take(Config& cfg);
  ops::SelectOptions select(int64_t k) const;
};

std::unique_ptr<Router> build_topk(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_switch(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_hash(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_random(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_gshard(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_sparsemixer(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_dense(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_noisy_topk(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_hierarchical(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_expert_choice(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_base(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_sinkhorn(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_quantile(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_cosine(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_remoe(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_reinforce(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_stable(const RouterContext& ctx, Config& options);
std::unique_ptr<Router> build_hash_bigram(const RouterContext& ctx, Config& options);

// Experts of every token, [V, k]: the clusters with the nearest centres, by k-means of the tokens' vectors [V, D] [Roller et al., Hash Layers, 2021].
std::vector<int64_t> clustered_table(std::span<const float> vectors_VD, int64_t width, int64_t experts, int64_t k, uint64_t seed);
// Experts of every token, [V, k]: ids by falling frequency, each to the k experts whose tokens are rarest so far (the lowest on ties).
std::vector<int32_t> balanced_table(std::span<const double> frequency_V, int64_t experts, int64_t k);

}  // namespace gamut
