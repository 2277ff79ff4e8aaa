// GGUF files made by tests, byte by byte: also such that no writer would make.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace gamut {

class GgufFile {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32, tensors = 0, keys = 0;  // as the header claims; grow with what is added

  template <class T> static std::string number(T value) { return {reinterpret_cast<const char*>(&value), sizeof(T)}; }
  static std::string text(const std::string& value) { return number<uint64_t>(value.size()) + value; }

  GgufFile& key(const std::string& name, uint32_t type, const std::string& bytes) {
    metadata_ += text(name) + number(type) + bytes;
    ++keys;
    return *this;
  }
  GgufFile& u32(const std::string& name, uint32_t value) { return key(name, 4, number(value)); }
  GgufFile& f32(const std::string& name, float value) { return key(name, 6, number(value)); }
  GgufFile& flag(const std::string& name, bool value) { return key(name, 7, number<uint8_t>(value)); }
  GgufFile& string(const std::string& name, const std::string& value) { return key(name, 8, text(value)); }
  GgufFile& strings(const std::string& name, const std::vector<std::string>& values) {
    std::string bytes = number<uint32_t>(8) + number<uint64_t>(values.size());
    for (const std::string& value : values) bytes += text(value);
    return key(name, 9, bytes);
  }
  template <class T> GgufFile& numbers(const std::string& name, uint32_t type, const std::vector<T>& values) {
    std::string bytes = number(type) + number<uint64_t>(values.size());
    for (const T value : values) bytes += number(value);
    return key(name, 9, bytes);
  }
  // Extents innermost first; the data follow those of the tensor before.
  GgufFile& tensor(const std::string& name, const std::vector<uint64_t>& extents, uint32_t type, const std::string& data) {
    entry(name, extents, type, data_.size());
    data_ += data;
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  GgufFile& entry(const std::string& name, const std::vector<uint64_t>& extents, uint32_t type, uint64_t offset) {
    infos_ += text(name) + number<uint32_t>(static_cast<uint32_t>(extents.size()));
    for (const uint64_t extent : extents) infos_ += number(extent);
    infos_ += number(type) + number(offset);
    ++tensors;
    return *this;
  }

  std::string bytes() const {
    std::string out = "GGUF" + number(version) + number(tensors) + number(keys) + metadata_ + infos_;
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data_;
  }

 private:
  std::string metadata_, infos_, data_;
};

}  // namespace gamut
