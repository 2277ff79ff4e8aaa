// The safetensors file format: a length, a JSON header with name, type, shape and place of every tensor, then the data.
//
// Reading treats the file as hostile: every size is checked with overflow in mind before it is used, and holes, overlaps and
// duplicate names are refused with file, tensor and offset. Data may lie at any alignment: copy with memcpy.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "checkpoints/tensor_file.h"

namespace gamut {

struct SafetensorsContent {
  std::vector<TensorView> tensors;  // in the order of their data
  std::map<std::string, std::string> metadata;
};
// Reads the header of a whole file in memory; the views point into `file`. `source` is for messages.
SafetensorsContent parse_safetensors(std::span<const std::byte> file, const std::string& source);

// One file, or a folder of files: model.safetensors, or the shards that model.safetensors.index.json lists.
class SafetensorsReader : public TensorFile {
 public:
  explicit SafetensorsReader(const std::filesystem::path& file_or_folder);
  // Of the first file that has any.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::map<std::string, std::string> metadata_;

  void add_file(const std::filesystem::path& file);
  void add_shards(const std::filesystem::path& index);
};

struct WrittenFile {
  uint64_t bytes = 0;
  std::string xxh3_128;  // of the whole file
};
// Writes all or nothing. The data begin at a multiple of 64 bytes; tensors of wider elements come first, otherwise in the given
// order, so that each is aligned to its element. Error: a duplicate name, or a shape that does not match its bytes.
WrittenFile write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                              const std::map<std::string, std::string>& metadata = {});
// The same, with the bytes of each tensor asked for when its turn comes and needed until the next is asked for; those of the views do not count.
WrittenFile write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors, const std::map<std::string, std::string>& metadata,
                              const std::function<std::span<const std::byte>(const TensorView&)>& bytes);

}  // namespace gamut
