#include "generation/text_stream.h"

#include <algorithm>
#include <utility>

namespace gamut {
namespace {

// Bytes at the end of `text` that begin a character whose rest may still come: at most 3.
size_t open_bytes(const std::string& text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::string TextStream::push(int32_t id) {
  pending_ += tokenizer_.decode(std::span(&id, 1));
  const size_t complete = pending_.size() - open_bytes(pending_);
  std::string text = lossy_utf8(std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return text;
}

std::string TextStream::finish() { return lossy_utf8(std::exchange(pending_, {})); }

}  // namespace gamut
