// The shape of a mixture of experts, told from its options.
#pragma once

#include <optional>

#include "modules/spec.h"

namespace gamut {

struct MixtureShape {
  int64_t experts = 0, top_k = 0;  // routed, those without matrices included
  int64_t hidden = 0, shared = 0;  // units of one expert, and of the shared one
  // 4·width / hidden: into how many experts a usual layer's units are cut [Krajewski et al., Scaling laws for fine-grained mixture of experts, 2024].
  double granularity = 0;
  // Share of the mixture's hidden units that a token uses.
  double activation = 0;
  bool operator==(const MixtureShape&) const = default;
};
// Of channel mixers that route; none for others.
std::optional<MixtureShape> mixture_shape(const Component& channel, int64_t width);

}  // namespace gamut
