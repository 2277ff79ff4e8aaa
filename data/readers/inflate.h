// Decompression of gzip and zlib data.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gamut {

// Unpacks one gzip or zlib stream at the start of `packed`; `used` receives the bytes it took. Error, naming `source`, when it
// is damaged or unpacks to more than 1 GiB.
std::string inflate(std::string_view packed, const std::string& source, size_t* used = nullptr);

}  // namespace gamut
