#include "checkpoints/tensor_file.h"

#include "base/error.h"
#include "base/text.h"

namespace gamut {

const TensorView* TensorFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const TensorView& TensorFile::at(const std::string& name) const {
  if (const TensorView* view = find(name)) return *view;
  std::vector<std::string> known;
  for (const TensorView& view : tensors_) known.push_back(view.name);
  throw Error({.who = "model", .what = "there is no tensor " + shown(name), .where = path_.string(), .hint = did_you_mean(name, known)});
}

std::string TensorFile::place(const TensorView& view) const {
  for (const Part& part : parts_) {
    const std::span<const std::byte> bytes = part.file.bytes();
    if (view.bytes.data() >= bytes.data() && view.bytes.data() + view.bytes.size() <= bytes.data() + bytes.size())
      return part.path.string() + ", tensor " + shown(view.name) + ", byte " + std::to_string(view.bytes.data() - bytes.data());
  }
  return path_.string() + ", tensor " + shown(view.name);
}

std::span<const std::byte> TensorFile::map(const std::filesystem::path& file) {
  parts_.push_back({file, MappedFile(file)});
  return parts_.back().file.bytes();
}

void TensorFile::add(std::vector<TensorView> views) {
  for (TensorView& view : views) {
    index_[view.name] = tensors_.size();
    tensors_.push_back(std::move(view));
  }
}

std::string shown(const std::string& name) { return "'" + (name.size() > 80 ? name.substr(0, 77) + "..." : name) + "'"; }

std::string shape_text(std::span<const int64_t> shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

}  // namespace gamut
