// What layers are made of, and what one pass through a model carries along.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/tape.h"
#include "kernels/activation.h"
#include "kernels/attention.h"
#include "modules/parameters.h"
#include "modules/spec.h"
#include "ops/attention.h"
#include "ops/balance.h"
#include "ops/linear.h"

namespace gamut {

// Memory of a sequence mixer between calls: a value. Copies are snapshots.
class MixerState {
 public:
  virtual ~MixerState() = default;
  virtual std::unique_ptr<MixerState> clone() const = 0;
  virtual size_t bytes() const = 0;
  virtual int64_t length() const = 0;                // positions seen
  virtual bool truncate(int64_t length) = 0;         // forget later positions; false when the mixer cannot
  // All that continuing with the same bits needs, as bytes that outlive this process…
  virtual std::vector<std::byte> to_bytes() const = 0;
  // …and back, into a state that the same model's start() made for as many rows. Error when the bytes do not fit it, which is then as before.
  virtual void from_bytes(Tape& tape, std::span<const std::byte> bytes) = 0;
};

// What a mixture of experts did in one layer, in one pass: for metrics, reports and bias updates.
struct RoutingRecord {
  int layer = 0;
  int64_t tokens = 0, k = 0;
  std::vector<int64_t> load_E;  // slots each expert was chosen for
  double balance = 0, z = 0;    // loss values without coefficients
  double entropy = 0;           // of the scores, mean over tokens, divided by ln E; 0 when nothing is scored
  double logit_square = 0;      // mean square of the router's logits
  std::vector<int64_t> pairs;   // tokens that took experts a < b together, (0,1), (0,2) … (1,2) …; empty beyond kMostPairedExperts
  int64_t dropped = 0;
  std::vector<double> gate_E;   // Σ of the weights each expert was given
  double shared = 0;            // Σ of the shared expert's weights; without a gate of its own each is 1
  std::vector<int32_t> index_Nk;  // only when choices are asked for; −1: dropped, or a slot without an expert

  static constexpr int64_t kMostPairedExperts = 256;
  // Adds what another micro-batch of the step did, whose share of the step's tokens is `share`; `*this` starts empty.
  void add(const RoutingRecord& more, double share);
  double mean_gate() const;  // Σ of a token's weights, mean over tokens
};

// Load of the fullest expert over the mean, less 1; 0 when nothing was chosen.
double max_violation(const std::vector<int64_t>& load_E);

// Experts that the router of one mixture chose, before any were dropped: to be saved, looked at, or enforced in another run.
struct RouterChoices {
  std::string router;             // "layers.0.channel"
  int64_t slots = 0;
  std::vector<int32_t> index_Nk;  // −1: none, of routers that choose any number
  int64_t tokens() const { return slots > 0 ? static_cast<int64_t>(index_Nk.size()) / slots : 0; }
  // Of rows first … first + count − 1 when there are `of`.
  RouterChoices rows(int64_t first, int64_t count, int64_t of) const;
};

// Adds what a later call chose, router by router.
void append_choices(std::vector<RouterChoices>& to, const std::vector<RouterChoices>& more);

// One run of tokens [B, T] through a model.
struct Pass {
  Tape& tape;
  Tensor ids_BT;                    // int32
  int64_t offset = 0;               // position of the first token
  ops::Visibility visibility;       // who sees whom
  Tensor token_types_BT;            // ? int32, of models with token types; null: all 0
  const Tensor* encoded_BSD = nullptr;  // what the encoder made of the source, for layers that look at it
  ops::Visibility source_visibility{.sight = {.causal = false}};  // … and which of its positions they see
  double loss_scale = 1;            // this micro-batch's share of the step, for auxiliary losses
  uint64_t seed = 0;                // of what is drawn in training: row n of the call draws at place first_row + n of its streams
  int64_t first_row = 0;            // tokens of the run before this call
  std::shared_ptr<Tensor> token_loss_N = nullptr;  // ? filled with every token's loss before the pass is undone, for routers that learn from it
  std::vector<std::unique_ptr<MixerState>>* states = nullptr;  // as Model::start made them: T new tokens after those seen before
  std::vector<RoutingRecord>* routing = nullptr;               // wanted when set
  bool routing_choices = false;
  std::vector<RouterChoices>* choices_made = nullptr;          // of every mixture that chooses by tokens; wanted when set
  const std::vector<RouterChoices>* choices_given = nullptr;   // enforced when set
  std::vector<Tensor>* router_logits = nullptr;                // [N, E] of every layer that routes by scores; wanted when set
  std::vector<Tensor>* hidden_states = nullptr;                // [B, T, D] before each layer and at the end; wanted when set
  Tensor counted_N;                 // ? u8 [B·T]: rows that count in a balancing loss pooled over layers; null: all
  // Left by routers whose balancing loss is pooled over layers; the model adds the loss at the end.
  std::vector<ops::LayerScores> pooled;
  double pooled_coefficient = 0;
  ops::DistanceBias relative_bias;  // left by an attention with a table of its own, for those that share it [T5]
  Tensor shortcut;                  // left by a channel mixer for the next layer's to add [LongCat-Flash]
  Tensor further;                   // left by the head of further_depth for the next such head to go on from
  int64_t further_depth = 0;
  Tensor first_values;              // values of the first mixer that leaves them, for mixers that mix them in later [RWKV-7]
  // Filled by the model for the component it is about to run.
  Tensor positions_N;               // int32 [B·T]
  int layer = 0;
  const std::string* mixture = nullptr;  // name of the mixture of experts whose router is asked
  MixerState* state = nullptr;      // the component's own; null without states, and for components that have none

