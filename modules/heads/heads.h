// Heads: what is computed from the last hidden states.
#pragma once

#include "modules/module.h"

namespace gamut {

std::unique_ptr<Head> build_vocabulary_head(const BuildContext& ctx, Config& options);
std::unique_ptr<Head> build_pooled_head(const BuildContext& ctx, Config& options);
std::unique_ptr<Head> build_further_head(const BuildContext& ctx, Config& options);

}  // namespace gamut
