#include "generation/score.h"

#include <algorithm>
#include <cstring>

#include "objectives/objective.h"

namespace gamut {
namespace {

// One matrix of integers, rows padded with `fill` to `length` (0: the longest row's).
std::vector<int32_t> take_rows(Config& cfg, const std::string& key, int64_t rows, int64_t& length, int32_t fill) {
  const Json value = cfg.take_json(key);
  const auto wrong = [&](const std::string& found) { cfg.reject(key, "must be a list of lists of whole numbers" + found, "for example [[1, 2, 3]]"); };
  if (!value.is_array() || value.empty()) wrong("");
  if (rows > 0 && static_cast<int64_t>(value.size()) != rows) cfg.reject(key, "has " + std::to_string(value.size()) + " rows, input_ids has " + std::to_string(rows));
  const bool given = length > 0;
  for (const Json& row : value) {
    if (!row.is_array()) wrong(", found " + row.dump());
    const auto n = static_cast<int64_t>(row.size());
    if (given && n > length) cfg.reject(key, "has a row of " + std::to_string(n) + ", longer than input_ids (" + std::to_string(length) + ")");
    length = std::max(length, n);
  }
  if (length == 0) cfg.reject(key, "has no tokens");
  std::vector<int32_t> out;
  for (const Json& row : value) {
    for (const Json& item : row) {
      if (!item.is_number_integer() || item.get<int64_t>() != item.get<int32_t>()) wrong(", found " + item.dump());
      out.push_back(item.get<int32_t>());
    }
    out.resize(out.size() + static_cast<size_t>(length) - row.size(), fill);
  }
  return out;
}

std::vector<int64_t> dims(const Tensor& t) { return {t.shape().dims().begin(), t.shape().dims().end()}; }

// Values of a float tensor in the type that is written.
TensorBytes bytes_of(const std::string& name, const Tensor& t) {
  const DType type = parameter_dtype(t.dtype());
  TensorBytes out{{name, type, dims(t), {t.raw(), t.bytes()}}, {}};
  if (t.dtype() == DType::bf16) {
    out.owned.resize(static_cast<size_t>(t.elements()) * sizeof(float));
    for (int64_t i = 0; i < t.elements(); ++i) {
      const auto x = static_cast<float>(t.data<bf16>()[i]);
      std::memcpy(out.owned.data() + static_cast<size_t>(i) * sizeof x, &x, sizeof x);
    }
    out.view.bytes = out.owned;
  }
  return out;
}

}  // namespace

ScoreInput read_score_input(const Json& document, const std::string& source) {
  Config cfg(document, {.source = source});
  ScoreInput in;
  const Json ids = cfg.take_json("input_ids");
  if (ids.is_null()) cfg.reject("input_ids", "is missing", "for example {\"input_ids\": [[1, 2, 3]]}");
  in.ids = take_rows(cfg, "input_ids", 0, in.length, 0);
  in.rows = static_cast<int64_t>(ids.size());
  in.mask.assign(in.ids.size(), 1);
  for (int64_t b = 0; b < in.rows; ++b)
    for (auto t = static_cast<int64_t>(ids[static_cast<size_t>(b)].size()); t < in.length; ++t) in.mask[static_cast<size_t>(b * in.length + t)] = 0;
  if (cfg.has("attention_mask")) {
    const std::vector<int32_t> mask = take_rows(cfg, "attention_mask", in.rows, in.length, 0);
    for (size_t i = 0; i < mask.size(); ++i) {
      if (mask[i] != 0 && mask[i] != 1) cfg.reject("attention_mask", "must hold 0 and 1 only, not " + std::to_string(mask[i]));
      in.mask[i] = in.mask[i] && mask[i];
      if (in.mask[i] && i % static_cast<size_t>(in.length) != 0 && !in.mask[i - 1])
        cfg.reject("attention_mask", "has padding before a token in row " + std::to_string(i / static_cast<size_t>(in.length)), "pad on the right");
    }
  }
  if (cfg.has("labels")) {
    in.labels = take_rows(cfg, "labels", in.rows, in.length, -100);
  } else {
    in.labels = in.ids;
    for (size_t i = 0; i < in.labels.size(); ++i)
      if (!in.mask[i]) in.labels[i] = -100;
  }
  cfg.finish();
  return in;
}

Scores score(Model& model, const Device& device, const ScoreInput& in, const ScoreOptions& options) {
  Scores scores;
  const int64_t vocab = model.spec().vocab;
  {
    Tape tape(device, Tape::Mode::inference);
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, in.ids, in.rows, in.length, vocab)};
    pass.visibility.sight = build_objective(model.spec().objective)->sight();
    if (options.hidden_states) pass.hidden_states = &scores.hidden_states;
    if (options.router_logits) pass.router_logits = &scores.router_logits;
    const Tensor hidden = model.hidden(pass);
    scores.logits_BTV = model.logits(pass, hidden);
  }
  if (options.loss.empty()) return scores;

  const auto objective = build_objective(options.loss);
  std::vector<int32_t> targets(in.labels.size(), -100);
  for (int64_t b = 0; b < in.rows; ++b)
    for (int64_t t = 0; t + 1 < in.length; ++t) {
      const int32_t label = in.labels[static_cast<size_t>(b * in.length + t + 1)];
      if (label >= vocab) throw Error({.who = "score", .what = "label " + std::to_string(label) + " is outside the vocabulary of " + std::to_string(vocab)});
      targets[static_cast<size_t>(b * in.length + t)] = label;
    }
  const TokenRows rows{in.rows, in.length, in.ids, targets};
  const int64_t count = objective->loss_tokens(rows);
  if (count == 0) throw Error({.who = "score", .what = "no position bears loss", .hint = "each row needs at least two tokens, or a label that is not negative after the first"});
  // Auxiliary losses arise in training alone, so the loss without gradients is computed the same way.
  Tape tape(device, Tape::Mode::training);
  if (options.gradients) model.parameters().allocate_gradients();
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, in.ids, in.rows, in.length, vocab)};
  if (std::find(in.mask.begin(), in.mask.end(), 0) != in.mask.end()) {
    pass.counted_N = tape.empty({in.rows * in.length}, DType::u8);
    std::copy(in.mask.begin(), in.mask.end(), pass.counted_N.data<uint8_t>());
  }
  objective->loss(model, pass, rows, 1.0 / static_cast<double>(count));
  scores.loss = tape.total_loss();
  if (options.gradients) tape.backward();
  else tape.forget();
  return scores;
}

