#include "training/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace gamut {

size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

size_t peak_resident_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;)
    if (size_t kilobytes = 0; word == "VmHWM:" && file >> kilobytes) return kilobytes * 1024;
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  return static_cast<size_t>(use.ru_maxrss) * 1024;
}

void reset_peak_resident() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace gamut
