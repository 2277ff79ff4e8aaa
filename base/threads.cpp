#include "base/threads.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "base/error.h"
#include "base/text.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

// Long enough to bridge the serial gaps inside a training step, short enough not to burn an idle core.
constexpr auto kSpin = std::chrono::microseconds(40);
constexpr int kSlots = 8, kMostThreads = 4096;

std::atomic<int> g_threads{0};  // as set_threads said

void relax() {
#if defined(__SSE2__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

void flush_subnormals() {  // subnormal operands cost 10–100× and carry no information here
#if defined(__SSE2__)
  _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
}

// The quota set in one control group's folder, in cores; infinity when there is none.
double quota_in(const fs::path& folder) {
  std::ifstream v2(folder / "cpu.max"), v1_quota(folder / "cpu.cfs_quota_us"), v1_period(folder / "cpu.cfs_period_us");
  double quota = 0, period = 0;
  if ((v2 >> quota >> period || v1_quota >> quota) && (period > 0 || v1_period >> period) && quota > 0 && period > 0) return quota / period;
  return INFINITY;  // "max", or −1
}

struct AlignedBuffer {
  static constexpr size_t kLine = 64, kHugePage = size_t{2} << 20;
  std::byte* data = nullptr;
  size_t bytes = 0, alignment = kLine;
  ~AlignedBuffer() { release(); }
  void release() {
    ::operator delete[](data, std::align_val_t{alignment});
    data = nullptr;
    bytes = 0;
  }
  std::byte* at_least(size_t wanted) {
    if (wanted > bytes) {
      release();
      alignment = wanted >= kHugePage / 2 ? kHugePage : kLine;
      wanted = (wanted + alignment - 1) / alignment * alignment;
      data = static_cast<std::byte*>(::operator new[](wanted, std::align_val_t{alignment}));
      bytes = wanted;
      if (alignment == kHugePage) ::madvise(data, bytes, MADV_HUGEPAGE);
    }
    return data;
  }
};

}  // namespace

double cgroup_cores(const fs::path& root, const fs::path& membership) {
  double least = std::min(quota_in(root), quota_in(root / "cpu"));  // a container sees its own group there
  std::ifstream lines(membership);
  for (std::string line; std::getline(lines, line);) {  // hierarchy:controllers:path; version 2 has no controllers
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::vector<std::string> names = split(controllers, ',');
    if (!controllers.empty() && std::find(names.begin(), names.end(), "cpu") == names.end()) continue;
    fs::path folder = root / controllers;
    for (const std::string& part : split(line.substr(second + 1), '/')) {  // the least from the root down to the own group
      folder /= part;
      least = std::min(least, quota_in(folder));
    }
  }
  return least;
}

void set_threads(int threads) {
  if (threads < 1 || threads > kMostThreads)
    throw Error({.who = "threads", .what = "must be a whole number from 1 to " + std::to_string(kMostThreads) + ", not " + std::to_string(threads), .hint = "leave --threads out to use all that are allowed"});
  g_threads = threads;
}

ThreadLimit available_threads() {
  if (g_threads > 0) return {g_threads, "--threads " + std::to_string(g_threads)};
  if (const char* text = std::getenv("GAMUT_THREADS")) {
    int n = 0;
    const auto [end, error] = std::from_chars(text, text + std::strlen(text), n);
    if (error != std::errc{} || *end || n < 1 || n > kMostThreads)
      throw Error({.who = "threads", .what = "GAMUT_THREADS must be a whole number from 1 to " + std::to_string(kMostThreads) + ", not '" + std::string(text) + "'"});
    return {n, "GAMUT_THREADS=" + std::to_string(n)};
  }
  cpu_set_t mask;
  CPU_ZERO(&mask);
  const int affinity = ::sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : static_cast<int>(std::thread::hardware_concurrency());
  const double quota = cgroup_cores();
  if (quota < affinity) {
    char text[64];
    std::snprintf(text, sizeof text, "cgroup quota of %.3g cores", quota);
    return {std::max(1, static_cast<int>(std::ceil(quota))), text};
  }
  return {std::max(1, affinity), std::to_string(affinity) + " cores in the affinity mask"};
}

struct ThreadPool::Impl {
  // The pool whose task this thread is running, and as which of its threads.
  static thread_local const Impl* t_pool;
  static thread_local int t_thread;
  struct Within {
    const Impl* pool = t_pool;
    int thread = t_thread;
    Within(const Impl* now, int as) {
      t_pool = now;
      t_thread = as;
    }
    ~Within() {
      t_pool = pool;
      t_thread = thread;
    }
  };

