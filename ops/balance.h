// The balancing loss of several layers' routers taken together.
#pragma once

#include <span>

#include "core/tape.h"

namespace gamut::ops {

// What one layer's router decided: scores f32 (f64) with a gradient cell in training, choices int32.
struct LayerScores {
  Tensor scores_NE, index_Nk;
};

// coefficient·E·Σ_e f_e·P_e, where f (share of the slots) and P (mean score) are pooled over the rows of all layers before they are
// multiplied, so that one layer's imbalance may cancel another's. Times k this is Mixtral's load_balancing_loss_func in Hugging
// Face transformers. counted_N: ? u8, rows that count (padding does not); all layers share it. Added to the tape; returns the
// value without coefficient. All layers must have equal shapes.
double pooled_balance(Tape& tape, std::span<const LayerScores> layers, const Tensor& counted_N, double coefficient);

}  // namespace gamut::ops
