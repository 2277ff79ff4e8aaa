// Where replicas of experts lie when many devices hold them: balanced by the load that each expert had.
// [DeepSeek-AI, Expert parallelism load balancer (EPLB), 2025]
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gamut {

struct PlacementOptions {
  int64_t replicas = 0;            // places for experts on all devices together, at least the number of experts
  int64_t groups = 1;              // neighbouring experts share one of so many groups: what a router limited to groups chooses among
  int64_t nodes = 1, devices = 1;  // devices altogether, as many on each node
};

struct Placement {
  std::vector<int32_t> expert_R;  // the expert in each place; device d holds places d·R/devices … (d + 1)·R/devices − 1
  std::vector<int64_t> copies_E;  // how often each expert occurs, at least once
  std::vector<double> load_D;     // of each device, an expert's tokens divided evenly among its copies
  double imbalance = 0;           // load of the fullest device over the mean, less 1; 0 without load
};

// load_E: tokens (or any weight, not negative) of each expert. When nodes divide groups, groups stay whole on one node, so that a token's chosen groups
// bound the nodes it is sent to: groups are packed onto nodes, on each node experts are copied until its places are full, copies are packed onto its
// devices. Otherwise experts are copied and packed over all devices at once. Equal input, equal placement.
// Error when sizes do not fit: experts by groups, devices by nodes, places by devices, or fewer places than experts.
Placement place_experts(std::span<const double> load_E, const PlacementOptions& options);

// Items in `packs` packs of equally many, as even as a greedy choice makes them: by falling weight (the lowest index among equals) each goes to the
// lightest pack that has room (the first among equals); where packs hold one item each, item i lies in pack i. Returns the items pack by pack.
std::vector<int64_t> packed_evenly(std::span<const double> weights, int64_t packs);

// The item of each of `places` places: every item once, in order, then again and again the one with the most weight per copy (the lowest among equals).
std::vector<int64_t> replicated(std::span<const double> weights, int64_t places);

}  // namespace gamut
