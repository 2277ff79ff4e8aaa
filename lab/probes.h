// What a finished model can do beside its own loss, asked in one way of every objective.
#pragma once

#include "training/trainer.h"

namespace gamut {

struct ModelProbe {
  double fill_in = 0;       // share named right of tokens that begin a hidden run, text on both sides
  double continuation = 0;  // the same where the text ends with the run
  int64_t asked = 0;        // tokens behind the first of the two
  double supervised = 0;    // labels of a training example, for each token of its text
  double domain = 0;        // share of single positions whose text's domain a linear map of the hidden state tells, of rows it was not fitted to
  double rank = 0;          // exp of the entropy of the singular values of centred hidden states, over the width [Roy & Vetterli, The effective rank, 2007]
  Json to_json() const;
};

// Runs of three tokens, 15 % of a row, in validation rows two tokens shorter than training's; each model sees what its objective lets it
// see. bytes: of validation text a domain. A model whose objective fills nothing in has zeros there.
ModelProbe probe_model(Trainer& trainer, int64_t bytes);

}  // namespace gamut
