// A pool of persistent workers for short parallel loops.
//
// Determinism rule: callers cut work into tasks by shape alone; which thread runs a task never changes a result.
// The pool takes as many threads as the affinity mask and the cgroup quota allow, spins briefly between
// loops, then sleeps: an idle pool uses no CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>

namespace gamut {

// A reference to a callable, without allocation; valid while the callable lives.
class TaskRef {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, TaskRef>)
  TaskRef(F&& f)  // NOLINT: implicit on purpose
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, int64_t task, int thread) { (*static_cast<std::remove_reference_t<F>*>(object))(task, thread); }) {}
  void operator()(int64_t task, int thread) const { call_(object_, task, thread); }

 private:
  void* object_;
  void (*call_)(void*, int64_t, int);
};

class ThreadPool {
 public:
  explicit ThreadPool(int threads = 0);  // 0: available_threads()
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls run(task, thread) for every task in 0 … tasks−1 and returns when all are done; thread is 0 … threads()−1. Thread t takes part t of
  // threads() equal parts in order, then helps the others: loops cut alike over the same rows find them in their own core's caches. One thread
  // calls at a time; a call from within a task runs all its tasks on that task's thread. The first exception stops the loop and is rethrown here.
  void parallel_for(int64_t tasks, TaskRef run);

  // Scratch memory of a thread, at least `bytes`, 64-byte aligned; kept between calls, contents undefined.
  // `slot` separates independent users within one task.
  std::byte* scratch(int thread, size_t bytes, int slot = 0);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  int threads_;
};

struct ThreadLimit {
  int threads;
  std::string reason;  // "2 cores in the affinity mask", "cgroup quota of 1.5 cores", "GAMUT_THREADS=4", "--threads 4"
};
// What set_threads said, else GAMUT_THREADS (both from 1 to 4096, or an Error), else the smaller of affinity and rounded-up cgroup quota.
ThreadLimit available_threads();
void set_threads(int threads);

// The cores' worth of time that control groups leave this process: the least quota from its group up to the root, version 1
// or 2; infinity when there is none.
double cgroup_cores(const std::filesystem::path& root = "/sys/fs/cgroup", const std::filesystem::path& membership = "/proc/self/cgroup");

}  // namespace gamut
