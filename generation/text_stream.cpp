#include "generation/text_stream.h"

#include <utility>

namespace gamut {
namespace {

constexpr const char* kReplacement = "\xef\xbf\xbd";

}  // namespace

std::string TextStream::push(int32_t id) {
  ids_.push_back(id);
  std::string text = lossy_utf8(tokenizer_.decode(ids_));
  // A replacement character at the end may be the start of a character whose rest comes with the next token.
  if (text.size() <= given_.size() || text.ends_with(kReplacement) || !text.starts_with(given_)) return "";
  std::string fresh = text.substr(given_.size());
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(given_ids_));
  given_ids_ = ids_.size();
  given_ = lossy_utf8(tokenizer_.decode(ids_));
  return fresh;
}

std::string TextStream::finish() {
  const std::string text = lossy_utf8(tokenizer_.decode(ids_));
  std::string rest = text.size() > given_.size() ? text.substr(given_.size()) : "";
  ids_.clear();
  given_.clear();
  given_ids_ = 0;
  return rest;
}

}  // namespace gamut
