// Generation by unmasking: a canvas of masks behind the prompt, of which every step uncovers the places the model is surest of.
// [Nie et al., Large Language Diffusion Models, 2025]
#pragma once

#include "generation/decoder.h"

namespace gamut {

// How many of `masks` places each of `steps` steps uncovers: equal parts, the remainder to the first.
std::vector<int64_t> unmasking_quotas(int64_t masks, int64_t steps);

// The prompt and max_new_tokens tokens behind it. The canvas is filled block by block from the left (options.block; 0: all at once), each in its
// share of options.steps (0: one a token). A step proposes for every masked place the argmax of logits/temperature + Gumbel noise and
// keeps those of highest probability; arithmetic in double. After each step on_canvas sees the canvas. eos does not stop it: what stands
// behind is part of the text's distribution.
std::vector<int32_t> unmask(Model& model, const Device& device, const std::vector<int32_t>& prompt, const GenerateOptions& options);

}  // namespace gamut
