// One live line on a terminal; plain lines, at most one every few seconds, elsewhere. Always on stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace gamut {

class Progress {
 public:
  // `total` in any unit; 0 when unknown.
  Progress(std::string title, double total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Shows `done` of total, the ETA, and `note` (for example "loss 2.31 · 81k tok/s").
  void update(double done, const std::string& note);
  void finish(const std::string& note);

  static bool on_terminal();
  static void clear_line();  // before anything else writes to stderr

 private:
  using Clock = std::chrono::steady_clock;
  std::string title_;
  double total_, first_ = -1;
  Clock::time_point started_ = Clock::now(), shown_{};
  bool finished_ = false;
};

}  // namespace gamut
