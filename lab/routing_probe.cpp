#include "lab/routing_probe.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"

namespace gamut {

LabelledExample held_out(Trainer& trainer, int64_t bytes) {
  const Dataset& data = trainer.data();
  LabelledExample out;
  out.domains = data.domains;
  out.example.length = trainer.options().length;
  for (size_t d = 0; d < data.validation.size(); ++d) {
    const ValidationSet set(data.validation[d], *data.tokenizer, out.example.length, bytes);
    const Batch batch = set.batch(0, set.windows());
    out.example.rows += batch.rows;
    out.example.ids.insert(out.example.ids.end(), batch.inputs.begin(), batch.inputs.end());
    out.domain_N.insert(out.domain_N.end(), batch.inputs.size(), static_cast<int32_t>(d));
  }
  out.example.labels = out.id_N = out.example.ids;
  return out;
}

Json probe_routing(Trainer& trainer, int64_t bytes, int shuffles) {
  const LabelledExample text = held_out(trainer, bytes);
  const Measurement measured = measure(trainer.model(), trainer.device(), text.example);
  return {{"loss", measured.loss}, {"layers", routing_json(measured, text, shuffles)}};
}

Json watch_routing(Trainer& trainer, int64_t bytes) {
  const Measurement m = measure(trainer.model(), trainer.device(), held_out(trainer, bytes).example);
  double violation = 0, entropy = 0;
  for (const RoutingRecord& r : m.routing) {
    violation = std::max(violation, max_violation(r.load_E));
    entropy += r.entropy / static_cast<double>(m.routing.size());
  }
  Json choices = Json::array();
  for (const RouterChoices& c : m.choices) choices.push_back({{"slots", c.slots}, {"index", c.index_Nk}});
  return {{"max_violation", violation}, {"entropy", entropy}, {"choices", choices}};
}

std::vector<double> saturation(const std::vector<Json>& watched) {
  if (watched.empty() || watched.back().at("choices").empty()) return {};
  const auto choices = [](const Json& c) { return RouterChoices{"", c.at("slots").get<int64_t>(), c.at("index").get<std::vector<int32_t>>()}; };
  std::vector<double> same;
  for (const Json& w : watched) {
    double sum = 0;
    const Json &now = w.at("choices"), &last = watched.back().at("choices");
    for (size_t r = 0; r < last.size(); ++r) sum += overlap(choices(now.at(r)), choices(last.at(r))) / static_cast<double>(last.size());
    same.push_back(sum);
  }
  return same;
}

namespace {

std::vector<int64_t> best(const float* logits, int64_t experts, int64_t k) {
  std::vector<int64_t> order(static_cast<size_t>(experts));
  for (int64_t e = 0; e < experts; ++e) order[static_cast<size_t>(e)] = e;
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t a, int64_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  order.resize(static_cast<size_t>(k));
  return order;
}

// Of the experts chosen by exact logits, the share that logits rounded after `offset` was added choose, too.
double kept_by_rounding(const Tensor& logits, float offset, int64_t k) {
  const int64_t experts = logits.width();
  std::vector<float> rounded(static_cast<size_t>(experts));
  int64_t kept = 0;
  for (int64_t t = 0; t < logits.rows(); ++t) {
    const float* row = logits.data<float>() + t * experts;
    for (int64_t e = 0; e < experts; ++e) rounded[static_cast<size_t>(e)] = static_cast<float>(bf16(row[e] + offset));
    const std::vector<int64_t> exact = best(row, experts, k), chosen = best(rounded.data(), experts, k);
    for (const int64_t e : exact) kept += std::find(chosen.begin(), chosen.end(), e) != chosen.end();
  }
  return static_cast<double>(kept) / static_cast<double>(logits.rows() * k);
}

}  // namespace

Json probe_logits(Trainer& trainer, int64_t bytes, int64_t top_k) {
  const LabelledExample text = held_out(trainer, bytes);
  const std::vector<double> edge{0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64}, offset{0, 8, 32, 128};
  std::vector<double> share(edge.size(), 0), kept(offset.size(), 0);
  double count = 0, weight = 0;
  for (int64_t first = 0; first < text.example.rows; first += trainer.options().micro()) {
    const int64_t rows = std::min(trainer.options().micro(), text.example.rows - first);
    Tape tape(trainer.device(), Tape::Mode::inference);
    std::vector<Tensor> logits;
    Pass pass{.tape = tape, .router_logits = &logits};
    const ExampleRun run(trainer.model(), pass, trainer.objective().sight(), text.example.slice(first, rows));
    for (const Tensor& l : logits) {
      for (const float h : l.span<float>()) {
        const auto bin = std::lower_bound(edge.begin(), edge.end(), std::abs(static_cast<double>(h)));
        share[static_cast<size_t>(std::min(bin, edge.end() - 1) - edge.begin())] += 1;
      }
      for (size_t o = 0; o < offset.size(); ++o) kept[o] += static_cast<double>(l.rows()) * kept_by_rounding(l, static_cast<float>(offset[o]), top_k);
      count += static_cast<double>(l.elements());
      weight += static_cast<double>(l.rows());
    }
  }
  for (double& s : share) s /= std::max(1.0, count);
  for (double& s : kept) s /= std::max(1.0, weight);
  return {{"edge", edge}, {"share", share}, {"offset", offset}, {"kept", kept}};
}

namespace {

// Predictions at the positions of the last row, [T, V], probabilities.
std::vector<float> predict_last(Model& model, const Device& device, std::span<const int32_t> ids, int64_t length) {
  const int64_t rows = static_cast<int64_t>(ids.size()) / length;
  Tape tape(device, Tape::Mode::inference);
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, ids, rows, length, model.spec().vocab)};
  const Tensor logits = model.logits(pass, model.hidden(pass));
  const int64_t vocab = logits.width();
  std::vector<float> p(logits.data<float>() + (rows - 1) * length * vocab, logits.data<float>() + rows * length * vocab);
  for (int64_t t = 0; t < length; ++t) {
    float* row = p.data() + t * vocab;
    const float top = *std::max_element(row, row + vocab);
    double sum = 0;
    for (int64_t v = 0; v < vocab; ++v) sum += row[v] = std::exp(row[v] - top);
    for (int64_t v = 0; v < vocab; ++v) row[v] = static_cast<float>(row[v] / sum);
  }
  return p;
}

