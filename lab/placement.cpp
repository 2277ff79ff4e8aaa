#include "lab/placement.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace gamut {
namespace {

std::vector<int64_t> copies_of(std::span<const int64_t> places, size_t items) {
  std::vector<int64_t> copies(items);
  for (const int64_t item : places) ++copies[static_cast<size_t>(item)];
  return copies;
}

std::vector<double> shares(std::span<const double> load, std::span<const int64_t> places) {
  const std::vector<int64_t> copies = copies_of(places, load.size());
  std::vector<double> out;
  for (const int64_t item : places) out.push_back(load[static_cast<size_t>(item)] / static_cast<double>(copies[static_cast<size_t>(item)]));
  return out;
}

void check(int64_t experts, const PlacementOptions& o) {
  const auto refuse = [](const std::string& what, const std::string& hint) { throw Error({.who = "placement", .what = what, .hint = hint}); };
  const auto divides = [&](int64_t part, int64_t whole, const char* parts, const char* wholes) {
    if (part < 1 || whole % part != 0)
      refuse(std::to_string(whole) + " " + wholes + " do not lie evenly on " + std::to_string(part) + " " + parts,
             std::string(parts) + " must divide " + wholes);
  };
  if (experts < 1) refuse("there are no experts to place", "give the load of each");
  divides(o.groups, experts, "groups", "experts");
  divides(o.nodes, o.devices, "nodes", "devices");
  divides(o.devices, o.replicas, "devices", "places");
  if (o.replicas < experts) refuse(std::to_string(o.replicas) + " places do not hold " + std::to_string(experts) + " experts", "every expert needs one place");
}

}  // namespace

std::vector<int64_t> packed_evenly(std::span<const double> weights, int64_t packs) {
  const auto items = static_cast<int64_t>(weights.size()), room = items / packs;
  std::vector<int64_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  if (room == 1) return order;
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return weights[static_cast<size_t>(a)] > weights[static_cast<size_t>(b)]; });
  std::vector<std::vector<int64_t>> content(static_cast<size_t>(packs));
  std::vector<double> weight(static_cast<size_t>(packs));
  for (const int64_t item : order) {
    size_t lightest = content.size();
    for (size_t p = 0; p < content.size(); ++p)
      if (static_cast<int64_t>(content[p].size()) < room && (lightest == content.size() || weight[p] < weight[lightest])) lightest = p;
    content[lightest].push_back(item);
    weight[lightest] += weights[static_cast<size_t>(item)];
  }
  std::vector<int64_t> out;
  for (const auto& pack : content) out.insert(out.end(), pack.begin(), pack.end());
  return out;
}

std::vector<int64_t> replicated(std::span<const double> weights, int64_t places) {
  std::vector<int64_t> out(weights.size());
  std::iota(out.begin(), out.end(), 0);
  std::vector<double> copies(weights.size(), 1);
  while (static_cast<int64_t>(out.size()) < places) {
    size_t heaviest = 0;
    for (size_t i = 1; i < weights.size(); ++i)
      if (weights[i] / copies[i] > weights[heaviest] / copies[heaviest]) heaviest = i;
    out.push_back(static_cast<int64_t>(heaviest));
    ++copies[heaviest];
  }
  return out;
}

Placement place_experts(std::span<const double> load, const PlacementOptions& given) {
  const auto experts = static_cast<int64_t>(load.size());
  check(experts, given);
  PlacementOptions o = given;
  if (o.groups % o.nodes != 0) o.groups = o.nodes = 1;  // groups do not fit on nodes: one node that holds all
  const int64_t size = experts / o.groups, groups_each = o.groups / o.nodes, places_each = o.replicas / o.nodes;
  // A node needs a place for each of its experts, which equal shares give: R/nodes ≥ E/nodes.
  std::vector<double> group_load;
  for (int64_t g = 0; g < o.groups; ++g) group_load.push_back(std::accumulate(load.begin() + g * size, load.begin() + (g + 1) * size, 0.0));
  const std::vector<int64_t> groups = packed_evenly(group_load, o.nodes);

  Placement p;
  std::vector<int64_t> placed;
  for (int64_t node = 0; node < o.nodes; ++node) {
    std::vector<int64_t> here;  // experts of this node, group by group
    for (int64_t g = node * groups_each; g < (node + 1) * groups_each; ++g)
      for (int64_t e = 0; e < size; ++e) here.push_back(groups[static_cast<size_t>(g)] * size + e);
    std::vector<double> load_here;
    for (const int64_t e : here) load_here.push_back(load[static_cast<size_t>(e)]);
    const std::vector<int64_t> copies = replicated(load_here, places_each);
    for (const int64_t place : packed_evenly(shares(load_here, copies), o.devices / o.nodes))
      placed.push_back(here[static_cast<size_t>(copies[static_cast<size_t>(place)])]);
  }
  p.expert_R.assign(placed.begin(), placed.end());
  p.copies_E = copies_of(placed, load.size());
  const std::vector<double> share = shares(load, placed);
  const int64_t each = o.replicas / o.devices;
  for (int64_t d = 0; d < o.devices; ++d) p.load_D.push_back(std::accumulate(share.begin() + d * each, share.begin() + (d + 1) * each, 0.0));
  const double total = std::accumulate(load.begin(), load.end(), 0.0);
  if (total > 0) p.imbalance = *std::max_element(p.load_D.begin(), p.load_D.end()) * static_cast<double>(o.devices) / total - 1;
  return p;
}

}  // namespace gamut
