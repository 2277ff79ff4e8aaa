#include "lab/lab.h"

namespace gamut {

const std::vector<Experiment>& experiments() {
  static const std::vector<Experiment> rows{
      {"dense-vs-moe",
       "Would a mixture of experts beat a dense model at the same compute a token? Trains true twins on the same text in the same order and "
       "compares loss against tokens, FLOPs, seconds and memory, with paired intervals, a noise floor, a null twin and controls. Options: tier=smoke|quick|full, "
       "out=FOLDER, seeds, seed, minutes, data.recipe, data.path, data.cache, data.vocab_size.",
       run_dense_vs_moe},
      {"mixers",
       "Which sequence mixer? Attention, Mamba-2, Gated DeltaNet, RWKV-7, LSTM and a hybrid: bits per byte at equal compute on the same text, recall of key-value pairs against the "
       "bytes a state holds, and time and memory traffic of a new token against the length of the context. Options: tier=smoke|quick, out=FOLDER, seeds, seed, minutes, data.recipe, data.path, data.cache, data.vocab_size.",
       run_mixers},
      {"objectives",
       "What should a model be trained to predict? Causal, masked diffusion, prefix, masked and span-corruption models of one trunk at equal FLOPs: likelihood or its bound where there is one, filling in, going on, "
       "and what happens when little text is read again and again. Options: tier=smoke|quick|full, out=FOLDER, seeds, seed, minutes, data.recipe, data.path, data.cache, data.vocab_size.",
       run_objectives},
  };
  return rows;
}

}  // namespace gamut
