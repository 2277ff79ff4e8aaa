#include "base/threads.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <time.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/io.h"
#include "temp_folder.h"

namespace gamut {
namespace {
namespace fs = std::filesystem;

TEST(ThreadPool, RunsEachTaskOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
      std::atomic<bool> bad_thread{false};
      pool.parallel_for(tasks, [&](int64_t task, int thread) {
        ++runs[static_cast<size_t>(task)];
        if (thread < 0 || thread >= threads) bad_thread = true;
      });
      for (const auto& n : runs) ASSERT_EQ(n, 1);
      EXPECT_FALSE(bad_thread);
    }
  }
}

// The part of a thread that is held up is finished by the other.
TEST(ThreadPool, WhoIsDoneHelps) {
  ThreadPool pool(2);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> others{0};
    std::vector<std::atomic<int>> runs(8);
    pool.parallel_for(8, [&](int64_t task, int) {
      ++runs[static_cast<size_t>(task)];
      if (task != 4) ++others;
      else while (others < 7) std::this_thread::yield();
    });
    for (const auto& n : runs) EXPECT_EQ(n, 1);
  }
}

TEST(ThreadPool, ManyShortLoopsSeeEachOthersResults) {
  ThreadPool pool(4);
  std::vector<int64_t> values(64, 0);
  for (int round = 0; round < 2000; ++round)
    pool.parallel_for(64, [&](int64_t i, int) { values[static_cast<size_t>(i)] += 1; });  // unsynchronised: the pool orders loops
  for (const int64_t v : values) EXPECT_EQ(v, 2000);
}

TEST(ThreadPool, ThrowsTheFirstExceptionAndGoesOn) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> ran{0};
    try {
      pool.parallel_for(1'000'000, [&](int64_t task, int) {
        ++ran;
        if (task == 3) throw std::runtime_error("task 3");
      });
      FAIL() << "the exception was lost";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "task 3");
    }
    EXPECT_LT(ran, 1'000'000) << "the rest is skipped";
    std::atomic<int> after{0};
    pool.parallel_for(10, [&](int64_t, int) { ++after; });
    EXPECT_EQ(after, 10) << "the pool works on";
  }
}

TEST(ThreadPool, ACallFromWithinATaskRunsOnItsThread) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> runs(20 * 30);
  std::atomic<bool> moved{false};
  pool.parallel_for(20, [&](int64_t outer, int thread) {
    const auto id = std::this_thread::get_id();
    pool.parallel_for(30, [&](int64_t inner, int inner_thread) {
      ++runs[static_cast<size_t>(outer * 30 + inner)];
      if (inner_thread != thread || std::this_thread::get_id() != id) moved = true;
    });
  });
  for (const auto& n : runs) EXPECT_EQ(n, 1);
  EXPECT_FALSE(moved);
  EXPECT_THROW(pool.parallel_for(8, [&](int64_t, int) { pool.parallel_for(2, [](int64_t, int) { throw std::runtime_error("inner"); }); }), std::runtime_error);
}

TEST(ThreadPool, OnePoolInsideAnother) {
  ThreadPool outer(2), inner(2);
  std::atomic<int> ran{0};
  std::mutex one_at_a_time;
  outer.parallel_for(4, [&](int64_t, int) {
    const std::lock_guard lock(one_at_a_time);
    inner.parallel_for(5, [&](int64_t, int) { ++ran; });
  });
  EXPECT_EQ(ran, 20);
}

TEST(ThreadPool, ScratchIsAlignedKeptAndPerThread) {
  ThreadPool pool(2);
  std::set<std::byte*> places;
  for (int thread = 0; thread < 2; ++thread)
    for (int slot = 0; slot < 3; ++slot) {
      std::byte* p = pool.scratch(thread, 1000, slot);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 64, 0u);
      EXPECT_EQ(pool.scratch(thread, 500, slot), p) << "what is large enough stays";
      places.insert(p);
    }
  EXPECT_EQ(places.size(), 6u);
}

// CPU time, not wall time, so other processes do not count. Spinning workers would use 3 × 300 ms; waking up to wait again is far below 30.
TEST(ThreadPool, UsesNoCpuWhenIdle) {
  ThreadPool pool(4);
  std::atomic<int> ran{0};
  pool.parallel_for(100, [&](int64_t, int) { ++ran; });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // past the spinning
  const auto cpu_seconds = [] {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(cpu_seconds() - before, 0.030);
  pool.parallel_for(100, [&](int64_t, int) { ++ran; });
  EXPECT_EQ(ran, 200) << "it wakes up again";
}

class Limits : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* set = std::getenv("GAMUT_THREADS")) saved_ = set;
    ::unsetenv("GAMUT_THREADS");
  }
  void TearDown() override {
    if (saved_.empty()) ::unsetenv("GAMUT_THREADS");
    else ::setenv("GAMUT_THREADS", saved_.c_str(), 1);
  }
  std::string saved_;
};

