// What the system says this process holds.
#pragma once

#include <cstddef>

namespace gamut {

size_t resident_bytes();       // now
size_t peak_resident_bytes();  // highest so far

}  // namespace gamut
