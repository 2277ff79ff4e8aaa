#include "modules/channels/routers/router.h"

namespace gamut {

RouterLosses RouterLosses::take(Config& cfg, RouterLosses l) {
  l.z = cfg.take_in<double>("z_loss", l.z, 0, 100);
  l.entropy = cfg.take_in<double>("entropy_loss", l.entropy, -100, 100);
  l.variance = cfg.take_in<double>("variance_loss", l.variance, 0, 100);
  l.importance = cfg.take_in<double>("importance_loss", l.importance, 0, 100);
  l.sequence = cfg.take_in<double>("sequence_loss", 0.0, 0, 100);
  l.device = cfg.take_in<double>("device_loss", 0.0, 0, 100);
  l.communication = cfg.take_in<double>("communication_loss", 0.0, 0, 100);
  l.count = cfg.take_choice("balance_count", l.count, {"slots", "tokens", "first"});
  l.global = cfg.take_choice("balance_over", "micro_batch", {"micro_batch", "step"}) == "step";
  l.sample_variance = cfg.take_choice("variance", "population", {"population", "sample"}) == "sample";
  l.devices = cfg.take_in<int64_t>("devices", 1, 1, 1 << 16);
  l.reach = cfg.take_in<int64_t>("device_reach", std::min<int64_t>(l.devices, 1), 1, 1 << 16);
  if ((l.device > 0 || l.communication > 0) && l.devices < 2) cfg.reject("devices", "must be 2 or more for a loss over devices");
  return l;
}

void LossKeeper::add(Pass& pass, ops::Routing& r) {
  Tape& tape = pass.tape;
  const double share = pass.loss_scale;
  ops::BalanceOptions o{.unnormalised = unnormalised_, .counted_N = &pass.counted_N};
  o.count = losses_.count == "slots" ? ops::BalanceCount::slots : losses_.count == "tokens" ? ops::BalanceCount::tokens : ops::BalanceCount::first;
  const bool training = tape.training();
  if (losses_.balance > 0) {
    ops::BalanceOptions global = o;
    if (losses_.global && training) global.gathered = &gathered_;
    r.balance = ops::balance_loss(tape, r, losses_.balance * share, global);
  }
  if (losses_.z > 0) r.z = ops::z_loss(tape, r.logits_NE, losses_.z * share);
  if (!training) return;
  if (losses_.entropy != 0) ops::entropy_loss(tape, r, losses_.entropy * share, unnormalised_);
  if (losses_.variance > 0) ops::variance_loss(tape, r, losses_.variance * share);
  if (losses_.importance > 0) ops::importance_loss(tape, r, losses_.importance * share, losses_.sample_variance);
  if (losses_.sequence > 0) {
    ops::BalanceOptions each = o;
    each.count = ops::BalanceCount::slots;
    each.sequence = pass.length();
    each.unbiased = true;
    ops::balance_loss(tape, r, losses_.sequence * share, each);
  }
  for (const auto& [level, coefficient] :
       {std::pair(ops::BalanceLevel::device, losses_.device), std::pair(ops::BalanceLevel::communication, losses_.communication)}) {
    if (coefficient <= 0) continue;
    ops::BalanceOptions devices = o;
    devices.level = level;
    devices.devices = losses_.devices;
    devices.reach = losses_.reach;
    devices.sequence = pass.length();
    ops::balance_loss(tape, r, coefficient * share, devices);
  }
}

}  // namespace gamut
