#include "lab/machine.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/text.h"
#include "kernels/cpu.h"

namespace gamut {
namespace {

int numa_nodes() {
  int nodes = 0;
  while (std::filesystem::exists("/sys/devices/system/node/node" + std::to_string(nodes))) ++nodes;
  return std::max(nodes, 1);
}

// Bytes of memory that control groups leave this process: the least limit from its group up to the root, version 1 or 2; infinity
// when there is none.
double cgroup_memory() {
  const std::filesystem::path root = "/sys/fs/cgroup";
  double least = INFINITY;
  const auto look = [&](const std::filesystem::path& folder) {
    for (const char* name : {"memory.max", "memory.limit_in_bytes"}) {
      std::ifstream file(folder / name);
      double bytes = 0;
      if (file >> bytes && bytes > 0 && bytes < 1e18) least = std::min(least, bytes);  // "max" is no number; version 1 writes 2⁶³ for none
    }
  };
  std::ifstream lines("/proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {  // hierarchy:controllers:path
    const std::vector<std::string> parts = split(line, ':');
    if (parts.size() != 3 || (!parts[1].empty() && parts[1] != "memory")) continue;
    std::filesystem::path folder = root / parts[1];
    look(folder);
    for (const std::string& part : split(parts[2], '/')) look(folder /= part);
  }
  return least;
}

double available_memory() {
  std::ifstream info("/proc/meminfo");
  for (std::string word; info >> word;)
    if (double kilobytes = 0; word == "MemAvailable:" && info >> kilobytes) return kilobytes * 1024;
  return 0;
}

Json or_null(double limit) { return std::isfinite(limit) ? Json(limit) : Json(nullptr); }

}  // namespace

Json describe_machine(const ThreadPool& pool) {
  utsname name{};
  ::uname(&name);
  double load[3] = {0, 0, 0};
  [[maybe_unused]] const int n = ::getloadavg(load, 3);
  return {{"cores", std::thread::hardware_concurrency()},
          {"threads", pool.threads()},
          {"threads_why", available_threads().reason},
          {"tier", std::string(kernels::name_of(kernels::best_tier()))},
          {"tier_why", kernels::tier_reason()},
          {"cpu", kernels::cpu_model()},
          {"numa", numa_nodes()},
          {"os", std::string(name.sysname) + " " + name.release},
          {"ram_bytes", static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE))},
          {"ram_available", available_memory()},
          {"cgroup_cores", or_null(cgroup_cores())},
          {"cgroup_bytes", or_null(cgroup_memory())},
          {"loadavg", load[0]}};
}

LoadWatch::LoadWatch() : start_(sample()) {}

LoadWatch::Sample LoadWatch::sample() {
  Sample s;
  std::ifstream file("/proc/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line);
  std::string cpu;
  double v[8] = {};
  fields >> cpu;
  for (double& x : v) fields >> x;  // user nice system idle iowait irq softirq steal, in ticks
  const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  s.busy = (v[0] + v[1] + v[2] + v[5] + v[6]) * tick;
  s.steal = v[7] * tick;
  s.total = s.busy + s.steal + (v[3] + v[4]) * tick;
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  s.own = seconds(use.ru_utime) + seconds(use.ru_stime);
  return s;
}

CpuUse& CpuUse::operator+=(const CpuUse& more) {
  other += more.other;
  steal += more.steal;
  total += more.total;
  return *this;
}

CpuUse LoadWatch::since_start() const {
  const Sample now = sample();
  const auto positive = [](double x) { return std::max(0.0, x); };
  return {positive((now.busy - start_.busy) - (now.own - start_.own)), positive(now.steal - start_.steal), positive(now.total - start_.total)};
}

}  // namespace gamut