  // The tasks that one thread takes first, in order; the others help when theirs are done.
  struct alignas(128) Stretch {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  std::vector<Stretch> stretches;
  struct alignas(128) Shared {
    std::atomic<int> joined{0};       // workers inside the current loop, or about to see whether there is one
    std::atomic<bool> open{false};    // a loop may be joined
    std::atomic<uint32_t> epoch{0};   // counts loops
    std::atomic<int> sleepers{0};
    std::atomic<bool> stop{false};
  } shared;
  const TaskRef* run = nullptr;
  std::exception_ptr failure;
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;
  std::vector<std::vector<AlignedBuffer>> scratch;

  void take_tasks(int thread) {
    const Within within{this, thread};
    for (size_t i = 0; i < stretches.size(); ++i) {
      Stretch& stretch = stretches[(static_cast<size_t>(thread) + i) % stretches.size()];
      for (int64_t task; (task = stretch.next.fetch_add(1, std::memory_order_relaxed)) < stretch.end;) {
        try {
          (*run)(task, thread);
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (!failure) failure = std::current_exception();
          for (Stretch& s : stretches) s.next.store(s.end, std::memory_order_relaxed);
        }
      }
    }
  }

  void work(int thread) {
    flush_subnormals();
    uint32_t seen = 0;
    while (true) {
      const auto until = std::chrono::steady_clock::now() + kSpin;
      int spins = 0;
      while (shared.epoch.load(std::memory_order_acquire) == seen) {
        relax();
        if ((++spins & 63) == 0 && std::chrono::steady_clock::now() > until) {
          std::unique_lock lock(mutex);
          shared.sleepers.fetch_add(1);
          wake.wait(lock, [&] { return shared.epoch.load() != seen; });
          shared.sleepers.fetch_sub(1);
        }
      }
      seen = shared.epoch.load(std::memory_order_acquire);
      if (shared.stop.load()) return;
      // Whoever comes late finds the loop closed, and nobody waits for it: of all sequentially consistent operations either this addition comes before
      // the caller looks for workers, or the closing comes before this look.
      shared.joined.fetch_add(1);
      if (shared.open.load()) take_tasks(thread);
      if (shared.joined.fetch_sub(1) == 1) shared.joined.notify_one();
    }
  }

  void start_epoch() {
    shared.epoch.fetch_add(1);
    if (shared.sleepers.load() > 0) {
      const std::lock_guard lock(mutex);  // a worker between its check and its wait cannot miss this
      wake.notify_all();
    }
  }
};

thread_local const ThreadPool::Impl* ThreadPool::Impl::t_pool = nullptr;
thread_local int ThreadPool::Impl::t_thread = 0;

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()), threads_(threads > 0 ? threads : available_threads().threads) {
  flush_subnormals();
  impl_->stretches = std::vector<Impl::Stretch>(static_cast<size_t>(threads_));
  impl_->scratch.resize(static_cast<size_t>(threads_));
  for (auto& slots : impl_->scratch) slots = std::vector<AlignedBuffer>(kSlots);
  for (int t = 1; t < threads_; ++t) impl_->workers.emplace_back([this, t] { impl_->work(t); });
}

ThreadPool::~ThreadPool() {
  impl_->shared.stop = true;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->shared.epoch.fetch_add(1);
    impl_->wake.notify_all();
  }
  for (std::thread& worker : impl_->workers) worker.join();
}

void ThreadPool::parallel_for(int64_t tasks, TaskRef run) {
  if (tasks <= 0) return;
  Impl& p = *impl_;
  const bool nested = Impl::t_pool == &p;
  if (threads_ == 1 || tasks == 1 || nested) {
    const int thread = nested ? Impl::t_thread : 0;
    for (int64_t task = 0; task < tasks; ++task) run(task, thread);
    return;
  }
  p.run = &run;
  p.failure = nullptr;
  for (int t = 0; t < threads_; ++t) {
    Impl::Stretch& stretch = p.stretches[static_cast<size_t>(t)];
    stretch.next.store(tasks * t / threads_, std::memory_order_relaxed);
    stretch.end = tasks * (t + 1) / threads_;
  }
  p.shared.open.store(true);
  p.start_epoch();
  p.take_tasks(0);
  p.shared.open.store(false);
  // A worker whose core is taken by another process may need long: after a while sleep. (Yielding in a loop instead costs a thread
  // its share of the core where yielding forfeits run time, as in Linux 6.18.)
  const auto until = std::chrono::steady_clock::now() + kSpin;
  int spins = 0;
  for (int joined; (joined = p.shared.joined.load()) > 0;) {
    relax();
    if ((++spins & 63) == 0 && std::chrono::steady_clock::now() > until) p.shared.joined.wait(joined);
  }
  if (p.failure) std::rethrow_exception(p.failure);
}

std::byte* ThreadPool::scratch(int thread, size_t bytes, int slot) {
  return impl_->scratch.at(static_cast<size_t>(thread)).at(static_cast<size_t>(slot)).at_least(bytes);
}

}  // namespace gamut
