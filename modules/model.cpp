#include "modules/model.h"

#include <algorithm>
#include <cmath>

#include "modules/registry.h"
#include "ops/add.h"
#include "ops/embedding.h"
#include "ops/linear.h"

namespace gamut {
namespace {

ops::NormWeight add_norm_weight(Parameters& parameters, const ModelSpec& spec, const std::string& name) {
  ops::NormWeight w{.kind = spec.norm == "rms" ? kernels::NormKind::rms : kernels::NormKind::layer, .eps = spec.norm_eps};
  w.gain_D = parameters.add(name, {spec.width}, Role::norm, Init::constant(1));
  if (w.kind == kernels::NormKind::layer) w.bias_D = parameters.add(name + "_bias", {spec.width}, Role::norm, Init::constant(0));
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

Init BuildContext::into_residual() const {
  return Init::normal(spec.init_scaled_residual ? spec.init_std / std::sqrt(2.0 * static_cast<double>(spec.layers.size())) : spec.init_std);
}

Model::Model(const ModelSpec& spec, const Device& device)
    : spec_(spec), dtype_(dtype_named(spec.dtype)), parameters_(device.arena, parameter_dtype(dtype_)) {
  if (spec.vocab < 1 || spec.width < 1 || spec.layers.empty())
    throw Error({.who = "model", .what = "needs vocab, width and layers of at least 1; has vocab " + std::to_string(spec.vocab) + ", width " + std::to_string(spec.width) + ", " +
                                         std::to_string(spec.layers.size()) + " layers"});
  embedding_ = parameters_.add("embedding", {spec.vocab, spec.width}, Role::embedding, Init::normal(spec.init_std));
  if (spec.positions == "learned") positions_ = parameters_.add("positions", {spec.max_positions, spec.width}, Role::embedding, Init::normal(spec.init_std));
  if (spec.embedding_norm) embedding_norm_ = add_norm_weight(parameters_, spec_, "embedding_norm");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string name = "layers." + std::to_string(i);
    const int index = static_cast<int>(i);
    Layer layer;
    layer.mixer = build(sequence_mixers(), spec.layers[i].mixer, {parameters_, spec_, name + ".mixer", index}, "sequence mixer");
    if (layer.mixer) layer.mixer_norm = add_norm_weight(parameters_, spec_, name + ".mixer_norm");
    layer.channel = build(channel_mixers(), spec.layers[i].channel, {parameters_, spec_, name + ".channel", index}, "channel mixer");
    if (layer.channel) layer.channel_norm = add_norm_weight(parameters_, spec_, name + ".channel_norm");
    layers_.push_back(std::move(layer));
  }
  if (spec.placement == NormPlacement::pre) final_norm_ = add_norm_weight(parameters_, spec_, "final_norm");
  if (spec.tied) {
    head_ = embedding_;
    parameters_.find("embedding")->role = Role::head;
  } else {
    head_ = parameters_.add("head", {spec.vocab, spec.width}, Role::head, Init::normal(spec.init_std));
  }
}

std::optional<int64_t> Model::position_limit() const {
  if (positions_) return spec_.max_positions;
  return {};
}

Tensor Model::hidden(Pass& pass) {
  Tape& tape = pass.tape;
  const int64_t b = pass.batch(), t = pass.length();
  pass.positions_N = tape.empty({b * t}, DType::i32);
  if (tape.runs())
    for (int64_t i = 0; i < b * t; ++i) pass.positions_N.data<int32_t>()[i] = static_cast<int32_t>(pass.offset + i % t);
  Tensor x = ops::embedding(tape, pass.ids_BT, embedding_, dtype_, spec_.embedding_scale);
  if (positions_) {
    if (pass.offset + t > spec_.max_positions)
      throw Error({.who = "model", .what = "position " + std::to_string(pass.offset + t - 1) + " is beyond the " + std::to_string(spec_.max_positions) + " learned ones", .hint = "shorten the text"});
    x = ops::add(tape, x, ops::embedding(tape, pass.positions_N.reshape({b, t}), positions_, dtype_));
  }
  if (spec_.embedding_norm) x = ops::norm(tape, x, embedding_norm_);
  Tensor branch;  // what the last component added, not yet in x
  const auto run = [&](const ops::NormWeight& norm, auto* component) {
    if (!component) return;
    if (spec_.placement == NormPlacement::pre) {
      const ops::AddNorm r = ops::add_norm(tape, x, branch, norm);
      x = r.sum;
      branch = component->forward(pass, r.out);
    } else {
      x = ops::add_norm(tape, x, component->forward(pass, x), norm).out;
    }
  };
  for (size_t i = 0; i < layers_.size(); ++i) {
    pass.layer = static_cast<int>(i);
    if (pass.hidden_states && spec_.placement == NormPlacement::post) pass.hidden_states->push_back(x);
    pass.state = pass.states ? (*pass.states)[2 * i].get() : nullptr;
    run(layers_[i].mixer_norm, layers_[i].mixer.get());
    if (pass.hidden_states && spec_.placement == NormPlacement::pre) pass.hidden_states->push_back(x);
    pass.state = pass.states ? (*pass.states)[2 * i + 1].get() : nullptr;
    run(layers_[i].channel_norm, layers_[i].channel.get());
  }
  if (!pass.pooled.empty()) ops::pooled_balance(tape, pass.pooled, pass.counted_N, pass.pooled_coefficient * pass.loss_scale);
  if (spec_.placement == NormPlacement::pre) x = ops::add_norm(tape, x, branch, final_norm_).out;
  if (pass.hidden_states) pass.hidden_states->push_back(x);
  return x;
}

Tensor Model::logits(Pass& pass, const Tensor& hidden) const {
  return ops::linear(pass.tape, hidden, {head_, Tensor()}, parameters_.dtype());
}

void Model::after_step() {
  for (Layer& layer : layers_)
    if (layer.channel) layer.channel->after_step();
}

std::vector<std::unique_ptr<MixerState>> Model::start(Tape& tape, int64_t batch, int64_t capacity) const {
  std::vector<std::unique_ptr<MixerState>> states;
  for (const Layer& layer : layers_) {
    states.push_back(layer.mixer ? layer.mixer->start(tape, batch, capacity) : nullptr);
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