struct Change {
  double argmax = 0, distance = 0;  // share of positions; mean total variation
};
Change change(const std::vector<float>& a, const std::vector<float>& b, int64_t length) {
  const auto vocab = static_cast<std::ptrdiff_t>(a.size()) / length;
  Change c;
  for (int64_t t = 0; t < length; ++t) {
    const auto x = a.begin() + t * vocab, y = b.begin() + t * vocab;
    c.argmax += std::max_element(x, x + vocab) - x != std::max_element(y, y + vocab) - y;
    for (int64_t v = 0; v < vocab; ++v) c.distance += 0.5 * std::abs(static_cast<double>(x[v]) - static_cast<double>(y[v]));
  }
  return {c.argmax / static_cast<double>(length), c.distance / static_cast<double>(length)};
}

}  // namespace

Json probe_neighbours(Trainer& trainer, const std::vector<double>& factors, int64_t rows, int sets) {
  const LabelledExample text = held_out(trainer, 64 << 10);
  const int64_t length = text.example.length;
  const auto row = [&](uint64_t i) { return std::span(text.example.ids).subspan(i * static_cast<uint64_t>(length), static_cast<size_t>(length)); };
  const RandomStream draw(29, "neighbours");
  Json out = {{"factor", factors}, {"changed", Json::array()}, {"distance", Json::array()}, {"alone", Json::array()}};
  for (const double factor : factors) {
    ModelSpec spec = trainer.model().spec();
    for (LayerSpec& layer : spec.layers)
      if (factor > 0 && layer.channel.kind == "moe") layer.channel.options.update({{"capacity_factor", factor}, {"drop_when", "always"}});
    const Device device = Device::real(trainer.pool());
    Model model(spec, device);
    for (const Parameter& from : trainer.model().parameters().all()) {
      const std::span<const float> values = from.value.span<float>();
      std::copy(values.begin(), values.end(), model.parameters().find(from.name)->value.data<float>());
    }
    model.parameters().mark_changed();
    std::vector<float> first;
    Change sum;
    for (int s = 0; s < sets; ++s) {
      std::vector<int32_t> ids;
      for (int64_t b = 0; b + 1 < rows; ++b) {
        const auto neighbour = row(1 + draw.below(static_cast<uint64_t>(s * rows + b), static_cast<uint64_t>(text.example.rows - 1)));
        ids.insert(ids.end(), neighbour.begin(), neighbour.end());
      }
      ids.insert(ids.end(), row(0).begin(), row(0).end());
      const std::vector<float> p = predict_last(model, device, ids, length);
      if (s == 0) {
        first = p;
        continue;
      }
      const Change c = change(first, p, length);
      sum.argmax += c.argmax / (sets - 1);
      sum.distance += c.distance / (sets - 1);
    }
    out["changed"].push_back(sum.argmax);
    out["distance"].push_back(sum.distance);
    out["alone"].push_back(change(first, predict_last(model, device, row(0), length), length).distance);
  }
  return out;
}

}  // namespace gamut
