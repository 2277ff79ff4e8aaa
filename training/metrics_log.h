// metrics.jsonl of a run: one JSON object a line, each with a whole-number "step".
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "base/io.h"
#include "base/json.h"

namespace gamut {

class MetricsLog {
 public:
  // Goes on with a run at `step` (0: from the beginning): lines of later steps and a torn last line are dropped, in one atomic
  // replacement, so that the file ends as if the run had never been interrupted. For that, append all lines of a step and
  // call sync() before its checkpoint is saved. Error: a line in between that is not such an object.
  MetricsLog(const std::filesystem::path& file, int64_t step);

  void append(const Json& line);
  void sync() { file_->sync(); }

 private:
  std::unique_ptr<AppendFile> file_;
};

}  // namespace gamut
