#include "data/readers/r_data.h"

#include <cstdint>

#include "base/error.h"
#include "data/readers/inflate.h"

namespace gamut {
namespace {

// The little of R's serialisation that a character vector needs.
class Unserialiser {
 public:
  Unserialiser(std::string_view bytes, const std::string& source) : bytes_(bytes), source_(source) {}

  // The strings, or nothing when the object is of another kind.
  std::vector<std::string> strings() {
    if (take(2) != "X\n") fail("is not in R's XDR format");
    const uint32_t version = integer();
    take(8);  // the writer's version of R and the oldest that can read this
    if (version == 3) take(integer());  // name of the encoding
    if (version != 2 && version != 3) fail("has serialisation version " + std::to_string(version));
    constexpr uint32_t kStrings = 16, kString = 9, kMissing = 0xffffffff;
    if ((integer() & 0xff) != kStrings) return {};
    const uint32_t count = integer();
    if (count > bytes_.size() / 8) fail("is cut short");
    std::vector<std::string> out;
    for (uint32_t i = 0; i < count; ++i) {
      if ((integer() & 0xff) != kString) fail("holds something else than strings");
      const uint32_t length = integer();
      out.emplace_back(length == kMissing ? std::string_view() : take(length));
    }
    return out;  // attributes may follow
  }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
  const std::string& source_;

  [[noreturn]] void fail(const std::string& what) const { throw Error({.who = "R data", .what = "object " + what, .where = source_}); }

  std::string_view take(size_t count) {
    if (count > bytes_.size() - at_) fail("is cut short");
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }

  uint32_t integer() {
    const std::string_view b = take(4);
    const auto byte = [&](size_t i) { return uint32_t{static_cast<uint8_t>(b[i])}; };
    return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
  }
};

}  // namespace

std::vector<std::vector<std::string>> read_r_strings(std::string_view database, const std::string& source) {
  std::vector<std::vector<std::string>> out;
  for (size_t at = 0; at < database.size();) {
    if (database.size() - at < 5) throw Error({.who = "R data", .what = "record is cut short", .where = source});
    size_t used = 0;
    const std::string object = inflate(database.substr(at + 4), source, &used);
    at += 4 + used;
    std::vector<std::string> strings = Unserialiser(object, source).strings();
    if (!strings.empty()) out.push_back(std::move(strings));
  }
  return out;
}

}  // namespace gamut