  int64_t batch() const { return ids_BT.shape()[0]; }
  int64_t length() const { return ids_BT.shape()[1]; }
};

// Axis 3's end of a model: named results computed from the last hidden states.
class Head {
 public:
  virtual ~Head() = default;
  // What the result is called in files: "logits", "pooler_output", …
  virtual const std::string& name() const = 0;
  // What the classifier multiplies: [B, T, D'], or [B, D'] of heads that look at whole rows.
  virtual Tensor features(Pass& pass, const Tensor& hidden_BTD) const = 0;
  // The classifier, classes × D'; null: the features are the result.
  virtual ops::LinearWeight classifier() const = 0;
  virtual int64_t further() const { return 0; }  // how many tokens beyond the next one are between a position and what it predicts
  virtual void after_step(double /*progress*/) {}
  virtual double softcap() const { return 0; }  // > 0: classes end as softcap·tanh(class / softcap)
};

// Takes the option `key`: an activation by name.
kernels::Activation activation_option(Config& cfg, const std::string& key, const std::string& fallback);

// What a component needs to build itself.
struct BuildContext {
  Parameters& parameters;
  const ModelSpec& spec;
  std::string prefix;  // "layers.0.mixer"
  int layer;
  int64_t input = spec.width;  // width of what it is given: another one for a first layer on a narrower embedding
  Tensor add(const std::string& name, Shape shape, Role role, Init init, bool trained = true, double active = 1, bool expert = false) const {
    return parameters.add(prefix + "." + name, shape, role, init, trained, active, expert);
  }
  // Projections into the residual stream start smaller the more layers add up [GPT-2, 2019].
  Init into_residual() const;
  Init matrix() const { return Init::normal(spec.init_std); }
};

// Axis 1. Parallel over all positions without state; with a state, T more positions (chunk or step) after the ones seen.
class SequenceMixer {
 public:
  virtual ~SequenceMixer() = default;
  virtual Tensor forward(Pass& pass, const Tensor& x_BTD) = 0;
  virtual std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t capacity) const = 0;
};

// Axis 2.
class ChannelMixer {
 public:
  virtual ~ChannelMixer() = default;
  virtual Tensor forward(Pass& pass, const Tensor& x_BTD) = 0;
  // What it remembers of earlier positions; null: nothing.
  virtual std::unique_ptr<MixerState> start(Tape&, int64_t /*batch*/) const { return nullptr; }
  // Once per optimizer step (balance without a loss); `progress`: the share of the run that is done.
  virtual void after_step(double /*progress*/) {}
};

}  // namespace gamut
