#include "modules/model.h"

#include <algorithm>
#include <utility>

#include "modules/positions/sinusoidal.h"
#include "modules/registry.h"
#include "ops/add.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/map.h"

namespace gamut {
namespace {

ops::NormWeight add_norm_weight(Parameters& parameters, const ModelSpec& spec, const std::string& name) {
  ops::NormWeight w{.kind = spec.norm == "rms" ? kernels::NormKind::rms : kernels::NormKind::layer, .eps = spec.norm_eps};
  if (spec.norm_gain) w.gain_D = parameters.add(name, {spec.width}, Role::norm, Init::constant(1));
  if (w.kind == kernels::NormKind::layer && spec.norm_bias) w.bias_D = parameters.add(name + "_bias", {spec.width}, Role::norm, Init::constant(0));
  return w;
}

template <class Interface>
std::unique_ptr<Interface> build(const std::vector<Registered<Interface>>& rows, const Component& c, const BuildContext& ctx, const char* what) {
  Config options(c.options, {.source = "model"}, ctx.prefix);
  auto built = find_registered(rows, c.kind, what).build(ctx, options);
  options.finish();
  return built;
}

}  // namespace

Model::Model(const ModelSpec& spec, const Device& device, const Parameters::Rule& frozen)
    : spec_(spec), dtype_(dtype_named(spec.dtype)), parameters_(device.arena, parameter_dtype(dtype_), frozen) {
  if (spec.vocab < 1 || spec.width < 1 || spec.layers.empty())
    throw Error({.who = "model", .what = "needs vocab, width and layers of at least 1; has vocab " + std::to_string(spec.vocab) + ", width " + std::to_string(spec.width) + ", " +
                                         std::to_string(spec.layers.size()) + " layers"});
  for (size_t i = 0; i < spec.layers.size(); ++i)
    if ((spec.layers[i].cross.kind != "none") != !spec.encoder.empty())
      throw Error({.who = "model", .what = "layer " + std::to_string(i) + (spec.encoder.empty() ? " looks at an encoder, and there is none" : " does not look at the encoder"),
                   .hint = "`cross` in the layers and the table `encoder` belong together"});
  const int64_t narrow = spec.embedding_width > 0 ? spec.embedding_width : spec.width;
  const bool taken = spec.placement == NormPlacement::none;  // by the first mixer as it is
  if (narrow != spec.width && (!spec.encoder.empty() || (taken && (spec.positions != "none" || spec.token_types > 0 || spec.embedding_norm))))
    throw Error({.who = "model",
                 .what = "an embedding of width " + std::to_string(narrow) + " in a model of width " + std::to_string(spec.width) +
                         " with an encoder, or without residuals and with something added to it",
                 .hint = "leave out embedding_width"});
  embedding_ = parameters_.add("embedding", {spec.vocab, narrow}, Role::embedding, Init::normal(spec.init_std));
  if (narrow != spec.width && !taken) widening_ = parameters_.add("embedding_widening", {spec.width, narrow}, Role::matrix, Init::normal(spec.init_std));
  if (spec.token_types > 0) token_types_ = parameters_.add("token_types", {spec.token_types, spec.width}, Role::embedding, Init::normal(spec.init_std));
  if (!spec.encoder.empty()) encoder_ = build_stack(spec.encoder, "encoder.");
  decoder_ = build_stack(spec.layers, "");
  for (const Component& head : spec.heads) heads_.push_back(build(gamut::heads(), head, {parameters_, spec_, "head", 0}, "head"));
}

Model::Stack Model::build_stack(const std::vector<LayerSpec>& layers, const std::string& prefix) {
  Stack stack;
  if (spec_.positions == "learned")
    stack.positions = parameters_.add(prefix + "positions", {spec_.max_positions + spec_.position_offset, spec_.width}, Role::embedding, Init::normal(spec_.init_std));
  if (spec_.embedding_norm) stack.embedding_norm = add_norm_weight(parameters_, spec_, prefix + "embedding_norm");
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string name = prefix + "layers." + std::to_string(i);
    const int index = static_cast<int>(i);
    int64_t width = i == 0 && spec_.embedding_width > 0 && !widening_ ? spec_.embedding_width : spec_.width;  // of what comes in
    Layer layer;
    layer.mixer_shares = layers[i].mixer_shares;
    layer.channel_shares = layers[i].channel_shares;
    const auto add = [&]<class Interface>(std::unique_ptr<Interface>& part, Norms& norms, const std::vector<Registered<Interface>>& rows, const Component& c, const std::string& role, const char* what) {
      part = build(rows, c, {parameters_, spec_, name + "." + role, index, width}, what);
      if (!part || spec_.placement == NormPlacement::none || (spec_.residual == Residual::parallel_one_norm && role != "mixer")) return;
      const bool before = spec_.placement == NormPlacement::pre || spec_.placement == NormPlacement::both || spec_.placement == NormPlacement::stream;
      (before ? norms.before : norms.after) = add_norm_weight(parameters_, spec_, name + "." + role + "_norm");
      if (spec_.placement == NormPlacement::both) norms.after = add_norm_weight(parameters_, spec_, name + "." + role + "_post_norm");
    };
    add(layer.mixer, layer.mixer_norms, sequence_mixers(), layers[i].mixer, "mixer", "sequence mixer");
    width = spec_.width;
    add(layer.cross, layer.cross_norms, sequence_mixers(), layers[i].cross, "cross", "sequence mixer");
    add(layer.channel, layer.channel_norms, channel_mixers(), layers[i].channel, "channel", "channel mixer");
    const bool plain = layers[i].mixer_shares == Shares{} && layers[i].channel_shares == Shares{};
    if (!plain && spec_.placement == NormPlacement::none)
      throw Error({.who = "model", .what = "layer " + std::to_string(i) + " has shares of what norm_placement = \"none\" does not add"});
    if (spec_.residual != Residual::sequential && (spec_.placement != NormPlacement::pre || !plain || !layer.mixer || layer.cross || !layer.channel))
      throw Error({.who = "model", .what = "layer " + std::to_string(i) + " cannot stand side by side", .hint = "residual = \"parallel\" needs a mixer and a channel mixer behind norm_placement = \"pre\""});
    stack.layers.push_back(std::move(layer));
  }
  if (spec_.has_final_norm()) stack.final_norm = add_norm_weight(parameters_, spec_, prefix + "final_norm");
  if (spec_.final_norm_eps > 0) stack.final_norm.eps = spec_.final_norm_eps;
  return stack;
}

