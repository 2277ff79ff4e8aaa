#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/progress.h"

namespace gamut::log {
namespace {

Level from_environment() {
  const char* name = std::getenv("GAMUT_LOG");
  if (!name) return Level::info;
  if (!std::strcmp(name, "error")) return Level::error;
  if (!std::strcmp(name, "warn")) return Level::warn;
  if (!std::strcmp(name, "debug")) return Level::debug;
  return Level::info;
}

std::atomic<Level>& current() {
  static std::atomic<Level> level{from_environment()};
  return level;
}

}  // namespace

Level level() { return current().load(std::memory_order_relaxed); }
void set_level(Level level) { current().store(level, std::memory_order_relaxed); }

void write(Level level, const std::string& line) {
  static constexpr const char* kPrefix[] = {"error: ", "warning: ", "", "debug: "};
  Progress::clear_line();
  const std::string whole = kPrefix[static_cast<int>(level)] + line + "\n";
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, whole.data(), whole.size());
}

}  // namespace gamut::log
