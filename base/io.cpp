#include "base/io.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBuffer = size_t{1} << 20;

void write_all(int fd, const char* data, size_t bytes, const fs::path& path) {
  while (bytes > 0) {
    const ssize_t n = ::write(fd, data, bytes);
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_io("file", "write", path, errno);
    }
    data += n;
    bytes -= static_cast<size_t>(n);
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

size_t size_of_file(int fd, const fs::path& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail_io("file", "read", path, errno);
  if (S_ISDIR(status.st_mode)) fail_io("file", "read", path, EISDIR);
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))  // may never end
    throw Error({.who = "file", .what = "cannot read: a device, not a file", .where = path.string()});
  return static_cast<size_t>(status.st_size);
}

}  // namespace

void fail_io(const std::string& who, const std::string& verb, const fs::path& path, int error_number) {
  std::string hint;
  if (error_number == ENOSPC || error_number == EDQUOT) hint = "free some space or choose another folder; what was there before is intact";
  if (error_number == EROFS || error_number == EACCES || error_number == EPERM) hint = "choose a folder you may write to";
  if (error_number == ENOENT && verb == "read") hint = "check the path";
  throw Error({.who = who, .what = "cannot " + verb + ": " + std::strerror(error_number), .where = path.string(), .hint = hint});
}

std::string read_file(const fs::path& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) fail_io("file", "read", path, errno);
  std::string text;
  text.resize(size_of_file(fd.get(), path));
  size_t have = 0;
  while (true) {
    if (have == text.size()) text.resize(text.size() + 4096);  // also serves files that tell no size, such as /proc
    const ssize_t n = ::read(fd.get(), text.data() + have, text.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_io("file", "read", path, errno);
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  text.resize(have);
  return text;
}

void write_file(const fs::path& path, std::string_view content) {
  FileWriter file(path);
  file.write(content);
  file.commit();
}

FileWriter::FileWriter(fs::path path) : path_(std::move(path)), aside_(path_.string() + ".partial") {
  fd_ = ::open(aside_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_io("file", "write", path_, errno);
  buffer_.reserve(kBuffer);
}

FileWriter::~FileWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(aside_.c_str());
}

void FileWriter::flush() {
  write_all(fd_, buffer_.data(), buffer_.size(), path_);
  buffer_.clear();
}

void FileWriter::write(const void* data, size_t bytes) {
  if (buffer_.size() + bytes > kBuffer) flush();
  if (bytes >= kBuffer) {
    write_all(fd_, static_cast<const char*>(data), bytes, path_);
  } else {
    buffer_.append(static_cast<const char*>(data), bytes);
  }
  written_ += bytes;
}

void FileWriter::commit() {
  flush();
  if (::fsync(fd_) != 0) fail_io("file", "write", path_, errno);
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0 || ::rename(aside_.c_str(), path_.c_str()) != 0) {
    const int why = errno;
    ::unlink(aside_.c_str());
    fail_io("file", "write", path_, why);
  }
  sync_folder(path_.parent_path());
}

AppendFile::AppendFile(fs::path path) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_io("file", "write", path_, errno);
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) ::close(fd_);
}

void AppendFile::append(std::string_view bytes) { write_all(fd_, bytes.data(), bytes.size(), path_); }

void AppendFile::sync() {
  if (::fdatasync(fd_) != 0) fail_io("file", "write", path_, errno);
}

MappedFile::MappedFile(const fs::path& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) fail_io("file", "read", path, errno);
  size_ = size_of_file(fd.get(), path);
  if (size_ == 0) return;
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) fail_io("file", "map", path, errno);
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void sync_folder(const fs::path& folder) {
  const Descriptor fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) fail_io("file", "sync", folder, errno);
  if (::fsync(fd.get()) != 0 && errno != EINVAL) fail_io("file", "sync", folder, errno);
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_io("file", "create the folder", folder, error.value());
}

}  // namespace gamut