TEST_F(Limits, AffinityMask) {
  cpu_set_t all;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  int first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const ThreadLimit limit = available_threads();
  ThreadPool pool;
  ::sched_setaffinity(0, sizeof all, &all);
  EXPECT_EQ(limit.threads, 1);
  EXPECT_EQ(pool.threads(), 1);
  EXPECT_LE(available_threads().threads, CPU_COUNT(&all));
}

TEST_F(Limits, EnvironmentAndItsErrors) {
  ::setenv("GAMUT_THREADS", "3", 1);
  EXPECT_EQ(available_threads().threads, 3);
  EXPECT_EQ(available_threads().reason, "GAMUT_THREADS=3");
  for (const char* bad : {"0", "-1", "two", "2x", "", "4097", "99999999999999999999"}) {
    ::setenv("GAMUT_THREADS", bad, 1);
    EXPECT_ERROR(available_threads(), "GAMUT_THREADS must be a whole number from 1 to 4096, not '" + std::string(bad) + "'");
  }
  EXPECT_ERROR(set_threads(0), "from 1 to 4096, not 0");
  EXPECT_ERROR(set_threads(4097), "not 4097");
}

class Cgroup : public testing::Test {
 protected:
  TempFolder root_;
  void put(const std::string& file, const std::string& text) {
    make_folder((root_ / file).parent_path());
    write_file(root_ / file, text);
  }
  double cores(const std::string& membership) {
    put("membership", membership);
    return cgroup_cores(root_.path(), root_ / "membership");
  }
};

TEST_F(Cgroup, NoQuota) {
  EXPECT_EQ(cores("0::/\n"), INFINITY);
  EXPECT_EQ(cgroup_cores(root_ / "absent", root_ / "absent"), INFINITY);
  put("cpu.max", "max 100000\n");
  EXPECT_EQ(cores("0::/\n"), INFINITY);
}

TEST_F(Cgroup, Version2AtTheRootOfAContainer) {
  put("cpu.max", "150000 100000\n");
  EXPECT_DOUBLE_EQ(cores("0::/\n"), 1.5);
}

TEST_F(Cgroup, Version2TakesTheLeastOnTheWayToItsOwnGroup) {
  put("a/cpu.max", "400000 100000\n");
  put("a/b/cpu.max", "250000 100000\n");
  put("a/b/c/cpu.max", "max 100000\n");
  put("a/other/cpu.max", "1000 100000\n");
  EXPECT_DOUBLE_EQ(cores("0::/a/b/c\n"), 2.5);
  EXPECT_DOUBLE_EQ(cores("0::/a\n"), 4);
}

TEST_F(Cgroup, Version1) {
  put("cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n");
  put("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  put("cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  put("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  put("memory/job/cpu.max", "1000 100000\n");
  EXPECT_DOUBLE_EQ(cores("7:memory:/job\n3:cpu,cpuacct:/job\n"), 0.5);
  EXPECT_EQ(cores("7:memory:/job\n3:cpu,cpuacct:/\n"), INFINITY) << "-1 means none";
  put("cpu/cpu.cfs_quota_us", "200000\n");
  put("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(cores("3:cpu:/docker/not/mounted\n"), 2) << "a container sees its own group at the root";
}

TEST_F(Cgroup, NonsenseIsNoQuota) {
  for (const char* text : {"", "0 0\n", "x y\n", "-5 100000\n", "100000\n", "100000 0\n"}) {
    put("cpu.max", text);
    EXPECT_EQ(cores("garbage\n:\n0::/\n"), INFINITY) << text;
  }
}

// More threads than cores, loops shorter than a wake-up: workers come late, to no loop or to the next one.
TEST(ThreadPool, LateWorkersNeitherRepeatNorMissATask) {
  ThreadPool pool(5);
  for (int loop = 0; loop < 5000; ++loop) {
    std::array<int, 8> runs{};
    const int tasks = 2 + loop % 7;
    pool.parallel_for(tasks, [&](int64_t task, int) { ++runs[static_cast<size_t>(task)]; });
    for (int task = 0; task < 8; ++task) ASSERT_EQ(runs[static_cast<size_t>(task)], task < tasks ? 1 : 0) << "loop " << loop << " task " << task;
  }
}

}  // namespace
}  // namespace gamut
