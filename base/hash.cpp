#include "base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace gamut {

uint64_t hash64(const void* data, size_t bytes, uint64_t seed) { return XXH3_64bits_withSeed(data, bytes, seed); }

std::string hash128_hex(std::string_view text) {
  const XXH128_hash_t h = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

struct StreamHash::State {
  XXH3_state_t* raw = XXH3_createState();
  ~State() { XXH3_freeState(raw); }
};

StreamHash::StreamHash() : state_(std::make_unique<State>()) { XXH3_128bits_reset(state_->raw); }
StreamHash::~StreamHash() = default;
void StreamHash::update(const void* data, size_t bytes) { XXH3_128bits_update(state_->raw, data, bytes); }
std::string StreamHash::hex() const {
  const XXH128_hash_t h = XXH3_128bits_digest(state_->raw);
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

}  // namespace gamut
