// Fast non-cryptographic hashes (XXH3) for checksums, keys and names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace gamut {

uint64_t hash64(const void* data, size_t bytes, uint64_t seed = 0);
inline uint64_t hash64(std::string_view text, uint64_t seed = 0) { return hash64(text.data(), text.size(), seed); }
uint64_t hash64(const char*, uint64_t) = delete;  // a length or a seed? Say string_view
std::string hash128_hex(std::string_view text);  // 32 hexadecimal digits

// 128-bit hash of a stream.
class StreamHash {
 public:
  StreamHash();
  ~StreamHash();
  void update(const void* data, size_t bytes);
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gamut
