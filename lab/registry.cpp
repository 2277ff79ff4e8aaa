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
      {"routers",
       "Which router? Every router that a causal model can use, at equal compute a token on the same text: ranked with intervals, and what each does with its experts: balance, dead experts, specialisation, how "
       "soon choices settle. Options: tier=smoke|quick|full, out=FOLDER, seeds, seed, minutes, data.recipe, data.path, data.cache, data.vocab_size.",
       run_routers},
      {"granularity",
       "How many experts, how large, and one that all tokens share? One factor at a time at equal compute a token: experts 4 to 32, experts cut in two and four, a shared expert. Options: tier=smoke|quick|full, out=FOLDER, seeds, seed, minutes, data.recipe, data.path, data.cache, data.vocab_size.",
       run_granularity},
      {"upcycling",
       "A dense model is there: train it on, make a mixture of experts of it (copies, partly new copies, halves), or begin a mixture anew? At equal compute after the parent, by what is spent from then on and by all that "
       "was ever spent; equality at the start, how experts grow apart. Options: tier=smoke|quick|full, out=FOLDER, seeds, seed, minutes, data.recipe, data.path, data.cache, data.vocab_size.",
       run_upcycling},
      {"routing-health",
       "What goes wrong with routers, and what helps? Collapse without balancing by number of experts, of choices and the router's rate; balance against loss for a loss and a bias; what experts specialise in; what a "
       "request's neighbours change under a capacity; what bf16 does to choices. Options: tier=smoke|quick|full, out=FOLDER, seeds, seed, minutes, data.recipe, data.path, data.cache, data.vocab_size.",
       run_routing_health},
  };
  return rows;
}

}  // namespace gamut
