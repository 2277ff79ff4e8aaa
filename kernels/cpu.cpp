#include "kernels/cpu.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "base/text.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace gamut::kernels {
namespace {

constexpr std::array<std::string_view, 6> kNames{"ref", "portable", "avx2", "avx512", "avx512_bf16", "amx"};
constexpr Tier kCompiled = static_cast<Tier>(GAMUT_COMPILED_TIER);  // kernels/tiers.cmake

struct Machine {
  Tier tier = Tier::portable;
  std::string missing;  // why not the next tier
};

#if defined(__x86_64__)
struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);  // leaves zeros when the leaf does not exist
  return r;
}

bool has(unsigned bits, int bit) { return bits >> bit & 1; }

// XCR0 says which register state the operating system saves; only to be read when CPUID announces OSXSAVE.
uint64_t saved_state() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

// Linux grants tile state per process and on request only; threads started later inherit it.
bool tiles_permitted() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Machine probe() {
  const Registers leaf1 = cpuid(1), leaf7 = cpuid(7), leaf7_1 = cpuid(7, 1);
  const uint64_t state = has(leaf1.c, 27) ? saved_state() : 0;
  const auto saves = [&](uint64_t mask) { return (state & mask) == mask; };

  if (!has(leaf7.b, 5) || !has(leaf1.c, 12) || !has(leaf1.c, 29))
    return {Tier::portable, "the processor lacks AVX2, FMA or F16C"};
  if (!saves(0x6)) return {Tier::portable, "the operating system does not save AVX registers"};
  if (!has(leaf7.b, 16) || !has(leaf7.b, 17) || !has(leaf7.b, 30) || !has(leaf7.b, 31))
    return {Tier::avx2, "the processor lacks AVX-512 F, DQ, BW or VL"};
  if (!saves(0xe6)) return {Tier::avx2, "the operating system does not save AVX-512 registers"};
  if (!has(leaf7_1.a, 5)) return {Tier::avx512, "the processor has no AVX-512 BF16"};
  if (!has(leaf7.d, 22) || !has(leaf7.d, 24)) return {Tier::avx512_bf16, "the processor has no AMX"};
  if (!saves(0x60000)) return {Tier::avx512_bf16, "the operating system does not save AMX tiles"};
  if (!tiles_permitted()) return {Tier::avx512_bf16, "the operating system refuses AMX tiles to this process"};
  return {Tier::amx, ""};
}
#else
Machine probe() { return {Tier::portable, "this build has vector kernels for x86-64 only"}; }
#endif

const Machine& machine() {
  static const Machine found = [] {
    Machine m = probe();
    if (m.tier > kCompiled) m = {kCompiled, "this build stops at " + std::string(name_of(kCompiled)) + " (GAMUT_MAX_TIER)"};
    return m;
  }();
  return found;
}

constexpr int kUnread = -1;
std::atomic<int> in_use{kUnread};

}  // namespace

std::string_view name_of(Tier tier) { return kNames[static_cast<size_t>(tier)]; }

Tier tier_named(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<Tier>(i);
  const std::vector<std::string> known(kNames.begin(), kNames.end());
  throw Error({.who = "isa", .what = "unknown instruction tier '" + std::string(name) + "'", .hint = "one of " + join(known, ", ")});
}

Tier machine_tier() { return machine().tier; }

Tier tier_from_setting(const char* value) {
  if (!value || !*value) return machine_tier();
  Tier wanted;
  try {
    wanted = tier_named(value);
  } catch (const Error& error) {
    Problem problem = error.problem();
    problem.where = "GAMUT_ISA";
    throw Error(problem);
  }
  if (wanted > machine_tier()) {
    throw Error({.who = "isa",
                 .what = "'" + std::string(value) + "' cannot run here: " + machine().missing,
                 .where = "GAMUT_ISA",
                 .hint = "unset GAMUT_ISA or set it to " + std::string(name_of(machine_tier())) + " or lower"});
  }
  return wanted;
}

Tier best_tier() {
  const int tier = in_use.load(std::memory_order_relaxed);
  if (tier != kUnread) return static_cast<Tier>(tier);
  const Tier chosen = tier_from_setting(std::getenv("GAMUT_ISA"));
  in_use.store(static_cast<int>(chosen), std::memory_order_relaxed);
  return chosen;
}

std::string tier_reason() {
  const Tier tier = best_tier();
  if (tier == Tier::amx) return "";
  const std::string next(name_of(static_cast<Tier>(static_cast<int>(tier) + 1)));
  return next + ": " + (tier < machine_tier() ? "GAMUT_ISA=" + std::string(name_of(tier)) : machine().missing);
}

std::string cpu_model() {
#if defined(__x86_64__)
  if (cpuid(0x80000000u).a >= 0x80000004u) {
    char text[49] = {};
    for (unsigned i = 0; i < 3; ++i) {
      const Registers r = cpuid(0x80000002u + i);
      std::memcpy(text + 16 * i, &r, 16);
    }
    if (const auto name = trim(text); !name.empty()) return std::string(name);
  }
#endif
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const auto colon = line.find(':');
    if (colon != std::string::npos && (line.starts_with("model name") || line.starts_with("Model")))
      return std::string(trim(std::string_view(line).substr(colon + 1)));
  }
  return "unknown processor";
}

ForcedTier::ForcedTier(Tier tier) : before_(in_use.load()) {
  in_use.store(static_cast<int>(tier_from_setting(std::string(name_of(tier)).c_str())));
}
ForcedTier::~ForcedTier() { in_use.store(before_); }

}  // namespace gamut::kernels
