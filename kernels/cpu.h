// What this processor can run, and which instruction tier Gamut therefore uses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gamut::kernels {

// Instruction tiers, each including the ones before it. `ref` is readable code without any care for speed;
// `portable` is C++ for the compiler's baseline (x86-64: SSE2).
enum class Tier : uint8_t { ref, portable, avx2, avx512, avx512_bf16, amx };

std::string_view name_of(Tier tier);    // "ref", "portable", "avx2", "avx512", "avx512_bf16", "amx"
Tier tier_named(std::string_view name);  // Error naming the known tiers

// The tier in use: the highest that the processor, the operating system and this build allow, or the one
// GAMUT_ISA asks for. Error when GAMUT_ISA is unknown or more than the machine has. Read once, then cached.
Tier best_tier();

// The highest tier of this machine and build, whatever GAMUT_ISA says.
Tier machine_tier();

// Why no higher tier is in use, one line: "amx: the processor has no AMX"; empty on the highest tier.
std::string tier_reason();

// "AMD EPYC 9R14", from the processor itself; "unknown processor" if it does not say.
std::string cpu_model();

// The tier a value of GAMUT_ISA selects; null or "" selects machine_tier(). Errors as best_tier().
Tier tier_from_setting(const char* value);

// Uses `tier` while it lives: for tests and benchmarks that walk through the tiers. Not for concurrent use.
class ForcedTier {
 public:
  explicit ForcedTier(Tier tier);  // Error when the machine lacks it
  ~ForcedTier();
  ForcedTier(const ForcedTier&) = delete;
  ForcedTier& operator=(const ForcedTier&) = delete;

 private:
  int before_;
};

}  // namespace gamut::kernels
