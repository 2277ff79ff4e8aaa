// Experts that take a limited number of slots: which of a routing's choices are dropped.
#pragma once

#include "core/tape.h"

namespace gamut::ops {

// Who stays when more choose an expert than fit. position: earlier tokens [Switch; GShard]. probability: larger gates. prioritised:
// tokens in descending order of their largest gate [V-MoE, Riquelme et al. 2021]. random: tokens in random order [DeepSpeed].
enum class DropRule : uint8_t { position, probability, prioritised, random };

struct CapacityOptions {
  DropRule rule = DropRule::position;
  bool choices_first = false;         // all first choices before any second [GShard]; else a token's choices together
  int64_t limit = 0;                  // slots of one expert in one group
  int64_t share = 1;                  // so many neighbouring experts have one limit together: those of a device [DeepSeek-V2]
  int64_t group = 0;                  // rows that compete with each other, one after another; 0: all
  const double* key_N = nullptr;      // random: the key of each row, drawn by the caller
  const Tensor* scores_NE = nullptr;  // ? prioritised: by the largest score instead of the largest gate
  const uint8_t* exempt_N = nullptr;  // ? rows that are served first and keep all their slots, above the limit if need be [DeepSeek-V2]
  const Tensor* counted_N = nullptr;  // ? u8: rows that take part; the others are left out and not counted as dropped
};

// index_Nk [N, k] int32 with −1 in place of what is dropped; `weights` f32 (f64) decide for probability and prioritised. −1 takes no
// slot. `dropped` receives how many. position with a token's choices together never looks ahead; every other rule may.
Tensor drop(Tape& tape, const Tensor& index_Nk, const Tensor& weight_Nk, int64_t experts, const CapacityOptions& options, int64_t* dropped);

// Weights of slots that are not −1, divided by max(their sum, floor) and multiplied by `total` [NLLB, DeepSpeed: after dropping].
Tensor renormalised(Tape& tape, const Tensor& index_Nk, const Tensor& weight_Nk, double floor, double total);

}  // namespace gamut::ops