void write_scores(const Scores& scores, const std::filesystem::path& path) {
  std::vector<TensorBytes> bytes{bytes_of("logits", scores.logits_BTV)};
  const auto loss = static_cast<float>(scores.loss.value_or(0));
  if (scores.loss && scores.logits_BTV.dtype() == DType::f64) bytes.push_back({{"loss", DType::f64, {}, std::as_bytes(std::span(&*scores.loss, 1))}, {}});
  else if (scores.loss) bytes.push_back({{"loss", DType::f32, {}, std::as_bytes(std::span(&loss, 1))}, {}});
  for (size_t i = 0; i < scores.hidden_states.size(); ++i) bytes.push_back(bytes_of("hidden_states." + std::to_string(i), scores.hidden_states[i]));
  for (size_t i = 0; i < scores.router_logits.size(); ++i) bytes.push_back(bytes_of("router_logits." + std::to_string(i), scores.router_logits[i]));
  std::vector<TensorView> views;
  for (const TensorBytes& b : bytes) views.push_back(b.view);
  write_safetensors(path, views);
}

void write_gradients(const LoadedModel& loaded, const std::filesystem::path& path) {
  const DType type = loaded.model.parameters().dtype();
  std::vector<TensorBytes> bytes;
  for (const StoredTensor& tensor : loaded.tensors) bytes.push_back(stored_bytes(loaded.model, tensor, type, true));
  std::vector<TensorView> views;
  for (const TensorBytes& b : bytes) views.push_back(b.view);
  write_safetensors(path, views);
}

}  // namespace gamut
