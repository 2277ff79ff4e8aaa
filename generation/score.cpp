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

// 0 and 1, with padding at the end alone.
std::vector<uint8_t> take_mask(Config& cfg, const std::string& key, int64_t rows, int64_t& length) {
  const std::vector<int32_t> mask = take_rows(cfg, key, rows, length, 0);
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 0 && mask[i] != 1) cfg.reject(key, "must hold 0 and 1 only, not " + std::to_string(mask[i]));
    if (mask[i] && i % static_cast<size_t>(length) != 0 && !mask[i - 1])
      cfg.reject(key, "has padding before a token in row " + std::to_string(i / static_cast<size_t>(length)), "pad on the right");
  }
  return {mask.begin(), mask.end()};
}

// Rows shorter than the longest are padding where they end.
void hide_padding(const Json& ids, int64_t length, std::vector<uint8_t>& mask) {
  for (size_t b = 0; b < ids.size(); ++b)
    for (auto t = static_cast<int64_t>(ids[b].size()); t < length; ++t) mask[b * static_cast<size_t>(length) + static_cast<size_t>(t)] = 0;
}

}  // namespace

Example read_example(const Json& document, const std::string& source) {
  Config cfg(document, {.source = source});
  Example e;
  const Json ids = cfg.take_json("input_ids");
  if (ids.is_null()) cfg.reject("input_ids", "is missing", "for example {\"input_ids\": [[1, 2, 3]]}");
  e.ids = take_rows(cfg, "input_ids", 0, e.length, 0);
  e.rows = static_cast<int64_t>(ids.size());
  e.mask.assign(e.ids.size(), 1);
  if (cfg.has("attention_mask")) e.mask = take_mask(cfg, "attention_mask", e.rows, e.length);
  hide_padding(ids, e.length, e.mask);
  if (cfg.has("token_type_ids")) e.token_types = take_rows(cfg, "token_type_ids", e.rows, e.length, 0);
  if (const Json decoder = cfg.take_json("decoder_input_ids"); !decoder.is_null()) {
    e.decoder_ids = take_rows(cfg, "decoder_input_ids", e.rows, e.target_length, 0);
    e.decoder_mask.assign(e.decoder_ids.size(), 1);
    if (cfg.has("decoder_attention_mask")) e.decoder_mask = take_mask(cfg, "decoder_attention_mask", e.rows, e.target_length);
    hide_padding(decoder, e.target_length, e.decoder_mask);
  }
  const auto per_row = [&](const char* key) {
    auto list = cfg.take<std::vector<int32_t>>(key);
    if (static_cast<int64_t>(list.size()) != e.rows) cfg.reject(key, "has " + std::to_string(list.size()) + " entries, input_ids has " + std::to_string(e.rows) + " rows");
    return list;
  };
  if (cfg.has("prefix_length")) e.prefix = per_row("prefix_length");
  if (cfg.has("next_sentence_label")) e.row_labels = per_row("next_sentence_label");
  int64_t length = e.label_length();
  if (const Json* labels = document.contains("labels") ? &document["labels"] : nullptr; labels && labels->is_array() && !labels->empty() && !labels->front().is_array()) {
    if (!e.row_labels.empty()) cfg.reject("labels", "is a flat list beside next_sentence_label: two classes for each row");
    e.row_labels = per_row("labels");
  } else if (cfg.has("labels")) {
    e.labels = take_rows(cfg, "labels", e.rows, length, -100);
  } else {
    const bool decoder = e.target_length > 0;
    e.labels = decoder ? e.decoder_ids : e.ids;
    for (size_t i = 0; i < e.labels.size(); ++i)
      if (!(decoder ? e.decoder_mask : e.mask)[i]) e.labels[i] = -100;
    if (decoder) shift_labels(e);  // a target's tokens stand one place later in what the decoder reads
  }
  if (cfg.has("t")) {
    for (const double t : cfg.take<std::vector<double>>("t")) e.times.push_back(static_cast<float>(t));
    if (static_cast<int64_t>(e.times.size()) != e.rows) cfg.reject("t", "has " + std::to_string(e.times.size()) + " entries, input_ids has " + std::to_string(e.rows) + " rows");
  }
  if (cfg.has("mask_index")) {
    const std::vector<int32_t> hidden = take_rows(cfg, "mask_index", e.rows, e.length, 0);
    for (size_t i = 0; i < hidden.size(); ++i)
      if (hidden[i] == 0) e.labels[i] = -100;
  }
  cfg.finish();
  return e;
}

