// Multi-head latent attention; see mla.cpp.
#pragma once

#include "modules/module.h"
#include "modules/positions/rope.h"

namespace gamut {

// Chooses the keys that each query sees: the `keys` with the largest Σ_h w_h·ReLU(q_h·k).
struct IndexerOptions {
  int64_t heads = 0, head_dim = 128, keys = 2048;  // no heads: no indexer
  bool interleaved = false;                        // rotation of the first `rotary` elements of q and k
  bool operator==(const IndexerOptions&) const = default;
};

struct MlaOptions {
  int64_t heads, query_rank, latent, nope, rotary, value;  // query_rank 0: queries straight from x
  bool rope, interleaved, bias;
  double norm_eps, mscale, query_scale, latent_scale;
  RopeOptions rotation;
  IndexerOptions indexer = {};
  double score_scale() const;  // of q·k
  static MlaOptions take(Config& cfg, const ModelSpec& spec);
  Json to_json(const ModelSpec& spec) const;  // what take reads back; defaults are left out
  bool operator==(const MlaOptions&) const = default;
};

std::unique_ptr<SequenceMixer> build_mla(const BuildContext& ctx, Config& options);

}  // namespace gamut
