// A language model: embedding, layers, final norm, head, built from a ModelSpec.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "modules/module.h"
#include "ops/cross_entropy.h"
#include "ops/norm.h"

namespace gamut {

class Model {
 public:
  // Storage of parameters comes from device.arena. For inference no gradients are kept.
  Model(const ModelSpec& spec, const Device& device);

  const ModelSpec& spec() const { return spec_; }
  DType dtype() const { return dtype_; }  // of activations
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }
  const Tensor& head() const { return head_; }
  std::optional<int64_t> position_limit() const;  // positions 0 … limit−1 exist; none: any

  Tensor hidden(Pass& pass);                                // [B, T, D] after the final norm
  Tensor logits(Pass& pass, const Tensor& hidden) const;    // [..., V] f32 (f64)
  void after_step();                                        // call once per optimizer step
  // For every layer its mixer's state, then its channel mixer's; null where there is none.
  std::vector<std::unique_ptr<MixerState>> start(Tape& tape, int64_t batch, int64_t capacity) const;

 private:
  struct Layer {
    ops::NormWeight mixer_norm, channel_norm;
    std::unique_ptr<SequenceMixer> mixer;
    std::unique_ptr<ChannelMixer> channel;
  };
  ModelSpec spec_;
  DType dtype_;
  Parameters parameters_;
  Tensor embedding_, positions_, head_;
  std::vector<Layer> layers_;
  ops::NormWeight embedding_norm_, final_norm_;
};

// Token ids [B, T] as a tensor; on shapes alone the ids are not read. Error when an id is outside 0 … vocab−1.
Tensor id_tensor(Tape& tape, std::span<const int32_t> ids, int64_t batch, int64_t length, int64_t vocab);

}  // namespace gamut
