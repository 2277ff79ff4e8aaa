#include "objectives/example.h"

#include <algorithm>

#include "base/error.h"
#include "ops/rows.h"

namespace gamut {
namespace {

Tensor id_tensor_of(Tape& tape, const std::vector<int32_t>& ids, Shape shape) {
  if (ids.empty()) return {};
  const Tensor t = tape.empty(shape, DType::i32);
  if (tape.runs()) std::copy(ids.begin(), ids.end(), t.data<int32_t>());
  return t;
}

}  // namespace

Example Example::slice(int64_t first, int64_t count) const {
  Example out = *this;
  out.rows = count;
  const auto cut = [&](auto& list, int64_t width) {
    if (list.empty()) return;
    list.erase(list.begin() + (first + count) * width, list.end());
    list.erase(list.begin(), list.begin() + first * width);
  };
  for (auto* list : {&out.ids, &out.token_types}) cut(*list, length);
  cut(out.decoder_ids, target_length);
  for (auto* list : {&out.prefix, &out.row_labels}) cut(*list, 1);
  cut(out.times, 1);
  cut(out.labels, label_length());
  cut(out.weights, label_length());
  cut(out.mask, length);
  cut(out.decoder_mask, target_length);
  return out;
}

void shift_labels(Example& e) {
  const int64_t length = e.label_length();
  for (int64_t b = 0; b < e.rows; ++b) {
    const auto row = e.labels.begin() + b * length;
    std::copy(row + 1, row + length, row);
    row[length - 1] = -100;
  }
}

ExampleRun::ExampleRun(Model& model, const Pass& settings, const kernels::Sight& sight, const Example& e) : model_(model), pass_(settings) {
  Tape& tape = pass_.tape;
  const int64_t vocab = model.spec().vocab;
  // Where rows see to their ends, the padding must be out of sight; rules that only look back never meet it.
  const auto sees = [&](kernels::Sight rule, const std::vector<uint8_t>& mask, int64_t length, const std::vector<int32_t>& prefix) {
    if (!prefix.empty()) rule.causal = true;
    ops::Visibility visibility{.sight = rule, .prefix_B = id_tensor_of(tape, prefix, {e.rows})};
    if ((rule.causal && prefix.empty()) || std::find(mask.begin(), mask.end(), 0) == mask.end()) return visibility;
    visibility.keys_B = tape.empty({e.rows}, DType::i32);
    if (tape.runs())
      for (int64_t b = 0; b < e.rows; ++b)
        visibility.keys_B.data<int32_t>()[b] = static_cast<int32_t>(std::count(mask.begin() + b * length, mask.begin() + (b + 1) * length, 1));
    return visibility;
  };
  const auto read = [&](Pass& pass, std::span<const int32_t> ids, const std::vector<uint8_t>& mask, int64_t length) {
    pass.ids_BT = id_tensor(tape, ids, e.rows, length, vocab);
    if (std::find(mask.begin(), mask.end(), 0) == mask.end()) return;
    pass.counted_N = tape.empty({e.rows * length}, DType::u8);
    if (tape.runs()) std::copy(mask.begin(), mask.end(), pass.counted_N.data<uint8_t>());
  };
  const auto read_types = [&](Pass& pass) {
    const int64_t types = model.spec().token_types;
    if (e.token_types.empty() || types == 0) return;
    if (const auto [low, high] = std::minmax_element(e.token_types.begin(), e.token_types.end()); tape.runs() && (*low < 0 || *high >= types))
      throw Error({.who = "model", .what = "token type " + std::to_string(*low < 0 ? *low : *high) + " is outside the model's " + std::to_string(types)});
    pass.token_types_BT = id_tensor_of(tape, e.token_types, {e.rows, e.length});
  };
  if (model.has_encoder()) {
    if (e.target_length == 0) throw Error({.who = "model", .what = "an encoder-decoder needs a target beside its source", .hint = "give the source as input_ids and the target as decoder_input_ids"});
    Pass source = settings;
    source.visibility = pass_.source_visibility = sees({.causal = false}, e.mask, e.length, {});
    if (settings.hidden_states) source.hidden_states = &encoder_states_;
    read(source, e.ids, e.mask, e.length);
    read_types(source);
    encoded_ = model.encode(source);
    pass_.encoded_BSD = &encoded_;
    read(pass_, e.decoder_ids, e.decoder_mask, e.target_length);
    pass_.visibility = sees(sight, e.decoder_mask, e.target_length, e.prefix);
  } else {
    read(pass_, e.ids, e.mask, e.length);
    read_types(pass_);
    pass_.visibility = sees(sight, e.mask, e.length, e.prefix);
  }
  hidden_ = model.hidden(pass_);
}

void ExampleRun::look_back() {
  const Shape shape = hidden_.shape();
  const Tensor before = pass_.tape.empty({shape[0] * shape[1]}, DType::i32);
  if (pass_.tape.runs())
    for (int64_t i = 0; i < before.elements(); ++i) before.data<int32_t>()[i] = static_cast<int32_t>(i % shape[1] == 0 ? i : i - 1);
  hidden_ = ops::rows(pass_.tape, hidden_, before).reshape(shape);
}

ops::HeadLoss ExampleRun::loss(const Head& head, const std::vector<int32_t>& labels, double scale, const std::vector<float>& weights) { return loss_of(head, hidden_, labels, scale, weights); }

ops::HeadLoss ExampleRun::sparse_loss(const Head& head, const std::vector<int32_t>& labels, int64_t most, double scale, const std::vector<float>& weights) {
  if (static_cast<int64_t>(labels.size()) != hidden_.rows()) return loss(head, labels, scale, weights);
  std::vector<int32_t> places, kept;
  std::vector<float> kept_weights;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    places.push_back(static_cast<int32_t>(i));
    kept.push_back(labels[i]);
    if (!weights.empty()) kept_weights.push_back(weights[i]);
  }
  places.resize(std::max(places.size(), static_cast<size_t>(most)));
  kept.resize(places.size(), -100);
  if (!weights.empty()) kept_weights.resize(places.size());
  return loss_of(head, ops::rows(pass_.tape, hidden_, id_tensor_of(pass_.tape, places, {static_cast<int64_t>(places.size())})), kept, scale, kept_weights);
}

