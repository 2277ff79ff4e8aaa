#include "generation/decoder.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/error.h"
#include "base/interrupt.h"
#include "generation/unmasking.h"
#include "objectives/objective.h"

namespace gamut {

Decoder::Decoder(Model& model, const Device& device, int64_t rows, int64_t capacity) : model_(model), device_(device), rows_(rows) {
  const auto objective = build_objective(model.spec().objective);
  prompt_is_prefix_ = objective->prompt_is_prefix() && !model.has_encoder();
  if (objective->writing() != Objective::Writing::left_to_right)
    throw Error({.who = "generate", .what = "a model trained for '" + model.spec().objective.kind + "' does not write from left to right"});
  Tape tape(device_, Tape::Mode::inference);
  states_ = model.start(tape, rows, capacity);
}

size_t Decoder::state_bytes() const {
  size_t bytes = 0;
  for (const auto& state : states_)
    if (state) bytes += state->bytes();
  return bytes;
}

void Decoder::note_cost(const Tape& tape) {
  for (const auto& [name, cost] : tape.ledger()) cost_ += cost;
}

void Decoder::read(std::span<const int32_t> ids, const std::vector<int32_t>& lengths) {
  const int64_t length = static_cast<int64_t>(ids.size()) / rows_;
  Tape tape(device_, Tape::Mode::inference);
  if (std::any_of(lengths.begin(), lengths.end(), [&](int32_t n) { return n < length; })) {
    source_.keys_B = tape.empty({rows_}, DType::i32);
    if (tape.runs()) std::copy(lengths.begin(), lengths.end(), source_.keys_B.data<int32_t>());
  }
  source_.sight.causal = false;
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, ids, rows_, length, model_.spec().vocab), .visibility = source_};
  encoded_BSD_ = model_.encode(pass);
  note_cost(tape);
}

std::vector<float> Decoder::take(std::span<const int32_t> ids, int64_t chunk) {
  const int64_t n = static_cast<int64_t>(ids.size()) / rows_, vocab = model_.spec().vocab;
  std::vector<float> result;
  const bool prefix = prompt_is_prefix_ && length_ == 0;
  if (prefix) chunk = n;
  for (int64_t first = 0; first < n; first += chunk) {
    const int64_t count = std::min(chunk, n - first);
    std::vector<int32_t> part;
    for (int64_t b = 0; b < rows_; ++b) part.insert(part.end(), ids.begin() + b * n + first, ids.begin() + b * n + first + count);
    Tape tape(device_, Tape::Mode::inference);
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, part, rows_, count, vocab), .offset = length_};
    if (prefix) pass.visibility.sight.prefix = n;
    pass.states = &states_;
    if (encoded_BSD_) pass.encoded_BSD = &encoded_BSD_;
    pass.source_visibility = source_;
    const Tensor hidden = model_.hidden(pass);
    length_ += count;
    if (first + count < n) {
      note_cost(tape);
      continue;
    }
    const int64_t width = hidden.width();
    const Tensor last = tape.empty({rows_, width}, hidden.dtype());
    const size_t row = static_cast<size_t>(width) * size_of(hidden.dtype());
    if (tape.runs())
      for (int64_t b = 0; b < rows_; ++b) std::memcpy(last.raw() + static_cast<size_t>(b) * row, hidden.raw() + static_cast<size_t>((b + 1) * count - 1) * row, row);
    const Tensor logits = model_.logits(pass, last);
    note_cost(tape);
    if (!tape.runs()) continue;
    if (logits.dtype() == DType::f64) result.assign(logits.data<double>(), logits.data<double>() + rows_ * vocab);
    else result.assign(logits.data<float>(), logits.data<float>() + rows_ * vocab);
  }
  return result;
}

