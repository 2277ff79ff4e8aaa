// Messages for people, on stderr. GAMUT_LOG = error | warn | info (default) | debug.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

namespace gamut::log {

enum class Level : int { error, warn, info, debug };

Level level();
void set_level(Level level);
void write(Level level, const std::string& line);

template <class... A> void info(fmt::format_string<A...> format, A&&... a) {
  if (level() >= Level::info) write(Level::info, fmt::format(format, std::forward<A>(a)...));
}
template <class... A> void warn(fmt::format_string<A...> format, A&&... a) {
  if (level() >= Level::warn) write(Level::warn, fmt::format(format, std::forward<A>(a)...));
}
template <class... A> void debug(fmt::format_string<A...> format, A&&... a) {
  if (level() >= Level::debug) write(Level::debug, fmt::format(format, std::forward<A>(a)...));
}

}  // namespace gamut::log
