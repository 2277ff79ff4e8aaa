#include "lab/lab.h"

namespace gamut {

const std::vector<Experiment>& experiments() {
  static const std::vector<Experiment> rows{
      {"dense-vs-moe",
       "Would a mixture of experts beat a dense model at the same compute a token? Trains true twins on the same text in the same order and "
       "compares loss against tokens, FLOPs, seconds and memory, with paired intervals, a noise floor, a null twin and controls. Options: tier=smoke|quick|full, "
       "out=FOLDER, seeds, seed, minutes, data.recipe, data.path, data.cache, data.vocab_size.",
       run_dense_vs_moe},
  };
  return rows;
}

}  // namespace gamut
