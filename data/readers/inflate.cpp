#include "data/readers/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace gamut {

std::string inflate(std::string_view packed, const std::string& source, size_t* used) {
  constexpr size_t kLimit = size_t{1} << 30;
  constexpr int kGzipOrZlib = 15 + 32;  // largest window; the header says which
  const auto fail = [&](const char* what) { throw Error({.who = "inflate", .what = what, .where = source}); };
  z_stream stream{};
  if (inflateInit2(&stream, kGzipOrZlib) != Z_OK) fail("no memory to decompress");
  struct End {
    z_stream* stream;
    ~End() { inflateEnd(stream); }
  } const end{&stream};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(std::min<size_t>(packed.size(), std::numeric_limits<uInt>::max()));
  std::string out;
  for (int state = Z_OK; state != Z_STREAM_END;) {
    const size_t before = out.size();
    if (before >= kLimit) fail("unpacks to more than 1 GiB");
    out.resize(std::max<size_t>(before * 2, 64 * 1024));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = static_cast<uInt>(out.size() - before);
    state = ::inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (state != Z_OK && state != Z_STREAM_END) fail("damaged compressed data");
    if (state == Z_OK && out.size() == before) fail("compressed data are cut short");
  }
  if (used) *used = stream.total_in;
  return out;
}

}  // namespace gamut
