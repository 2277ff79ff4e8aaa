// Errors a user can act on: who noticed, what is wrong, where, and what to try.
#pragma once

#include <exception>
#include <string>

namespace gamut {

enum class Exit : int { done = 0, failed = 1, bad_input = 2, interrupted = 130, terminated = 143 };

struct Problem {
  std::string who;    // component that noticed: "recipe", "matmul", "safetensors"
  std::string what;   // what is wrong, with what was found and what was expected
  std::string where;  // file, line, offset, key; may be empty
  std::string hint;   // what to try; may be empty
  Exit exit = Exit::bad_input;
};

// Requests that cannot succeed throw Error; our own mistakes are assertions.
// what() is one line: "who: what (where). Hint: hint".
class Error : public std::exception {
 public:
  explicit Error(Problem problem);
  const char* what() const noexcept override { return line_.c_str(); }
  const Problem& problem() const { return problem_; }

 private:
  Problem problem_;
  std::string line_;
};

}  // namespace gamut
