// Files: whole reads, read-only maps, and writes that are either complete or absent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace gamut {

std::string read_file(const std::filesystem::path& path);

// Writes beside `path`, syncs, renames: after a crash the old content or the new, never a part.
// A full disk or a read-only folder is an Error and leaves the old file as it was.
void write_file(const std::filesystem::path& path, std::string_view content);

// A file that is being written: call write() any number of times, then commit(); without commit nothing remains.
class FileWriter {
 public:
  explicit FileWriter(std::filesystem::path path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  uint64_t written() const { return written_; }
  void commit();  // flush, fsync, rename, fsync of the folder

 private:
  std::filesystem::path path_, aside_;
  int fd_ = -1;
  std::string buffer_;
  uint64_t written_ = 0;
  void flush();
};

// A log that grows line by line (metrics.jsonl); each append is one write(2).
class AppendFile {
 public:
  explicit AppendFile(std::filesystem::path path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  void append(std::string_view bytes);
  void sync();

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

// Private read-only map of a whole file. An empty file maps to an empty span.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

void sync_folder(const std::filesystem::path& folder);
void make_folder(const std::filesystem::path& folder);  // with parents; Error says why not
// Error from errno: "who: cannot VERB: reason (path)", with a hint for a full disk, missing file, permission.
[[noreturn]] void fail_io(const std::string& who, const std::string& verb, const std::filesystem::path& path, int error_number);

}  // namespace gamut