const Head& Model::head(const std::string& name) const {
  for (const auto& head : heads_)
    if (head->name() == name) return *head;
  throw Error({.who = "model", .what = "has no head that gives '" + name + "'", .hint = "a model without one embeds texts, but does not speak"});
}

std::optional<int64_t> Model::position_limit() const {
  if (decoder_.positions) return spec_.max_positions;
  return {};
}

Tensor Model::encode(Pass& pass) { return run(pass, encoder_); }

Tensor Model::hidden(Pass& pass) {
  if (has_encoder() && !pass.encoded_BSD) throw Error({.who = "model", .what = "an encoder-decoder needs a source", .hint = "give the source as input_ids and the target as decoder_input_ids"});
  return run(pass, decoder_);
}

Tensor Model::run(Pass& pass, Stack& stack) {
  Tape& tape = pass.tape;
  const int64_t b = pass.batch(), t = pass.length();
  pass.positions_N = tape.empty({b * t}, DType::i32);
  if (tape.runs())
    for (int64_t i = 0; i < b * t; ++i) pass.positions_N.data<int32_t>()[i] = static_cast<int32_t>(pass.offset + i % t);
  Tensor x = ops::embedding(tape, pass.ids_BT, embedding_, dtype_, spec_.embedding_scale);
  if (widening_) x = ops::linear(tape, x, {widening_});
  if (stack.positions) {
    if (pass.offset + t > spec_.max_positions)
      throw Error({.who = "model", .what = "position " + std::to_string(pass.offset + t - 1) + " is beyond the " + std::to_string(spec_.max_positions) + " learned ones", .hint = "shorten the text"});
    const Tensor places = tape.empty({b, t}, DType::i32);
    if (tape.runs())
      for (int64_t i = 0; i < b * t; ++i) places.data<int32_t>()[i] = pass.positions_N.data<int32_t>()[i] + static_cast<int32_t>(spec_.position_offset);
    x = ops::add(tape, x, ops::embedding(tape, places, stack.positions, dtype_));
  }
  if (spec_.positions.starts_with("sinusoidal"))
    x = ops::add(tape, x, sinusoidal(tape, pass.ids_BT, spec_.width, pass.offset, spec_.position_offset, spec_.positions == "sinusoidal_t2t", dtype_));
  if (token_types_) x = ops::add(tape, x, ops::embedding(tape, pass.token_types_BT ? pass.token_types_BT : tape.zeros({b, t}, DType::i32), token_types_, dtype_));
  if (spec_.embedding_norm) x = ops::norm(tape, x, stack.embedding_norm);
  const bool stream = spec_.has_final_norm();
  Tensor branch;  // what the last component added, not yet in x
  size_t at = 0;  // of the states
  const auto next_state = [&] {
    pass.state = pass.states ? (*pass.states)[at].get() : nullptr;
    ++at;
  };
  Tensor entered;  // x as the last block met it
  // What a block takes; x is up to date afterwards.
  const auto taken = [&](const Norms& norms) {
    if (norms.before) {
      const ops::AddNorm r = ops::add_norm(tape, x, branch, *norms.before);
      entered = r.sum;
      x = spec_.placement == NormPlacement::stream ? r.out : r.sum;
      branch = {};
      return r.out;
    }
    if (branch) x = ops::add(tape, x, std::exchange(branch, Tensor()));
    entered = x;
    return x;
  };
  const auto times = [&](const Tensor& y, double factor) { return factor == 1 ? y : ops::map(tape, kernels::Formula::scale, {y}, {}, factor); };
  const auto run = [&](const Norms& norms, auto* component, const Shares& shares) {
    next_state();
    if (!component) return;
    const Tensor y = component->forward(pass, taken(norms));
    const auto scaled = [&](const Tensor& result) { return times(result, spec_.residual_scale * shares.result); };
    x = times(x, shares.input);
    if (spec_.placement == NormPlacement::post) x = ops::add_norm(tape, x, scaled(y), *norms.after).out;
    else if (spec_.placement == NormPlacement::none) x = y;
    else branch = scaled(norms.after ? ops::norm(tape, y, *norms.after) : y);
  };
  for (size_t i = 0; i < stack.layers.size(); ++i) {
    const Layer& layer = stack.layers[i];
    pass.layer = static_cast<int>(i);
    if (pass.hidden_states && !stream) pass.hidden_states->push_back(x);
    if (spec_.residual == Residual::sequential) {
      entered = x;
      run(layer.mixer_norms, layer.mixer.get(), layer.mixer_shares);
      if (pass.hidden_states && stream) pass.hidden_states->push_back(entered);
      run(layer.cross_norms, layer.cross.get(), {});
      run(layer.channel_norms, layer.channel.get(), layer.channel_shares);
    } else {
      const Tensor in = taken(layer.mixer_norms);
      if (pass.hidden_states) pass.hidden_states->push_back(x);
      next_state();
      const Tensor mixed = layer.mixer->forward(pass, in);
      ++at;
      next_state();
      branch = times(ops::add(tape, mixed, layer.channel->forward(pass, spec_.residual == Residual::parallel ? ops::norm(tape, x, *layer.channel_norms.before) : in)), spec_.residual_scale);
    }
  }
  if (!pass.pooled.empty()) ops::pooled_balance(tape, pass.pooled, pass.counted_N, pass.pooled_coefficient * pass.loss_scale);
  if (stream) x = ops::add_norm(tape, x, branch, stack.final_norm).out;
  if (pass.hidden_states) pass.hidden_states->push_back(x);
  return x;
}

