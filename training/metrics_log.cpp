#include "training/metrics_log.h"

#include <stdexcept>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

bool has_step(const Json& line) { return line.is_object() && line.contains("step") && line["step"].is_number_integer(); }

// Length of the part of `text` that holds lines of steps up to `step`.
size_t kept(std::string_view text, int64_t step, const fs::path& file) {
  size_t begin = 0;
  for (int number = 1; begin < text.size(); ++number) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) break;  // a torn line: the process was killed or the disk was full
    const std::string where = file.string() + ":" + std::to_string(number);
    const Json line = parse_json(text.substr(begin, end - begin), where);
    if (!has_step(line))
      throw Error({.who = "metrics", .what = "not a metrics line", .where = where, .hint = "move the file away to start a new one"});
    if (line["step"].get<int64_t>() > step) break;
    begin = end + 1;
  }
  return begin;
}

}  // namespace

MetricsLog::MetricsLog(const fs::path& file, int64_t step) {
  std::error_code ignored;
  if (fs::exists(file, ignored)) {
    const std::string text = read_file(file);
    const size_t keep = kept(text, step, file);
    if (keep < text.size()) write_file(file, std::string_view(text).substr(0, keep));
  }
  file_ = std::make_unique<AppendFile>(file);
}

void MetricsLog::append(const Json& line) {
  if (!has_step(line)) throw std::logic_error("MetricsLog::append: a line without a step");
  file_->append(line.dump() + "\n");
}

}  // namespace gamut
