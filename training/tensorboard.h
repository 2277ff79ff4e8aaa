// TensorBoard event files: scalars over steps, readable by `tensorboard --logdir RUN`.
//
// A file is a sequence of records (length, checksum, Event message, checksum; checksums are masked CRC-32C), and each Event is a
// protocol buffer. Both formats are TensorFlow's: tensorflow/core/lib/io/record_writer.h and core/util/event.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/io.h"

namespace gamut {

struct Scalar {
  std::string tag;  // "train/loss"; the part before '/' groups charts
  float value = 0;
};

class TensorboardLog {
 public:
  // Every process writes a file of its own in `folder`. On resuming, `step` is the last step that counts:
  // TensorBoard hides what earlier files hold of later ones.
  TensorboardLog(const std::filesystem::path& folder, int64_t step);
  void append(int64_t step, std::span<const Scalar> scalars);

 private:
  std::unique_ptr<AppendFile> file_;
};

// The parts, for tests.
uint32_t crc32c(std::string_view bytes);                 // Castagnoli, as in RFC 3720
std::string tensorboard_record(std::string_view event);  // with its length and checksums
std::string tensorboard_scalars(double wall_time, int64_t step, std::span<const Scalar> scalars);

}  // namespace gamut