ops::HeadLoss ExampleRun::loss_of(const Head& head, const Tensor& hidden, const std::vector<int32_t>& labels, double scale, const std::vector<float>& weights) {
  Tape& tape = pass_.tape;
  const Tensor features = head.features(pass_, hidden);
  const ops::LinearWeight classifier = head.classifier();
  if (!classifier.w_NK) throw Error({.who = "model", .what = "the head '" + head.name() + "' has no classes to learn"});
  const int64_t n = features.rows(), classes = classifier.w_NK.shape()[0];
  const Tensor target = tape.empty({n}, DType::i32);
  Tensor weight;
  if (!weights.empty()) weight = tape.empty({n}, classifier.w_NK.dtype());
  if (tape.runs()) {
    if (static_cast<int64_t>(labels.size()) != n) throw Error({.who = "model", .what = std::to_string(labels.size()) + " labels for " + std::to_string(n) + " results of the head '" + head.name() + "'"});
    for (size_t i = 0; i < labels.size(); ++i) {
      if (labels[i] >= classes) throw Error({.who = "model", .what = "label " + std::to_string(labels[i]) + " is outside the " + std::to_string(classes) + " classes of the head '" + head.name() + "'"});
      target.data<int32_t>()[i] = labels[i];
    }
    if (weight)
      with_float_type(weight.dtype(), [&]<class P>() {
        if constexpr (!std::is_same_v<P, bf16>) std::copy(weights.begin(), weights.end(), weight.data<P>());
      });
  }
  return ops::cross_entropy(tape, features, classifier, target, scale, 0, weight, head.softcap());
}

}  // namespace gamut
