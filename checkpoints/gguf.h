// The GGUF file format, versions 2 and 3 [ggml, docs/gguf.md]: typed metadata, then name, extents, element type and place of every tensor,
// then the data. One file holds a whole model: what config.json, the weights and tokenizer.json hold elsewhere.
//
// Reading treats the file as hostile: every size is checked with overflow in mind before it is used; refusals name file, key or tensor,
// and byte.
#pragma once

#include <optional>
#include <string_view>

#include "base/json.h"
#include "checkpoints/tensor_file.h"

namespace gamut {

enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

// A value where it lies in the file; already checked.
struct GgufValue {
  GgufType type = GgufType::u8;     // of each element for arrays
  std::optional<uint64_t> length;   // of an array
  std::span<const std::byte> bytes;
  uint64_t offset = 0;              // in the file
};

// Typed keys. A getter without fallback refuses a missing key; all refuse a value of another kind.
class GgufMetadata {
 public:
  GgufMetadata() = default;
  explicit GgufMetadata(std::string source) : source_(std::move(source)) {}
  bool has(const std::string& key) const { return values_.contains(key); }
  const std::map<std::string, GgufValue>& values() const { return values_; }
  bool insert(std::string key, GgufValue value) { return values_.emplace(std::move(key), value).second; }

  int64_t integer(const std::string& key) const;
  int64_t integer(const std::string& key, int64_t fallback) const { return has(key) ? integer(key) : fallback; }
  bool flag(const std::string& key, bool fallback) const;
  std::string_view text(const std::string& key) const;  // views into the file
  std::string_view text(const std::string& key, std::string_view fallback) const { return has(key) ? text(key) : fallback; }
  std::vector<std::string_view> texts(const std::string& key) const;
  std::vector<double> numbers(const std::string& key) const;  // an array of integers or floats
  Json json(const std::string& key) const;                    // any value; texts with invalid UTF-8 replaced

  [[noreturn]] void reject(const std::string& key, const std::string& what, const std::string& hint = "") const;

 private:
  std::string source_;
  std::map<std::string, GgufValue> values_;

  const GgufValue& at(const std::string& key) const;
};

struct GgufContent {
  GgufMetadata metadata;
  std::vector<TensorView> tensors;  // in the order of their data; shapes outermost extent first, as everywhere here
};
// Reads a whole file in memory; the views and the metadata's texts point into `file`. `source` is for messages.
GgufContent parse_gguf(std::span<const std::byte> file, const std::string& source);

bool is_gguf(const std::filesystem::path& path);  // a file whose name ends in .gguf

// One file, or with split.count > 1 all the shards NAME-00001-of-0000N.gguf that belong to the first.
class GgufReader : public TensorFile {
 public:
  explicit GgufReader(const std::filesystem::path& file);
  const GgufMetadata& metadata() const { return metadata_; }  // of the first shard

 private:
  GgufMetadata metadata_;
};

}  // namespace gamut