namespace {

// The sources of some rows, padded to the longest.
void read_sources(Decoder& decoder, const std::vector<std::vector<int32_t>>& sources, const std::vector<size_t>& members) {
  size_t longest = 0;
  for (const size_t i : members) longest = std::max(longest, sources[i].size());
  std::vector<int32_t> ids, lengths;
  for (const size_t i : members) {
    ids.insert(ids.end(), sources[i].begin(), sources[i].end());
    ids.insert(ids.end(), longest - sources[i].size(), 0);
    lengths.push_back(static_cast<int32_t>(sources[i].size()));
  }
  decoder.read(ids, lengths);
}

}  // namespace

std::vector<std::vector<int32_t>> generate(Model& model, const Device& device, const std::vector<std::vector<int32_t>>& prompts, const GenerateOptions& options,
                                           const std::vector<std::vector<int32_t>>& sources) {
  options.sampling.check();
  std::vector<std::vector<int32_t>> rows = prompts;
  const auto objective = build_objective(model.spec().objective);
  if (objective->writing() == Objective::Writing::unmasking) {
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i] = unmask(model, device, prompts[i], options);
      for (size_t t = prompts[i].size(); options.on_token && t < rows[i].size() && options.on_token(i, rows[i][t]);) ++t;
    }
    return rows;
  }
  if (model.has_encoder() != !sources.empty())
    throw Error({.who = "generate", .what = model.has_encoder() ? "an encoder-decoder needs a source for each row" : "a source is given, and the model has no encoder to read it"});
  if (!sources.empty()) {
    if (rows.empty()) rows.resize(sources.size());
    if (rows.size() != sources.size()) throw Error({.who = "generate", .what = std::to_string(rows.size()) + " prompts for " + std::to_string(sources.size()) + " sources"});
    for (size_t i = 0; i < rows.size(); ++i) {
      if (sources[i].empty()) throw Error({.who = "generate", .what = "source " + std::to_string(i) + " is empty", .hint = "give at least one token"});
      if (rows[i].empty() && objective->start()) rows[i] = {*objective->start()};
    }
  }
  std::map<size_t, std::vector<size_t>> by_length;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].empty()) throw Error({.who = "generate", .what = "prompt " + std::to_string(i) + " is empty", .hint = "give at least one token"});
    by_length[rows[i].size()].push_back(i);
  }
  const auto vocab = static_cast<size_t>(model.spec().vocab);
  for (const auto& [length, members] : by_length) {
    if (options.max_new_tokens < 1) break;
    const auto count = static_cast<int64_t>(members.size());
    int64_t steps = options.max_new_tokens;
    const auto start = model.has_encoder() ? std::nullopt : objective->start();
    const int64_t given = static_cast<int64_t>(length) + (start ? 1 : 0);
    if (const auto limit = model.position_limit()) steps = std::min(steps, std::max<int64_t>(1, *limit - given + 1));
    Decoder decoder(model, device, count, given + steps);
    if (!sources.empty()) read_sources(decoder, sources, members);
    std::vector<int32_t> next;
    for (const size_t i : members) next.insert(next.end(), rows[i].begin(), rows[i].end());
    if (start) {  // the target begins anew behind its source
      decoder.take(next, options.chunk);
      next.assign(members.size(), *start);
      for (const size_t i : members) rows[i].push_back(*start);
    }
    std::vector<bool> done(members.size());
    for (int64_t step = 0; step < steps && !interrupted(); ++step) {
      const std::vector<float> logits = decoder.take(next, options.chunk);
      next.assign(members.size(), 0);
      for (size_t m = 0; m < members.size(); ++m) {
        std::vector<int32_t>& row = rows[members[m]];
        if (done[m]) {  // goes on unseen until all are done
          next[m] = row.back();
          continue;
        }
        next[m] = choose(std::span(logits).subspan(m * vocab, vocab), row, options.sampling, static_cast<int64_t>(row.size()));
        row.push_back(next[m]);
        done[m] = std::find(options.eos.begin(), options.eos.end(), next[m]) != options.eos.end();
        if (options.on_token && !options.on_token(members[m], next[m])) done[m] = true;
      }
      if (std::all_of(done.begin(), done.end(), [](bool d) { return d; })) break;
    }
  }
  return rows;
}

}  // namespace gamut
