#include "base/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace gamut {
namespace {
std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  if (g_signal.exchange(signal) != 0) ::_exit(128 + signal);
}
}  // namespace

void install_interrupt_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int interrupted() { return g_signal.load(std::memory_order_relaxed); }
void request_interrupt(int signal) { g_signal = signal; }
void clear_interrupt() { g_signal = 0; }

}  // namespace gamut
