#include "data/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/io.h"

extern char** environ;

namespace gamut {

Finished run_program(const std::vector<std::string>& arguments, const std::filesystem::path& working_folder) {
  constexpr size_t kKept = 64 * 1024;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail_io("process", "start", arguments[0], errno);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  posix_spawn_file_actions_addchdir_np(&actions, working_folder.c_str());
  std::vector<char*> words;
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  pid_t child = 0;
  const int error = posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  Finished out;
  if (error != 0) {
    ::close(ends[0]);
    if (error == ENOENT) return {.status = 127, .output = arguments[0] + ": not found"};
    fail_io("process", "start", arguments[0], error);
  }
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(ends[0], buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    out.output.append(buffer, static_cast<size_t>(n));
    if (out.output.size() > 2 * kKept) out.output.erase(0, out.output.size() - kKept);
  }
  ::close(ends[0]);
  int state = 0;
  while (::waitpid(child, &state, 0) < 0 && errno == EINTR) {
  }
  out.status = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  return out;
}

}  // namespace gamut
