// What a trained mixture of experts does with held-out text: asked during and after races of mixtures.
#pragma once

#include "lab/routing_measures.h"
#include "training/trainer.h"

namespace gamut {

// Held-out text, so many bytes of each domain, in rows of the training's length.
struct LabelledExample : LabelledTokens {
  Example example;  // every token is a label
};
LabelledExample held_out(Trainer& trainer, int64_t bytes);

// {loss, layers: as routing_json has them}.
Json probe_routing(Trainer& trainer, int64_t bytes, int shuffles);

// For curves, on so many bytes of each domain: {max_violation: of the worst mixture, entropy: mean of all, choices: the experts of every token, router by router}.
Json watch_routing(Trainer& trainer, int64_t bytes);
// The mean over routers of overlap() of every watch's choices with the last one's. Empty without choices by tokens.
std::vector<double> saturation(const std::vector<Json>& watched);

// Sizes of router logits and what rounding them to bf16 does to choices of top_k: {edge: upper ends of bins of |logit|, share: of the logits in each,
// offset: added to all logits, kept: share of the experts that are chosen from rounded logits, too}. Rounding does not see that adding a number to all
// logits changes nothing else.
Json probe_logits(Trainer& trainer, int64_t bytes, int64_t top_k);

// One text among other rows, `sets` times, in the last place of a batch of `rows`: {factor: capacity factors, 0: none, changed: share of its positions whose likeliest
// next token is another one than among the first neighbours, distance: mean total variation between the two predictions, alone: likewise of the text by itself}.
Json probe_neighbours(Trainer& trainer, const std::vector<double>& factors, int64_t rows, int sets);

}  // namespace gamut
