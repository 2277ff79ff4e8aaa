#include "training/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <string>

namespace gamut {
namespace {

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
    table[byte] = crc;
  }
  return table;
}();

// A checksum that is itself part of checksummed data would weaken it, so TensorFlow rotates it and adds a constant.
uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return std::rotr(crc, 15) + 0xa282ead8u;
}

template <class T> std::string little_endian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

// Protocol buffer fields: a tag (number · 8 + wire type), then the value.
std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string integer_field(uint32_t number, uint64_t value) { return varint(number << 3 | 0) + varint(value); }
std::string double_field(uint32_t number, double value) { return varint(number << 3 | 1) + little_endian(std::bit_cast<uint64_t>(value)); }
std::string float_field(uint32_t number, float value) { return varint(number << 3 | 5) + little_endian(std::bit_cast<uint32_t>(value)); }
std::string bytes_field(uint32_t number, std::string_view value) { return varint(number << 3 | 2) + varint(value.size()) + std::string(value); }

// Field numbers of event.proto and summary.proto.
namespace event {
constexpr uint32_t kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
constexpr uint32_t kSummaryValue = 1, kValueTag = 1, kValueSimple = 2, kSessionStatus = 1, kSessionStart = 1;

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  return ~crc;
}

std::string tensorboard_record(std::string_view event) {
  const std::string length = little_endian<uint64_t>(event.size());
  return length + little_endian(masked_crc(length)) + std::string(event) + little_endian(masked_crc(event));
}

std::string tensorboard_scalars(double wall_time, int64_t step, std::span<const Scalar> scalars) {
  std::string summary;
  for (const Scalar& scalar : scalars)
    summary += bytes_field(kSummaryValue, bytes_field(kValueTag, scalar.tag) + float_field(kValueSimple, scalar.value));
  return double_field(event::kWallTime, wall_time) + integer_field(event::kStep, static_cast<uint64_t>(step)) +
         bytes_field(event::kSummary, summary);
}

TensorboardLog::TensorboardLog(const std::filesystem::path& folder, int64_t step) {
  make_folder(folder);
  std::array<char, 65> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0 || !host[0]) host = {"localhost"};
  const double started = now();
  const std::string name = "events.out.tfevents." + std::to_string(static_cast<int64_t>(started)) + "." + host.data() + "." +
                           std::to_string(::getpid()) + "." + std::to_string(step);
  file_ = std::make_unique<AppendFile>(folder / name);
  file_->append(tensorboard_record(double_field(event::kWallTime, started) + bytes_field(event::kFileVersion, "brain.Event:2")));
  if (step > 0)  // a start at a step discards earlier files' values from that step on
    file_->append(tensorboard_record(double_field(event::kWallTime, started) +
                                     integer_field(event::kStep, static_cast<uint64_t>(step) + 1) +
                                     bytes_field(event::kSessionLog, integer_field(kSessionStatus, kSessionStart))));
}

void TensorboardLog::append(int64_t step, std::span<const Scalar> scalars) {
  file_->append(tensorboard_record(tensorboard_scalars(now(), step, scalars)));
}

}  // namespace gamut
