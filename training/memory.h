// What the system says this process holds.
#pragma once

#include <cstddef>

namespace gamut {

size_t resident_bytes();        // now
size_t peak_resident_bytes();   // highest since the start, or since the last reset
void reset_peak_resident();     // where the system allows it

}  // namespace gamut