Scores score(Model& model, const Device& device, const Example& example, const ScoreOptions& options) {
  Scores scores;
  const auto own = build_objective(model.spec().objective);
  {
    Tape tape(device, Tape::Mode::inference);
    std::vector<Tensor> hidden_states, router_logits;
    Pass settings{.tape = tape, .choices_made = options.choices_made, .choices_given = options.choices_given};
    if (options.hidden_states) settings.hidden_states = &hidden_states;
    if (options.router_logits) settings.router_logits = &router_logits;
    ExampleRun run(model, settings, own->sight(), example);
    for (const auto& head : model.heads()) scores.tensors[head->name()] = model.result(run.pass(), *head, run.hidden());
    if (!scores.tensors.contains("logits")) scores.tensors["last_hidden_state"] = run.hidden();
    const std::string side = model.has_encoder() ? "decoder_" : "";
    for (size_t i = 0; i < hidden_states.size(); ++i) scores.tensors[side + "hidden_states." + std::to_string(i)] = hidden_states[i];
    for (size_t i = 0; i < run.encoder_hidden_states().size(); ++i) scores.tensors["encoder_hidden_states." + std::to_string(i)] = run.encoder_hidden_states()[i];
    for (size_t i = 0; i < router_logits.size(); ++i) scores.tensors["router_logits." + std::to_string(i)] = router_logits[i];
  }
  if (options.loss.empty()) return scores;

  const auto objective = options.loss == model.spec().objective.kind ? build_objective(model.spec().objective) : build_objective({options.loss});
  const Example aligned = objective->given(example);
  const double weight = objective->weight(aligned);
  if (weight == 0) throw Error({.who = "score", .what = "no position bears loss", .hint = "each row needs at least two tokens, or a label that is not negative after the first"});
  // Auxiliary losses arise in training alone, so the loss without gradients is computed the same way.
  Tape tape(device, Tape::Mode::training);
  if (options.gradients) model.parameters().allocate_gradients();
  objective->loss(model, {.tape = tape, .choices_given = options.choices_given}, aligned, 1 / weight);
  scores.loss = tape.total_loss();
  if (options.gradients) tape.backward();
  else tape.forget();
  return scores;
}

std::vector<Drafts> count_drafts(const Model& model, const Scores& scores, const Example& e) {
  const int64_t t = e.length, v = model.spec().vocab;
  const auto said = [&](const Tensor& logits) {
    std::vector<int32_t> best(static_cast<size_t>(e.rows * t));
    for (size_t i = 0; i < best.size(); ++i) {
      const auto at = static_cast<int64_t>(i) * v;
      const auto value = [&](int64_t token) { return logits.dtype() == DType::f64 ? logits.data<double>()[at + token] : static_cast<double>(logits.data<float>()[at + token]); };
      for (int64_t token = 1; token < v; ++token)
        if (value(token) > value(best[i])) best[i] = static_cast<int32_t>(token);
    }
    return best;
  };
  std::vector<Drafts> all;
  const std::vector<int32_t> next = said(scores.tensors.at("logits"));
  // A draft is looked at while all before it were accepted; and only along the text is it known what the model says next.
  std::vector<bool> right(next.size());
  const auto is_text = [&](int64_t i, int64_t ahead, int32_t token) {
    return i % t + ahead < t && e.mask[static_cast<size_t>(i + ahead)] && e.ids[static_cast<size_t>(i + ahead)] == token;
  };
  for (size_t i = 0; i < next.size(); ++i) right[i] = is_text(static_cast<int64_t>(i), 1, next[i]);
  for (const auto& head : model.heads()) {
    const int64_t depth = head->further();
    if (depth == 0) continue;
    const std::vector<int32_t> draft = said(scores.tensors.at(head->name()));
    Drafts drafts{.depth = depth};
    for (int64_t i = 0; i < static_cast<int64_t>(next.size()); ++i) {
      const auto at = static_cast<size_t>(i);
      if (!right[at] || i % t + depth >= t || !e.mask[at + static_cast<size_t>(depth)]) continue;
      ++drafts.drafted;
      const bool accepted = draft[at] == next[at + static_cast<size_t>(depth)];
      drafts.accepted += accepted;
      right[at] = accepted && is_text(i, depth + 1, draft[at]);
    }
    all.push_back(drafts);
  }
  return all;
}

void write_scores(const Scores& scores, const std::filesystem::path& path) {
  std::vector<TensorBytes> bytes;
  bool wide = false;
  for (const auto& [name, tensor] : scores.tensors) {
    bytes.push_back(bytes_of(name, tensor));
    wide = wide || tensor.dtype() == DType::f64;
  }
  const auto loss = static_cast<float>(scores.loss.value_or(0));
  if (scores.loss && wide) bytes.push_back({{"loss", DType::f64, {}, std::as_bytes(std::span(&*scores.loss, 1))}, {}});
  else if (scores.loss) bytes.push_back({{"loss", DType::f32, {}, std::as_bytes(std::span(&loss, 1))}, {}});
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
