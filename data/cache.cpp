#include "data/cache.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.h"
#include "base/io.h"
#include "data/dataset.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

// Holds an exclusive lock on a file beside the folder. The lock ends with the process, however that ends.
class Lock {
 public:
  explicit Lock(const fs::path& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (fd_ < 0) fail_io("cache", "write", path, errno);
    while (::flock(fd_, LOCK_EX) != 0)
      if (errno != EINTR) fail_io("cache", "lock", path, errno);
  }
  ~Lock() { ::close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_;
};

}  // namespace

fs::path cache_root() {
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return value && *value ? value : nullptr;
  };
  if (const char* own = set("GAMUT_CACHE")) return own;
  if (const char* xdg = set("XDG_CACHE_HOME")) return fs::path(xdg) / "gamut";
  if (const char* home = set("HOME")) return fs::path(home) / ".cache" / "gamut";
  if (const passwd* user = ::getpwuid(::getuid()); user && user->pw_dir && *user->pw_dir) return fs::path(user->pw_dir) / ".cache" / "gamut";
  throw Error({.who = "cache", .what = "no place for the cache: HOME is not set", .hint = "set GAMUT_CACHE=FOLDER"});
}

bool make_once(const fs::path& folder, const std::function<void(const fs::path& aside)>& make) {
  if (fs::exists(folder)) return false;
  make_folder(folder.parent_path());
  fs::path beside = folder;
  const Lock lock(beside += ".lock");
  if (fs::exists(folder)) return false;
  fs::path aside = folder;
  aside += ".partial";
  struct Cleaner {
    const fs::path& path;
    ~Cleaner() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } const cleaner{aside};
  std::error_code error;
  fs::remove_all(aside, error);  // of a maker that was killed
  make_folder(aside);
  make(aside);
  sync_folder(aside);
  fs::rename(aside, folder, error);
  if (error) fail_io("cache", "write", folder, error.value());
  sync_folder(folder.parent_path());
  return true;
}

}  // namespace gamut
