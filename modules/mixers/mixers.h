// Sequence mixers: how positions exchange information. Each has its file beside this one, and its row in registry.cpp.
#pragma once

#include "kernels/cell.h"
#include "modules/module.h"
#include "modules/positions/rope.h"

namespace gamut {

std::unique_ptr<SequenceMixer> build_cross_attention(const BuildContext& ctx, Config& options);

struct GatedConvOptions {
  int64_t taps;
  bool bias;  // of projections and convolution
  static GatedConvOptions take(Config& cfg, const ModelSpec& spec);
  bool operator==(const GatedConvOptions&) const = default;
};
std::unique_ptr<SequenceMixer> build_gated_conv(const BuildContext& ctx, Config& options);

struct KdaOptions {
  int64_t heads, key_dim, value_dim, conv, decay_rank, gate_rank;
  bool gate_bias;
  double norm_eps, beta_scale;
  kernels::Activation activation;  // after the convolution
  static KdaOptions take(Config& cfg, const ModelSpec& spec);
  bool operator==(const KdaOptions&) const = default;
};
std::unique_ptr<SequenceMixer> build_kda(const BuildContext& ctx, Config& options);

struct GatedDeltaNetOptions {
  int64_t key_heads, value_heads, key_dim, value_dim, conv;  // conv 0: none, the activation alone
  bool decay, gate;
  double norm_eps, beta_scale;
  kernels::Activation activation;  // after the convolution
  static GatedDeltaNetOptions take(Config& cfg, const ModelSpec& spec, bool decay = true);
  bool operator==(const GatedDeltaNetOptions&) const = default;
};
std::unique_ptr<SequenceMixer> build_gated_deltanet(const BuildContext& ctx, Config& options, bool decay);

struct LightningOptions {
  int64_t heads, head_dim;
  kernels::Activation activation;  // of queries, keys and values
  double norm_eps;
  static LightningOptions take(Config& cfg, const ModelSpec& spec);
  bool operator==(const LightningOptions&) const = default;
};
std::unique_ptr<SequenceMixer> build_lightning(const BuildContext& ctx, Config& options);

struct RetNetOptions {
  int64_t heads, key_dim, value_dim;
  double theta;       // of the rotation of queries and keys
  double norm_eps;
  static RetNetOptions take(Config& cfg, const ModelSpec& spec);
  bool operator==(const RetNetOptions&) const = default;
};
std::unique_ptr<SequenceMixer> build_retnet(const BuildContext& ctx, Config& options);

struct GlaOptions {
  int64_t heads, key_dim, value_dim, decay_rank;
  double decay_divisor, decay_min;  // of log σ; the least log decay
  double norm_eps;
  static GlaOptions take(Config& cfg, const ModelSpec& spec);
  bool operator==(const GlaOptions&) const = default;
};
std::unique_ptr<SequenceMixer> build_gla(const BuildContext& ctx, Config& options);

struct MambaOptions {
  int64_t inner, state, rank, conv;
  bool conv_bias, bias;
  std::string norms;  // of dt, B and C: none, plain (no gain), gain
  double norm_eps;
  kernels::Activation activation;  // after the convolution
  static MambaOptions take(Config& cfg, const ModelSpec& spec);
};
std::unique_ptr<SequenceMixer> build_mamba(const BuildContext& ctx, Config& options);

struct Mamba2Options {
  int64_t heads, head_dim, groups, state, conv, norm_groups;
  bool conv_bias, bias, norm;
  double norm_eps, step_min, step_max;
  kernels::Activation activation;  // after the convolution
  static Mamba2Options take(Config& cfg, const ModelSpec& spec);
};
std::unique_ptr<SequenceMixer> build_mamba2(const BuildContext& ctx, Config& options);

struct Rwkv4Options {
  int64_t inner;
  static Rwkv4Options take(Config& cfg, const ModelSpec& spec);
};
std::unique_ptr<SequenceMixer> build_rwkv4(const BuildContext& ctx, Config& options);

struct Rwkv6Options {
  int64_t inner, head_dim;
  int64_t mix_rank, decay_rank;  // of what depends on the text, with `dynamic`
  bool dynamic;                  // RWKV-6
  double norm_eps;
  static Rwkv6Options take(Config& cfg, const ModelSpec& spec, bool dynamic);
};
std::unique_ptr<SequenceMixer> build_rwkv6(const BuildContext& ctx, Config& options, bool dynamic);

struct Rwkv7Options {
  int64_t head_dim, decay_rank, rate_rank, residual_rank, gate_rank, first_layer;  // first_layer: the one whose values later layers mix in
  double norm_eps, key_eps;
  static Rwkv7Options take(Config& cfg, const ModelSpec& spec);
};
std::unique_ptr<SequenceMixer> build_rwkv7(const BuildContext& ctx, Config& options);

struct MoaOptions {
  int64_t experts, top_k, heads, head_dim;  // heads of each expert, and of keys and values
  bool bias;                                // of what the mixture gives
  double theta;
  double pooled;                            // coefficient of the balancing loss that is pooled over layers
  RopeScaling scaling;
  static MoaOptions take(Config& cfg, const ModelSpec& spec);
  bool operator==(const MoaOptions&) const = default;
};
std::unique_ptr<SequenceMixer> build_moa(const BuildContext& ctx, Config& options);

struct RnnOptions {
  kernels::Cell cell;
  int64_t hidden;
  bool bias, output;  // biases of x and of h; a map from h to the model's width
  static RnnOptions take(Config& cfg, const ModelSpec& spec, kernels::Cell cell);
};
std::unique_ptr<SequenceMixer> build_rnn(const BuildContext& ctx, Config& options, kernels::Cell cell);

}  // namespace gamut
