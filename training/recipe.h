// A training run as written in a TOML recipe, every key overridable as section.key=value.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/toml.h"
#include "data/dataset.h"
#include "training/trainer.h"

namespace gamut {

struct Recipe {
  std::filesystem::path folder;  // run.dir; where checkpoints, metrics and the final model go
  uint64_t seed = 1;             // run.seed
  DataOptions data;              // [data] recipe | path, vocab_size, tokenizer
  ModelSpec model;               // [model]; vocab 0 takes the tokenizer's
  std::filesystem::path start;   // model.from: a model folder or .gguf file whose specification, weights and tokenizer the run begins with
  TrainerOptions trainer;        // [train], [optimizer], [schedule]
  int64_t tokens = 0;            // train.tokens: the run ends at the first step that reaches it
  int64_t validation_points = 40;       // log-spaced
  int64_t validation_bytes = 1 << 18;   // a domain at each point; the whole set at the end
  double checkpoint_seconds = 60;       // at least this long between checkpoints (0: after every step)
  int64_t checkpoint_steps = 0;         // also every so many steps; 0: by time alone
  int64_t checkpoint_keep = 2;
  Json resolved;                 // everything with defaults, as written to run.dir/recipe.toml

  // Reads and checks the whole document.
  static Recipe from_document(ConfigDocument document);
};

Recipe read_recipe(const std::filesystem::path& path, const std::vector<std::string>& overrides);

// Up to `points` steps out of 1 … steps, spaced evenly in the logarithm, the last included.
std::vector<int64_t> log_spaced_steps(int64_t steps, int64_t points);

}  // namespace gamut
