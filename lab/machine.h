// The machine a study runs on, and what else used it meanwhile.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "base/threads.h"

namespace gamut {

// {cores, threads, threads_why, tier, tier_why, cpu, numa, os, ram_bytes, ram_available, cgroup_cores, cgroup_bytes, loadavg};
// what a control group does not limit is null.
Json describe_machine(const ThreadPool& pool);

// Processor time of the whole machine, in seconds of one core.
struct CpuUse {
  double other = 0;  // used by other processes
  double steal = 0;  // taken by the host
  double total = 0;  // idle time included
  double other_share() const { return total > 0 ? other / total : 0; }
  double steal_share() const { return total > 0 ? steal / total : 0; }
  CpuUse& operator+=(const CpuUse& more);
};

class LoadWatch {
 public:
  LoadWatch();
  CpuUse since_start() const;

 private:
  struct Sample {
    double busy = 0, steal = 0, total = 0, own = 0;
  };
  static Sample sample();
  Sample start_;
};

}  // namespace gamut
