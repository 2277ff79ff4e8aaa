// Axis 3: what a model is trained to predict, who sees whom meanwhile, and what its number means.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "objectives/example.h"

namespace gamut {

// Rows of text as the data gives them: B rows of T tokens, and the same text one position on (negative: no text there).
struct TokenRows {
  int64_t rows = 0, length = 0;
  std::span<const int32_t> inputs, targets;  // [B, T]
};

// Where chance comes from: rows are numbered along the stream, and a row's chance is a function of (seed, number).
struct Draw {
  uint64_t seed = 0;
  int64_t first_row = 0;
  int64_t vocab = 1;  // of the model: where tokens that chance puts into a text come from
};

class Objective {
 public:
  virtual ~Objective() = default;

  // Who sees whom among the positions that bear labels.
  virtual kernels::Sight sight() const = 0;
  // An Error with the reason when a model cannot be trained for this.
  virtual void check(const ModelSpec&) const {}
  // Special tokens beside the text's, in the order of the option `specials` (their ids).
  virtual std::vector<std::string> special_tokens() const { return {}; }

  // Which two of them stand around every text the model reads; empty: none do.
  virtual std::vector<std::string> frame() const { return {}; }

  // What the model is to read and say of some text.
  virtual Example example(const TokenRows& text, const Draw& draw) const = 0;
  // The text in which a model is to fill in the tokens marked in `hidden` [B, T] (of `targets`; runs of them as the objective hides them in training), as well
  // as it can see what is left. Rows hold at most two tokens more than the text's. Null: nothing this objective teaches.
  virtual std::optional<Example> hiding(const TokenRows&, std::span<const uint8_t> /*hidden*/) const { return {}; }
  // An example from a file, whose labels name the token at each place (row_labels: the class of each row), in the form of example().
  virtual Example given(Example e) const { return e; }

  // The sum of losses is divided by this, counted over all micro-batches of a step before any backward pass.
  virtual double weight(const Example& e) const;
  // Runs the model and leaves loss and gradients on the tape of `settings`. scale: 1/weight of the step.
  virtual ops::HeadLoss loss(Model& model, const Pass& settings, const Example& e, double scale) const;

  // What Σ loss over a text is: its exact negative log-likelihood, an upper bound of it, or a number that only compares with its own kind.
  enum class Number { exact, bound, own };
  virtual Number number() const = 0;
  // How a model trained for this writes.
  enum class Writing { left_to_right, unmasking, none };
  virtual Writing writing() const { return Writing::none; }
  // All of a prompt sees all of it, in a model of one stack.
  virtual bool prompt_is_prefix() const { return false; }
  // For writing by unmasking: the token that hides others, and whether a token is predicted at the position before it.
  struct Unmasking {
    int32_t mask;
    bool shift;
  };
  virtual std::optional<Unmasking> unmasking() const { return {}; }
  // What text written after a source begins with, and what ends it.
  virtual std::optional<int32_t> start() const { return {}; }
  virtual std::optional<int32_t> end() const { return {}; }
};

struct RegisteredObjective {
  std::string kind, meaning;
  std::unique_ptr<Objective> (*build)(Config& options);
};
const std::vector<RegisteredObjective>& objectives();                     // objectives/registry.cpp
std::unique_ptr<Objective> build_objective(const Component& component);   // Error with the nearest name

// For what writes from left to right: the text as it is, labels at the hidden tokens alone.
Example asking_for(const TokenRows& text, std::span<const uint8_t> hidden);

// An Error with the reason when no position of the text could see what follows it.
void need_both_ways(const ModelSpec& spec);

std::unique_ptr<Objective> build_causal(Config& options);
std::unique_ptr<Objective> build_masked_diffusion(Config& options);
std::unique_ptr<Objective> build_prefix(Config& options);
std::unique_ptr<Objective> build_seq2seq(Config& options);
std::unique_ptr<Objective> build_span_corruption(Config& options);
std::unique_ptr<Objective> build_denoising(Config& options);
std::unique_ptr<Objective> build_classification(Config& options);
std::unique_ptr<Objective> build_mlm(Config& options);
std::unique_ptr<Objective> build_multi_token(Config& options);
std::unique_ptr<Objective> build_mlm_nsp(Config& options);

}  // namespace gamut
