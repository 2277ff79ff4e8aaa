#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <cmath>
#include <iostream>
#include <optional>

#include "base/error.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "checkpoints/elements.h"
#include "checkpoints/gguf.h"
#include "cli/command.h"
#include "families/family.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string a, b;
  double tolerance = 0;
  bool json = false;
};

// What a path holds: tensors (a model folder, a checkpoint folder, a .safetensors or .gguf file) or the metrics of a run.
struct Side {
  fs::path tensors, metrics;  // one of them is empty
};

Side look(const std::string& name) {
  const fs::path path = name;
  if (fs::is_regular_file(path)) {
    if (path.extension() == ".jsonl") return {{}, path};
    if (path.extension() == ".safetensors" || is_gguf(path)) return {path, {}};
  }
  if (fs::exists(path / "metrics.jsonl")) return {{}, path / "metrics.jsonl"};
  if (fs::exists(path / "tensors.safetensors")) return {path / "tensors.safetensors", {}};
  if (fs::exists(path / "model.safetensors") || fs::exists(path / "model.safetensors.index.json")) return {path, {}};
  throw Error({.who = "diff", .what = fs::exists(path) ? "neither a run, a model, a checkpoint nor a file of tensors" : "no such file or folder", .where = name,
               .hint = "name a run folder, a model folder, a checkpoint folder or a file"});
}

struct Report {
  Json json = {{"equal", true}};
  std::string text;
  void differ(const std::string& line) {
    json["equal"] = false;
    text += line + "\n";
  }
};

std::string place(int64_t index, const std::vector<int64_t>& shape) {
  std::vector<std::string> at(shape.size());
  for (size_t i = shape.size(); i-- > 0; index /= shape[i]) at[i] = std::to_string(index % shape[i]);
  return "[" + join(at, ", ") + "]";
}

// The tensors of one side, and what keeps them in memory.
struct Tensors {
  std::string path;
  std::shared_ptr<const TensorFile> file;
  std::vector<TensorBytes> bytes;
  std::vector<TensorView> views;
  std::map<std::string, const TensorView*> by_name;

  const TensorView* find(const std::string& name) const {
    const auto found = by_name.find(name);
    return found == by_name.end() ? nullptr : found->second;
  }
};

// As the file has them.
Tensors open_file(const fs::path& path) {
  Tensors out;
  if (is_gguf(path)) out.file = std::make_shared<GgufReader>(path);
  else out.file = std::make_shared<SafetensorsReader>(path);
  out.views = out.file->tensors();
  return out;
}

// As the model's family writes them to a folder, in float32: what a GGUF file and a folder have in common.
Tensors open_model(const fs::path& path, const Device& device) {
  Tensors out;
  const LoadedModel loaded = load_model(path, device, {.dtype = "f32"});
  for (const StoredTensor& tensor : loaded.config.family->tensors(loaded.model, {})) {
    TensorBytes stored = stored_bytes(loaded.model, tensor, DType::f32);
    if (stored.owned.empty()) {  // a view into the model
      stored.owned.assign(stored.view.bytes.begin(), stored.view.bytes.end());
      stored.view.bytes = stored.owned;
    }
    out.bytes.push_back(std::move(stored));
  }
  for (const TensorBytes& stored : out.bytes) out.views.push_back(stored.view);
  return out;
}

Report compare_tensors(const Side& a, const Side& b, double tolerance) {
  const bool models = is_gguf(a.tensors) != is_gguf(b.tensors);
  ThreadPool pool;
  const auto open = [&](const fs::path& path) {
    Tensors out = models ? open_model(path, Device::real(pool)) : open_file(path);
    out.path = path.string();
    for (const TensorView& view : out.views) out.by_name.emplace(view.name, &view);
    return out;
  };
  const Tensors left = open(a.tensors), right = open(b.tensors);
  Report report;
  std::vector<std::string> missing;
  Json first, largest;
  std::string first_line, largest_line;
  int64_t unequal = 0, compared = 0;
  for (const TensorView& x : left.views) {
    const TensorView* y = right.find(x.name);
    if (!y) {
      missing.push_back(x.name + " only in " + left.path);
      continue;
    }
    ++compared;
    Json row = {{"tensor", x.name}};
    std::string line;
    if (x.shape != y->shape) {
      row["shapes"] = {x.shape, y->shape};
      line = fmt::format("{}: shapes {} and {}", x.name, shape_text(x.shape), shape_text(y->shape));
    } else {
      const Difference d = compare_elements(x, *y, tolerance);
      if (d.unequal == 0) continue;
      row.update({{"unequal", d.unequal}, {"index", d.index}, {"a", d.a}, {"b", d.b}, {"difference", d.largest}});
      line = fmt::format("{}: {} of {} elements differ, most at {}: {:.9g} and {:.9g}", x.name, d.unequal, x.elements(), place(d.index, x.shape), d.a, d.b);
      if (largest.is_null() || d.largest > largest["difference"].get<double>()) {
        largest = row;
        largest_line = line;
      }
    }
    ++unequal;
    if (first.is_null()) {
      first = row;
      first_line = line;
    }
  }
  for (const TensorView& y : right.views)
    if (!left.find(y.name)) missing.push_back(y.name + " only in " + right.path);
  report.json.update({{"kind", "tensors"}, {"compared", compared}, {"unequal", unequal}, {"first", first}, {"largest", largest}, {"missing", missing}});
  if (unequal > 0) report.differ("first: " + first_line);
  if (!largest_line.empty() && largest_line != first_line) report.differ("largest: " + largest_line);
  for (const std::string& line : missing) report.differ(line);
  report.text += fmt::format("{} of {} tensors differ\n", unequal, compared);
  return report;
}

