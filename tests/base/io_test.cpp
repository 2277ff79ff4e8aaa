#include "base/io.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <string>
#include <vector>

#include "temp_folder.h"

namespace {

// What reaches the disk, in order: this program's own fsync and rename stand before the C library's.
std::vector<std::string>* g_calls = nullptr;
int g_fsync_error = 0;

std::string name_of_descriptor(int fd) {
  char path[PATH_MAX];
  const ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  return std::filesystem::path(std::string(path, n > 0 ? static_cast<size_t>(n) : 0)).filename().string();
}

}  // namespace

extern "C" int fsync(int fd) {
  if (g_calls) g_calls->push_back("fsync " + name_of_descriptor(fd));
  if (g_fsync_error) {
    errno = g_fsync_error;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

extern "C" int rename(const char* from, const char* to) noexcept {
  if (g_calls) g_calls->push_back("rename to " + std::filesystem::path(to).filename().string());
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

namespace gamut {
namespace {
namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  TempFolder folder_;
  void TearDown() override {
    g_calls = nullptr;
    g_fsync_error = 0;
  }
  std::vector<std::string> entries() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
};

TEST_F(Files, WritesWholeFiles) {
  std::string text(3'000'000, 'x');  // more than one buffer
  for (size_t i = 0; i < text.size(); i += 1000) text[i] = static_cast<char>(i / 1000);
  write_file(folder_ / "a", text);
  EXPECT_EQ(read_file(folder_ / "a"), text);
  FileWriter pieces(folder_ / "b");
  for (size_t at = 0; at < text.size(); at += 77777) pieces.write(std::string_view(text).substr(at, 77777));
  EXPECT_EQ(pieces.written(), text.size());
  pieces.commit();
  EXPECT_EQ(read_file(folder_ / "b"), text);
  EXPECT_EQ(entries(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(Files, DataAreOnDiskBeforeTheName) {
  std::vector<std::string> calls;
  g_calls = &calls;
  write_file(folder_ / "a", "text");
  EXPECT_EQ(calls, (std::vector<std::string>{"fsync a.partial", "rename to a", "fsync " + folder_.path().filename().string()}));
}

TEST_F(Files, AWriterThatIsGivenUpLeavesNothing) {
  write_file(folder_ / "a", "old");
  { FileWriter(folder_ / "a").write("new"); }
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  EXPECT_EQ(entries(), std::vector<std::string>{"a"});
}

// The limit on a file's size makes write(2) fail half-way, as a full disk does.
TEST_F(Files, AFailingWriteLeavesTheOldFile) {
  write_file(folder_ / "a", "old");
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 1 << 20;
  std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string line = error_of([&] { write_file(folder_ / "a", std::string(5 << 20, 'n')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_TRUE(contains(line, "file: cannot write: File too large (" + (folder_ / "a").string() + ")")) << line;
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  EXPECT_EQ(entries(), std::vector<std::string>{"a"});
}

TEST_F(Files, AFailingSyncLeavesTheOldFile) {
  write_file(folder_ / "a", "old");
  g_fsync_error = ENOSPC;
  const std::string line = error_of([&] { write_file(folder_ / "a", "new"); });
  g_fsync_error = 0;
  EXPECT_TRUE(contains(line, "No space left on device")) << line;
  EXPECT_TRUE(contains(line, "Hint: free some space")) << line;
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  EXPECT_EQ(entries(), std::vector<std::string>{"a"});
}

TEST_F(Files, AFailingRenameLeavesWhatIsThere) {
  make_folder(folder_ / "a" / "inside");
  EXPECT_ERROR(write_file(folder_ / "a", "new"), "cannot write: Is a directory");
  EXPECT_EQ(entries(), std::vector<std::string>{"a"});
  EXPECT_TRUE(fs::is_directory(folder_ / "a" / "inside"));
}

TEST_F(Files, ErrorsNamePathAndReason) {
  EXPECT_ERROR(read_file(folder_ / "absent"), "file: cannot read: No such file or directory (" + (folder_ / "absent").string() + "). Hint: check the path");
  EXPECT_ERROR(read_file(folder_.path()), "cannot read: Is a directory");
  EXPECT_ERROR(read_file("/dev/zero"), "a device, not a file");
  EXPECT_ERROR(MappedFile("/dev/zero"), "a device, not a file");
  EXPECT_ERROR(write_file(folder_ / "no" / "where", "x"), "cannot write: No such file");
  write_file(folder_ / "file", "x");
  EXPECT_ERROR(make_folder(folder_ / "file" / "below"), "cannot create the folder: Not a directory");
  if (::geteuid() != 0) {
    ::chmod(folder_.path().c_str(), 0500);
    EXPECT_ERROR(write_file(folder_ / "x", "x"), "Permission denied");
    ::chmod(folder_.path().c_str(), 0700);
  }
}

TEST_F(Files, ReadsFilesThatTellNoSize) { EXPECT_TRUE(contains(read_file("/proc/self/status"), "Threads:")); }

TEST_F(Files, AppendsWholeLines) {
  {
    AppendFile log(folder_ / "log");
    log.append("one\n");
  }
  AppendFile log(folder_ / "log");
  log.append("two\n");
  log.sync();
  EXPECT_EQ(read_file(folder_ / "log"), "one\ntwo\n");
  EXPECT_ERROR(AppendFile("/dev/full").append("x"), "No space left on device");
}

TEST_F(Files, Maps) {
  write_file(folder_ / "a", "hello");
  write_file(folder_ / "empty", "");
  MappedFile a(folder_ / "a"), moved(std::move(a));
  EXPECT_EQ(moved.text(), "hello");
  EXPECT_TRUE(a.bytes().empty());  // NOLINT: a moved-from map is empty
  EXPECT_TRUE(MappedFile(folder_ / "empty").bytes().empty());
  write_file(folder_ / "a", "another");
  EXPECT_EQ(moved.text(), "hello") << "replacing a file does not change a map of the old one";
}

}  // namespace
}  // namespace gamut
