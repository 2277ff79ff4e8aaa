// The machine a study runs on, and what else used it meanwhile.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "base/threads.h"

namespace gamut {

// {cores, threads, threads_why, tier, cpu, os, ram_bytes, loadavg}.
Json describe_machine(const ThreadPool& pool);

// Shares of the machine's processor time since construction.
class LoadWatch {
 public:
  LoadWatch();
  struct Use {
    double other = 0;  // used by other processes, of all cores
    double steal = 0;  // taken by the host
  };
  Use since_start() const;

 private:
  struct Sample {
    double busy = 0, steal = 0, total = 0, own = 0;  // seconds
  };
  static Sample sample();
  Sample start_;
};

}  // namespace gamut
