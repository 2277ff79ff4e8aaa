// Implementations of one operation, best first; the tier in use picks the first that can run.
//
//   const Candidates<NormFn> kNorm{GAMUT_AVX512({"avx512", Tier::avx512, avx512::norm})
//                                  GAMUT_AVX2({"avx2", Tier::avx2, avx2::norm})
//                                  {"portable", Tier::portable, portable::norm},
//                                  {"ref", Tier::ref, ref::norm}};
//   kNorm.best().fn(x, y, n);
//   for (const auto& c : kNorm.runnable_here()) …            // tests: every one against the last, ref
//
// GAMUT_AVX2(…) to GAMUT_AMX(…) drop an entry whose tier GAMUT_MAX_TIER leaves out of the build.
#pragma once

#include <initializer_list>
#include <vector>

#include "kernels/cpu.h"

#if GAMUT_COMPILED_TIER >= 2
#define GAMUT_AVX2(...) __VA_ARGS__,
#else
#define GAMUT_AVX2(...)
#endif
#if GAMUT_COMPILED_TIER >= 3
#define GAMUT_AVX512(...) __VA_ARGS__,
#else
#define GAMUT_AVX512(...)
#endif
#if GAMUT_COMPILED_TIER >= 4
#define GAMUT_AVX512_BF16(...) __VA_ARGS__,
#else
#define GAMUT_AVX512_BF16(...)
#endif
#if GAMUT_COMPILED_TIER >= 5
#define GAMUT_AMX(...) __VA_ARGS__,
#else
#define GAMUT_AMX(...)
#endif

namespace gamut::kernels {

template <class Fn> struct Candidate {
  const char* name;
  Tier needs;
  Fn fn;
};

template <class Fn> class Candidates {
 public:
  Candidates(std::initializer_list<Candidate<Fn>> best_first) : list_(best_first) {}

  // The first that runs on the tier in use. A few comparisons: cheap enough for every call.
  const Candidate<Fn>& best() const {
    const Tier tier = best_tier();
    for (const Candidate<Fn>& c : list_)
      if (c.needs <= tier) return c;
    return list_.back();
  }

  // All that run on the tier in use, best first.
  std::vector<Candidate<Fn>> runnable_here() const {
    std::vector<Candidate<Fn>> out;
    for (const Candidate<Fn>& c : list_)
      if (c.needs <= best_tier()) out.push_back(c);
    return out;
  }

 private:
  std::vector<Candidate<Fn>> list_;
};

}  // namespace gamut::kernels