Tensor Model::result(Pass& pass, const Head& head, const Tensor& hidden) const {
  const Tensor features = head.features(pass, hidden);
  const ops::LinearWeight classifier = head.classifier();
  if (!classifier.w_NK) return features;
  const Tensor out = ops::linear(pass.tape, features, classifier, parameters_.dtype());
  return head.softcap() > 0 ? ops::map(pass.tape, kernels::Formula::softcap, {out}, {}, head.softcap(), 1 / head.softcap()) : out;
}

void Model::after_step(double progress) {
  for (Stack* stack : {&encoder_, &decoder_})
    for (Layer& layer : stack->layers)
      if (layer.channel) layer.channel->after_step(progress);
  for (const auto& head : heads_) head->after_step(progress);
}

std::vector<std::unique_ptr<MixerState>> Model::start(Tape& tape, int64_t batch, int64_t capacity) const {
  std::vector<std::unique_ptr<MixerState>> states;
  for (const Layer& layer : decoder_.layers) {
    for (const auto* mixer : {&layer.mixer, &layer.cross}) states.push_back(*mixer ? (*mixer)->start(tape, batch, capacity) : nullptr);
    states.push_back(layer.channel ? layer.channel->start(tape, batch) : nullptr);
  }
  return states;
}

Tensor id_tensor(Tape& tape, std::span<const int32_t> ids, int64_t batch, int64_t length, int64_t vocab) {
  Tensor t = tape.empty({batch, length}, DType::i32);
  if (!tape.runs()) return t;
  if (static_cast<int64_t>(ids.size()) != batch * length)
    throw Error({.who = "model", .what = std::to_string(ids.size()) + " ids do not make a batch of " + t.shape().text()});
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= vocab)
      throw Error({.who = "model", .what = "token id " + std::to_string(ids[i]) + " at position " + std::to_string(i) + " is outside the vocabulary of " + std::to_string(vocab),
                   .hint = "is this the tokenizer the model was trained with?"});
  std::copy(ids.begin(), ids.end(), t.data<int32_t>());
  return t;
}

}  // namespace gamut
