#include "generation/unmasking.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/rng.h"
#include "objectives/objective.h"

namespace gamut {
namespace {

struct Proposal {
  int64_t place;
  int32_t token;
  double confidence;
};

// The token that wins at one place, and its probability. `at`: a number of its own for every (step, place).
Proposal propose(std::span<const double> logits, int64_t place, const Sampling& sampling, uint64_t at) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0, best = 0;
  int32_t token = -1;
  const RandomStream noise(sampling.seed, "unmasking", std::to_string(at));
  for (size_t v = 0; v < logits.size(); ++v) {
    sum += std::exp(logits[v] - highest);
    double value = logits[v];
    if (sampling.temperature > 0) value = value / sampling.temperature - std::log(-std::log(std::max(noise.uniform(v), 1e-300)));
    if (token >= 0 && !(value > best)) continue;
    token = static_cast<int32_t>(v);
    best = value;
  }
  return {place, token, std::exp(logits[static_cast<size_t>(token)] - highest) / sum};
}

}  // namespace

std::vector<int64_t> unmasking_quotas(int64_t masks, int64_t steps) {
  std::vector<int64_t> quotas(static_cast<size_t>(steps), masks / steps);
  for (int64_t i = 0; i < masks % steps; ++i) ++quotas[static_cast<size_t>(i)];
  return quotas;
}

std::vector<int32_t> unmask(Model& model, const Device& device, const std::vector<int32_t>& prompt, const GenerateOptions& options) {
  const auto objective = build_objective(model.spec().objective);
  const auto [mask, shift] = objective->unmasking().value();
  const auto start = static_cast<int64_t>(prompt.size()), length = options.max_new_tokens;
  const int64_t block = options.block > 0 ? options.block : std::max<int64_t>(1, length), steps = options.steps > 0 ? options.steps : length;
  const int64_t blocks = (length + block - 1) / block;
  if (blocks > 0 && (length % block != 0 || steps % blocks != 0))
    throw Error({.who = "generate", .what = std::to_string(length) + " new tokens in blocks of " + std::to_string(block) + " and " + std::to_string(steps) + " steps do not come out even",
                 .hint = "--max-new-tokens must be a multiple of --block-length, --steps one of the number of blocks"});
  if (const auto limit = model.position_limit(); limit && start + length > *limit)
    throw Error({.who = "generate", .what = "prompt and new tokens take " + std::to_string(start + length) + " positions, the model has " + std::to_string(*limit), .hint = "lower --max-new-tokens"});
  std::vector<int32_t> canvas = prompt;
  canvas.resize(static_cast<size_t>(start + length), mask);
  const int64_t vocab = model.spec().vocab;
  uint64_t step = 0;
  for (int64_t first = start; first < start + length; first += block) {
    for (const int64_t quota : unmasking_quotas(block, steps / blocks)) {
      if (interrupted()) return canvas;
      Tape tape(device, Tape::Mode::inference);
      ExampleRun run(model, {.tape = tape}, objective->sight(), {.rows = 1, .length = start + length, .ids = canvas});
      if (shift) run.look_back();
      const Tensor logits = model.logits(run.pass(), run.hidden());
      std::vector<Proposal> proposals;
      std::vector<double> row(static_cast<size_t>(vocab));
      for (int64_t i = first; i < first + block; ++i) {
        if (canvas[static_cast<size_t>(i)] != mask) continue;
        for (int64_t v = 0; v < vocab; ++v) row[static_cast<size_t>(v)] = logits.dtype() == DType::f64 ? logits.data<double>()[i * vocab + v] : static_cast<double>(logits.data<float>()[i * vocab + v]);
        proposals.push_back(propose(row, i, options.sampling, step * static_cast<uint64_t>(start + length) + static_cast<uint64_t>(i)));
      }
      std::stable_sort(proposals.begin(), proposals.end(), [](const Proposal& a, const Proposal& b) { return a.confidence > b.confidence; });
      for (size_t k = 0; k < std::min(proposals.size(), static_cast<size_t>(quota)); ++k) canvas[static_cast<size_t>(proposals[k].place)] = proposals[k].token;
      ++step;
      if (options.on_canvas) options.on_canvas(canvas);
    }
  }
  return canvas;
}

}  // namespace gamut
