// One libFuzzer program for each target; GAMUT_FUZZ_TARGET names it.
#include <cstddef>
#include <cstdint>

#include "base/log.h"
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  static const gamut::fuzz::Target* const target = [] {
    gamut::log::set_level(gamut::log::Level::error);
    return gamut::fuzz::find_target(GAMUT_FUZZ_TARGET);
  }();
  gamut::fuzz::accepts(*target, {reinterpret_cast<const char*>(data), bytes});
  return 0;
}
