// The arms of dense-vs-moe: models that differ in their channel mixer alone, matched in active FLOPs.
#pragma once

#include <string>

#include "modules/spec.h"

namespace gamut {

struct TwinShape {
  int64_t width = 64, layers = 3, heads = 4, hidden = 176;  // of the dense arm
  int64_t vocab = 1024, length = 128;
  int64_t experts = 8, top_k = 2;
};

// Units of one expert so that k experts and the router cost what the dense layer costs: h_e = (h − E/3)/k, rounded to 16.
int64_t expert_hidden(const TwinShape& shape);

ModelSpec dense_twin(const TwinShape& shape);
// Σ gates = top_k, so that at the start k narrow experts add up to an output of the scale of the dense layer.
// router: "topk" (sigmoid scores, loss-free bias), "hash", "random".
ModelSpec moe_twin(const TwinShape& shape, const std::string& router = "topk");
// One expert as wide as the dense layer, gate 1: must equal the dense arm bit for bit.
ModelSpec null_twin(const TwinShape& shape);
// Dense with the mixture's total parameters: h_C = h_e·E + E/3.
ModelSpec total_twin(const TwinShape& shape);

}  // namespace gamut
