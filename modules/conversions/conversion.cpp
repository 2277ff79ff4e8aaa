#include "modules/conversions/conversion.h"

#include <algorithm>
#include <cassert>

namespace gamut {
namespace {

const Parameter* find(const Parameters& parameters, const std::string& name) {
  for (const Parameter& p : parameters.all())
    if (p.name == name) return &p;
  return nullptr;
}

// Slice `expert` of a parameter with a leading dimension of experts; all of it for expert < 0.
struct Place {
  int64_t first, count;
};
Place place_of(const Parameter& p, int64_t expert) {
  const int64_t all = p.value.elements();
  return expert < 0 ? Place{0, all} : Place{expert * (all / p.value.shape()[0]), all / p.value.shape()[0]};
}

std::vector<double> read(const Parameter& p, int64_t expert) {
  const Place at = place_of(p, expert);
  std::vector<double> out(static_cast<size_t>(at.count));
  with_float_type(p.value.dtype(), [&]<class P>() {
    for (int64_t i = 0; i < at.count; ++i) out[static_cast<size_t>(i)] = static_cast<double>(p.value.data<P>()[at.first + i]);
  });
  return out;
}

void write(const Parameter& p, int64_t expert, const std::vector<double>& values) {
  const Place at = place_of(p, expert);
  assert(static_cast<int64_t>(values.size()) == at.count);
  with_float_type(p.value.dtype(), [&]<class P>() {
    for (int64_t i = 0; i < at.count; ++i) p.value.data<P>()[at.first + i] = P(static_cast<accumulator<P>>(values[static_cast<size_t>(i)]));
  });
}

// The six parts with their names.
template <class Values, class Do> void for_parts(Values& v, Do&& part) {
  part("gate", v.gate);
  part("up", v.up);
  part("down", v.down);
  part("gate_bias", v.gate_bias);
  part("up_bias", v.up_bias);
  part("down_bias", v.down_bias);
}

}  // namespace

FfnValues FfnValues::units(int64_t first, int64_t count) const {
  FfnValues out{.hidden = count, .width = width, .down_bias = down_bias};
  const auto rows = [&](const std::vector<double>& m, int64_t each) {
    return m.empty() ? std::vector<double>() : std::vector<double>(m.begin() + first * each, m.begin() + (first + count) * each);
  };
  out.gate = rows(gate, width);
  out.up = rows(up, width);
  out.gate_bias = rows(gate_bias, 1);
  out.up_bias = rows(up_bias, 1);
  for (int64_t d = 0; d < width; ++d) out.down.insert(out.down.end(), down.begin() + d * hidden + first, down.begin() + d * hidden + first + count);
  return out;
}

void FfnValues::scale_down(double by) {
  for (double& w : down) w *= by;
  for (double& b : down_bias) b *= by;
}

FfnValues side_by_side(std::span<const FfnValues> parts) {
  FfnValues out{.width = parts[0].width};
  // Where one part has a bias, the others' are zeros.
  const auto append = [&](std::vector<double> FfnValues::*which, int64_t FfnValues::*size) {
    const bool any = std::any_of(parts.begin(), parts.end(), [&](const FfnValues& p) { return !(p.*which).empty(); });
    for (const FfnValues& p : parts) {
      if (!any) continue;
      if ((p.*which).empty())
        (out.*which).resize((out.*which).size() + static_cast<size_t>(p.*size));
      else
        (out.*which).insert((out.*which).end(), (p.*which).begin(), (p.*which).end());
    }
  };
  append(&FfnValues::gate, &FfnValues::hidden);
  append(&FfnValues::up, &FfnValues::hidden);
  append(&FfnValues::gate_bias, &FfnValues::hidden);
  append(&FfnValues::up_bias, &FfnValues::hidden);
  for (const FfnValues& p : parts) {
    out.hidden += p.hidden;
    if (!p.down_bias.empty()) out.down_bias.resize(p.down_bias.size());
    for (size_t d = 0; d < p.down_bias.size(); ++d) out.down_bias[d] += p.down_bias[d];
  }
  for (int64_t d = 0; d < out.width; ++d)
    for (const FfnValues& p : parts) out.down.insert(out.down.end(), p.down.begin() + d * p.hidden, p.down.begin() + (d + 1) * p.hidden);
  return out;
}

FfnValues read_ffn(const Parameters& parameters, const std::string& prefix, int64_t expert) {
  FfnValues v;
  for_parts(v, [&](const char* name, std::vector<double>& values) {
    if (const Parameter* p = find(parameters, prefix + name)) values = read(*p, expert);
  });
  const Shape& down = find(parameters, prefix + "down")->value.shape();
  v.hidden = down[-1];
  v.width = down[-2];
  return v;
}

void write_ffn(Parameters& parameters, const std::string& prefix, int64_t expert, const FfnValues& v) {
  for_parts(v, [&](const char* name, const std::vector<double>& values) {
    if (const Parameter* p = find(parameters, prefix + name)) write(*p, expert, values);
  });
}

void Conversion::fill(const Parameters& from, Parameters& to, uint64_t seed, ThreadPool& pool) const {
  to.initialise(seed, pool);
  const auto made_anew = [&](const std::string& name) {
    return std::any_of(layers.begin(), layers.end(), [&](const Layer& layer) { return name.starts_with(layer.prefix + "."); });
  };
  for (Parameter& p : to.all()) {
    if (made_anew(p.name)) continue;
    const Parameter* parent = find(from, p.name);
    if (!parent || parent->value.shape() != p.value.shape())
      throw Error({.who = "convert", .what = "the parent has no " + p.name + " " + p.value.shape().text()});
    write(p, -1, read(*parent, -1));
  }
  for (const Layer& layer : layers) convert(layer, from, to, seed);
  to.mark_changed();
}

std::vector<int64_t> by_use(const RoutingRecord& use, bool by_gate) {
  std::vector<double> weight = use.gate_E;
  if (!by_gate) weight.assign(use.load_E.begin(), use.load_E.end());
  std::vector<int64_t> order(weight.size());
  for (size_t e = 0; e < order.size(); ++e) order[e] = static_cast<int64_t>(e);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return weight[static_cast<size_t>(a)] > weight[static_cast<size_t>(b)]; });
  return order;
}

bool take_by_gate(Config& cfg) { return cfg.take_choice("by", "gate", {"gate", "load"}) == "gate"; }

}  // namespace gamut
