// Named arrays of numbers in files, whatever the format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/io.h"
#include "kernels/block_formats.h"

namespace gamut {

// A named array in row-major order. Whoever hands it out owns the bytes.
struct TensorView {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  const BlockFormat* blocks = nullptr;  // ? the bytes are blocks of this format, each within a row; dtype is f32, what they decode to

  int64_t elements() const {
    return blocks ? static_cast<int64_t>(bytes.size() / blocks->bytes) * blocks->elements : static_cast<int64_t>(bytes.size() / size_of(dtype));
  }
};

// The tensors of one file, or of several that belong together.
class TensorFile {
 public:
  TensorFile(TensorFile&&) = default;
  TensorFile& operator=(TensorFile&&) = default;
  const std::vector<TensorView>& tensors() const { return tensors_; }
  const TensorView* find(const std::string& name) const;  // nullptr if absent
  const TensorView& at(const std::string& name) const;    // Error with the nearest name if absent
  const std::filesystem::path& path() const { return path_; }
  // The file that holds a view's data and their place in it, for messages: "model.safetensors, tensor 'a', byte 1024".
  std::string place(const TensorView& view) const;

 protected:
  explicit TensorFile(std::filesystem::path path) : path_(std::move(path)) {}
  ~TensorFile() = default;
  std::span<const std::byte> map(const std::filesystem::path& file);  // and keeps it
  void add(std::vector<TensorView> views);                            // into mapped files

 private:
  struct Part {
    std::filesystem::path path;
    MappedFile file;
  };
  std::filesystem::path path_;
  std::vector<Part> parts_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t> index_;
};

// A name from a file, quoted and cut to a length that fits a message.
std::string shown(const std::string& name);

// A shape as in messages: "[2, 64]".
std::string shape_text(std::span<const int64_t> shape);

}  // namespace gamut
