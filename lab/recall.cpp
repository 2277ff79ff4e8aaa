#include "lab/recall.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "base/rng.h"
#include "lab/race.h"
#include "modules/model.h"
#include "ops/cross_entropy.h"
#include "training/optimizer.h"

namespace gamut {
namespace {

// `count` different numbers below n, in the order drawn.
std::vector<int64_t> draw_different(const RandomStream& stream, uint64_t& at, int64_t count, int64_t n) {
  std::vector<int64_t> drawn;
  while (static_cast<int64_t>(drawn.size()) < count) {
    const auto x = static_cast<int64_t>(stream.below(at++, static_cast<uint64_t>(n)));
    if (std::find(drawn.begin(), drawn.end(), x) == drawn.end()) drawn.push_back(x);
  }
  return drawn;
}

struct Answers {
  int64_t right = 0, asked = 0;
};
Answers count_answers(Model& model, const Device& device, const RecallTask& task, const RecallRows& rows) {
  const int64_t n = static_cast<int64_t>(rows.ids.size()) / task.length;
  Tape tape(device, Tape::Mode::inference);
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, rows.ids, n, task.length, task.vocab), .visibility = {.sight = {.causal = true}}};
  const Tensor logits = model.logits(pass, model.hidden(pass));
  Answers answers;
  for (size_t i = 0; i < rows.targets.size(); ++i) {
    if (rows.targets[i] < 0) continue;
    const float* row = logits.data<float>() + static_cast<int64_t>(i) * task.vocab;
    answers.right += std::max_element(row, row + task.vocab) - row == rows.targets[i];
    ++answers.asked;
  }
  return answers;
}

double schedule(int64_t step, int64_t steps) {
  const double warmup = std::max(1.0, static_cast<double>(steps) / 20), at = static_cast<double>(step);
  if (at < warmup) return (at + 1) / warmup;
  return 0.1 + 0.45 * (1 + std::cos(std::numbers::pi * (at - warmup) / std::max(1.0, static_cast<double>(steps) - warmup)));
}

}  // namespace

RecallRows recall_rows(const RecallTask& task, uint64_t seed, const char* name, int64_t first, int64_t rows) {
  const int64_t half = task.vocab / 2, context = 2 * task.pairs, slots = (task.length - context) / 2;
  std::vector<double> likely;  // cumulative: a slot at distance x with probability ∝ x^(a − 1), a = 0.01
  double sum = 0;
  for (int64_t x = 1; x <= slots; ++x) likely.push_back(sum += std::pow(static_cast<double>(x), 0.01 - 1));
  RecallRows out;
  for (int64_t r = first; r < first + rows; ++r) {
    const RandomStream stream(seed, name, std::to_string(r));
    uint64_t at = 0;
    const std::vector<int64_t> keys = draw_different(stream, at, task.pairs, half), values = draw_different(stream, at, task.pairs, task.vocab - half);
    std::vector<int32_t> ids, targets(static_cast<size_t>(task.length), -100);
    for (size_t i = 0; i < keys.size(); ++i) {
      ids.push_back(static_cast<int32_t>(keys[i]));
      ids.push_back(static_cast<int32_t>(half + values[i]));
    }
    while (static_cast<int64_t>(ids.size()) < task.length) ids.push_back(static_cast<int32_t>(stream.below(at++, static_cast<uint64_t>(task.vocab))));
    std::vector<bool> taken(static_cast<size_t>(slots));
    for (size_t i = 0; i < keys.size(); ++i) {
      size_t slot;
      do slot = static_cast<size_t>(std::upper_bound(likely.begin(), likely.end(), stream.uniform(at++) * sum) - likely.begin());
      while (slot >= taken.size() || taken[slot]);
      taken[slot] = true;
      const size_t position = static_cast<size_t>(context) + 2 * slot;
      ids[position] = static_cast<int32_t>(keys[i]);
      targets[position] = static_cast<int32_t>(half + values[i]);
    }
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    out.targets.insert(out.targets.end(), targets.begin(), targets.end());
  }
  return out;
}

RecallResult run_recall(ModelSpec spec, const RecallTask& task, const RecallOptions& o, ThreadPool& pool, const std::function<void(double)>& progress) {
  const auto started = std::chrono::steady_clock::now();
  spec.vocab = task.vocab;
  spec.max_positions = task.length;
  const Device device = Device::real(pool);
  Model model(spec, device);
  model.parameters().initialise(o.seed, pool);
  model.parameters().allocate_gradients();
  Optimizer optimizer({.lr = o.rate, .weight_decay = 0.1}, model.parameters(), device);
  const RecallRows test = recall_rows(task, o.seed, "recall test", 0, o.test_rows);
  RecallResult result{.parameters = static_cast<double>(model.parameters().total())};
  {
    Tape tape(device, Tape::Mode::inference);
    auto states = model.start(tape, 1, task.length);
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, std::span(test.ids).first(static_cast<size_t>(task.length)), 1, task.length, task.vocab), .visibility = {.sight = {.causal = true}}, .states = &states};
    model.hidden(pass);
    for (const auto& state : states)
      if (state) result.state_bytes += static_cast<double>(state->bytes());
  }
  const double scale = 1.0 / static_cast<double>(o.batch_rows * task.pairs);
  for (int64_t step = 0; step < o.steps; ++step) {
    stop_if_interrupted();
    const RecallRows rows = recall_rows(task, o.seed, "recall", step * o.batch_rows, o.batch_rows);
    {
      Tape tape(device, Tape::Mode::training);
      Pass pass{.tape = tape, .ids_BT = id_tensor(tape, rows.ids, o.batch_rows, task.length, task.vocab), .visibility = {.sight = {.causal = true}}};
      const Tensor hidden = model.hidden(pass), target = tape.empty({o.batch_rows, task.length}, DType::i32);
      std::copy(rows.targets.begin(), rows.targets.end(), target.data<int32_t>());
      ops::cross_entropy(tape, hidden, model.head("logits").classifier(), target, scale);
      tape.backward();
    }
    optimizer.step(pool, schedule(step, o.steps), optimizer.gradient_norm(pool));
    model.after_step();
    if ((step + 1) % o.evaluate_every == 0 || step + 1 == o.steps) {
      const Answers answers = count_answers(model, device, task, test);
      result.accuracy = static_cast<double>(answers.right) / static_cast<double>(answers.asked);
      result.step.push_back(static_cast<double>(step + 1));
      result.curve.push_back(result.accuracy);
      if (result.accuracy >= o.enough) break;
    }
    progress(static_cast<double>(step + 1) / static_cast<double>(o.steps));
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

Json RecallResult::to_json() const {
  return {{"accuracy", accuracy}, {"step", step}, {"curve", curve}, {"state_bytes", state_bytes}, {"parameters", parameters}, {"seconds", seconds}};
}

RecallResult RecallResult::from_json(const Json& j) {
  RecallResult r;
  j.at("accuracy").get_to(r.accuracy);
  j.at("step").get_to(r.step);
  j.at("curve").get_to(r.curve);
  j.at("state_bytes").get_to(r.state_bytes);
  j.at("parameters").get_to(r.parameters);
  j.at("seconds").get_to(r.seconds);
  return r;
}

}  // namespace gamut
