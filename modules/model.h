// A language model: embedding, layers, final norm, heads, built from a ModelSpec; encoder-decoders have two stacks of layers.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "modules/module.h"
#include "ops/norm.h"

namespace gamut {

class Model {
 public:
  // Storage of parameters comes from device.arena. For inference no gradients are kept.
  // What `frozen` names has no gradients in training.
  Model(const ModelSpec& spec, const Device& device, const Parameters::Rule& frozen = {});

  const ModelSpec& spec() const { return spec_; }
  DType dtype() const { return dtype_; }  // of activations
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }
  std::optional<int64_t> position_limit() const;  // positions 0 … limit−1 exist; none: any

  bool has_encoder() const { return !encoder_.layers.empty(); }
  Tensor encode(Pass& pass);   // [B, S, D]: the source as the encoder leaves it, for a decoder's Pass::encoded_BSD
  Tensor hidden(Pass& pass);   // [B, T, D] after the final norm
  // What a head makes of hidden states: [..., classes] f32 (f64), or its features.
  Tensor result(Pass& pass, const Head& head, const Tensor& hidden_BTD) const;
  const std::vector<std::unique_ptr<Head>>& heads() const { return heads_; }
  const Head& head(const std::string& name) const;  // by the name of its result; an Error when the model has none
  Tensor logits(Pass& pass, const Tensor& hidden) const { return result(pass, head("logits"), hidden); }
  void after_step(double progress = 0);  // call once per optimizer step; progress: the share of the run that is done
  // For every layer the states of its mixer, of its look at the source, of its channel mixer; null where there is none.
  std::vector<std::unique_ptr<MixerState>> start(Tape& tape, int64_t batch, int64_t capacity) const;

 private:
  struct Norms {
    std::optional<ops::NormWeight> before, after;  // of what a block takes, and of what it gives
  };
  struct Layer {
    Norms mixer_norms, cross_norms, channel_norms;
    Shares mixer_shares, channel_shares;
    std::unique_ptr<SequenceMixer> mixer, cross;
    std::unique_ptr<ChannelMixer> channel;
  };
  struct Stack {
    Tensor positions;  // ? [rows, D]
    ops::NormWeight embedding_norm, final_norm;
    std::vector<Layer> layers;
  };
  ModelSpec spec_;
  DType dtype_;
  Parameters parameters_;
  Tensor embedding_, token_types_;
  Tensor widening_;          // ? [D, width of the embedding]
  Stack encoder_, decoder_;  // a model of one stack has no encoder
  std::vector<std::unique_ptr<Head>> heads_;

  Stack build_stack(const std::vector<LayerSpec>& layers, const std::string& prefix);
  Tensor run(Pass& pass, Stack& stack);
};

// Token ids [B, T] as a tensor; on shapes alone the ids are not read. Error when an id is outside 0 … vocab−1.
Tensor id_tensor(Tape& tape, std::span<const int32_t> ids, int64_t batch, int64_t length, int64_t vocab);

}  // namespace gamut