std::vector<Json> read_metrics(const fs::path& file) {
  std::vector<Json> lines;
  int number = 0;
  for (const std::string& line : split(read_file(file), '\n')) {
    ++number;
    if (!trim(line).empty()) lines.push_back(parse_json(line, file.string() + ":" + std::to_string(number)));
  }
  return lines;
}

// Measured time is never the same twice.
bool is_time(const std::string& key) { return key.ends_with("/seconds") || key.ends_with("/tokens_per_second") || key.ends_with("/share_of_peak"); }

Report compare_metrics(const Side& a, const Side& b, double tolerance) {
  const std::vector<Json> left = read_metrics(a.metrics), right = read_metrics(b.metrics);
  Report report;
  Json first, largest;
  const size_t lines = std::min(left.size(), right.size());
  const auto line_of = [](const Json& row) { return fmt::format("step {}, {}: {} and {}", row["step"].dump(), row["metric"].get<std::string>(), row["a"].dump(), row["b"].dump()); };
  for (size_t i = 0; i < lines; ++i) {
    const Json x = left[i].flatten(), y = right[i].flatten();
    Json keys = x;
    keys.update(y);
    for (const auto& [key, unused] : keys.items()) {
      if (is_time(key)) continue;
      const Json p = x.value(key, Json()), q = y.value(key, Json());
      if (p == q) continue;
      double gap = INFINITY;
      if (p.is_number() && q.is_number()) {
        gap = std::abs(p.get<double>() - q.get<double>());
        if (gap <= tolerance * std::max(std::abs(p.get<double>()), std::abs(q.get<double>()))) continue;
      }
      Json row = {{"step", left[i].value("step", Json())}, {"metric", key.substr(1)}, {"a", p}, {"b", q}};
      if (std::isfinite(gap)) row["difference"] = gap;
      if (first.is_null()) first = row;
      if (std::isfinite(gap) && (largest.is_null() || gap > largest["difference"].get<double>())) largest = row;
    }
  }
  report.json.update({{"kind", "metrics"}, {"compared", lines}, {"lines", {left.size(), right.size()}}, {"first", first}, {"largest", largest}});
  if (!first.is_null()) report.differ("first: " + line_of(first));
  if (!largest.is_null() && largest != first) report.differ("largest: " + line_of(largest));
  if (left.size() != right.size()) report.differ(fmt::format("{} lines and {}", left.size(), right.size()));
  report.text += fmt::format("{} lines of metrics compared, times left out\n", lines);
  return report;
}

int run(const Arguments& a) {
  const Side left = look(a.a), right = look(a.b);
  if (left.tensors.empty() != right.tensors.empty())
    throw Error({.who = "diff", .what = "one holds tensors, the other a run's metrics", .where = a.a + ", " + a.b, .hint = "for a run's weights name its model folder or a checkpoint"});
  const Report report = left.tensors.empty() ? compare_metrics(left, right, a.tolerance) : compare_tensors(left, right, a.tolerance);
  std::cout << (a.json ? report.json.dump() + "\n" : report.text);
  return report.json["equal"].get<bool>() ? 0 : 1;
}

}  // namespace

void build_diff(CLI::App& command, int& code) {
  auto a = std::make_shared<Arguments>();
  command.add_option("a", a->a, "run, model or checkpoint folder, or a .safetensors or .gguf file")->required();
  command.add_option("b", a->b, "the other")->required();
  command.add_option("--tolerance", a->tolerance, "relative difference that counts as equal")->capture_default_str()->check(CLI::NonNegativeNumber);
  add_json(command, a->json);
  command.callback([a, &code] { code = run(*a); });
}

}  // namespace gamut
