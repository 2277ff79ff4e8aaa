#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "base/text.h"

namespace gamut {
namespace {

std::atomic<bool> g_line_shown{false};

void put(const std::string& text) { [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size()); }

int terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

// Bytes of the first `width` columns, and how many columns those are; a UTF-8 sequence counts as one.
std::pair<size_t, int> measure(const std::string& line, int width) {
  int columns = 0;
  size_t i = 0;
  while (i < line.size() && columns < width) {
    ++i;
    while (i < line.size() && (static_cast<unsigned char>(line[i]) & 0xc0) == 0x80) ++i;
    ++columns;
  }
  return {i, columns};
}

}  // namespace

bool Progress::on_terminal() { return ::isatty(STDERR_FILENO) != 0; }

void Progress::clear_line() {
  if (g_line_shown.exchange(false)) put("\r\x1b[K");
}

Progress::Progress(std::string title, double total) : title_(std::move(title)), total_(total) {}

Progress::~Progress() {
  if (!finished_) clear_line();
}

void Progress::update(double done, const std::string& note) {
  const auto now = Clock::now();
  const auto pause = on_terminal() ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000);
  if (first_ < 0) first_ = done;
  if (shown_ != Clock::time_point{} && now - shown_ < pause) return;
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - started_).count();
  std::string rest;
  const double share = total_ > 0 ? std::clamp(done / total_, 0.0, 1.0) : 0;
  if (total_ > 0) {
    rest = fmt::format(" {:3.0f}%", share * 100);
    if (done > first_ && seconds > 0.5) rest += " · ETA " + human_seconds(seconds * (total_ - done) / (done - first_));
  }
  if (!note.empty()) rest += " · " + note;
  std::string line = title_;
  if (total_ > 0 && on_terminal()) {  // the bar takes what the words leave
    const int room = terminal_width() - 2 - measure(title_ + rest, 1 << 20).second, cells = std::clamp(room, 0, 20);
    const int full = static_cast<int>(std::lround(share * cells));
    line += " ";
    for (int i = 0; i < cells; ++i) line += i < full ? "█" : "░";
  }
  line += rest;
  if (on_terminal()) {
    put("\r" + line.substr(0, measure(line, terminal_width() - 1).first) + "\x1b[K");
    g_line_shown = true;
  } else {
    put(line + "\n");
  }
}

void Progress::finish(const std::string& note) {
  finished_ = true;
  clear_line();
  const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  put(title_ + " · " + human_seconds(seconds) + (note.empty() ? "" : " · " + note) + "\n");
}

}  // namespace gamut
