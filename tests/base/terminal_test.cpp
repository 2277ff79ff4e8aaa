// Progress, messages and interrupts: what a person at a terminal, or a log file, gets to see.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>

#include "base/interrupt.h"
#include "base/io.h"
#include "base/log.h"
#include "base/progress.h"
#include "temp_folder.h"

namespace gamut {
namespace {

// stderr goes to another descriptor while this lives.
class Redirect {
 public:
  explicit Redirect(int to) : saved_(::dup(STDERR_FILENO)) { ::dup2(to, STDERR_FILENO); }
  ~Redirect() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
  }

 private:
  int saved_;
};

std::string into_a_file(const std::function<void()>& call) {
  const TempFolder folder;
  const int fd = ::open((folder / "err").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  {
    const Redirect redirect(fd);
    call();
  }
  ::close(fd);
  return read_file(folder / "err");
}

// A terminal of `columns`; what is written to it comes back with \n as \r\n.
std::string into_a_terminal(unsigned short columns, const std::function<void()>& call) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  EXPECT_GE(terminal, 0);
  ::grantpt(terminal);
  ::unlockpt(terminal);
  const int side = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  ::ioctl(side, TIOCSWINSZ, &size);
  {
    const Redirect redirect(side);
    call();
  }
  ::close(side);
  // The system hands text over in pieces and at its leisure; after the last one reading fails, as nobody holds the other side.
  std::string text, piece(1 << 12, '\0');
  for (ssize_t n; (n = ::read(terminal, piece.data(), piece.size())) > 0;) text.append(piece, 0, static_cast<size_t>(n));
  ::close(terminal);
  return text;
}

TEST(Progress, PlainLinesInAFile) {
  const std::string text = into_a_file([] {
    Progress progress("train", 200);
    for (int i = 0; i <= 100; ++i) progress.update(i, "loss 2.5");
    progress.finish("done");
  });
  EXPECT_EQ(text.find('\r'), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
  EXPECT_TRUE(text.starts_with("train   0% · loss 2.5\n")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << "no line for every step: " << text;
  EXPECT_TRUE(text.ends_with(" · done\n")) << text;
}

TEST(Progress, OneLineOnATerminal) {
  const std::string text = into_a_terminal(40, [] {
    Progress progress("train", 10);
    progress.update(5, std::string(200, 'x'));
    log::warn("a message");
    progress.update(5, "hidden: too soon");
    progress.finish("done");
  });
  EXPECT_TRUE(contains(text, "\rtrain ")) << text;
  EXPECT_TRUE(contains(text, "50%")) << text;
  EXPECT_TRUE(contains(text, "\r\x1b[Kwarning: a message\r\n")) << "a message clears the line first: " << text;
  const size_t end = text.find("\x1b[K");
  size_t columns = 0;
  for (size_t i = 1; i < end; ++i) columns += (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
  EXPECT_LT(columns, 40u) << "it never wraps";
  EXPECT_TRUE(text.ends_with("done\r\n")) << text;
}

TEST(Log, LevelsAndPrefixes) {
  const std::string text = into_a_file([] {
    log::set_level(log::Level::warn);
    log::info("quiet");
    log::warn("{} of {}", 1, 2);
    log::set_level(log::Level::debug);
    log::debug("detail");
    log::set_level(log::Level::info);
  });
  EXPECT_EQ(text, "warning: 1 of 2\ndebug: detail\n");
}

TEST(Interrupt, SignalsBecomeAFlag) {
  install_interrupt_handlers();
  clear_interrupt();
  EXPECT_EQ(interrupted(), 0);
  std::raise(SIGTERM);
  EXPECT_EQ(interrupted(), SIGTERM);
  clear_interrupt();
  request_interrupt(SIGINT);
  EXPECT_EQ(interrupted(), SIGINT);
  clear_interrupt();
  std::raise(SIGPIPE);  // a closed pipe is an error of write(2), not the end of the process
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

TEST(InterruptDeathTest, TheSecondSignalEndsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        install_interrupt_handlers();
        std::raise(SIGINT);
        std::raise(SIGINT);
        _exit(1);
      },
      testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace gamut
