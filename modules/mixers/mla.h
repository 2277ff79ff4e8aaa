// Multi-head latent attention; see mla.cpp.
#pragma once

#include "modules/module.h"
#include "modules/positions/rope.h"

namespace gamut {

struct MlaOptions {
  int64_t heads, query_rank, latent, nope, rotary, value;  // query_rank 0: queries straight from x
  bool rope, interleaved, bias;
  double norm_eps, mscale, query_scale, latent_scale;
  RopeOptions rotation;
  double score_scale() const;  // of q·k
  static MlaOptions take(Config& cfg, const ModelSpec& spec);
  Json to_json(const ModelSpec& spec) const;  // what take reads back; defaults are left out
  bool operator==(const MlaOptions&) const = default;
};

std::unique_ptr<SequenceMixer> build_mla(const BuildContext& ctx, Config& options);

}  // namespace gamut
