// Where the time of a computation goes: seconds by operation, forward and backward.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gamut {

class Profile {
 public:
  struct Entry {
    double forward = 0, backward = 0;  // seconds
    int64_t calls = 0;
    double seconds() const { return forward + backward; }
  };

  // Charges the time from its making to its end to one operation. Time inside nested scopes is charged to those alone, so that all
  // entries add up to the time inside any scope. Without a profile it does nothing.
  class Scope {
   public:
    Scope(Profile* profile, const char* name, bool backward) : profile_(profile) {
      if (profile_) profile_->enter(name, backward);
    }
    ~Scope() {
      if (profile_) profile_->leave();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Profile* profile_;
  };

  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  void clear() { entries_.clear(); }  // outside of scopes only

 private:
  using Clock = std::chrono::steady_clock;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<std::pair<Entry*, bool>> open_;  // and whether backward
  Clock::time_point last_;

  void charge() {
    const auto now = Clock::now();
    if (!open_.empty()) (open_.back().second ? open_.back().first->backward : open_.back().first->forward) += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }
  void enter(const char* name, bool backward) {
    charge();
    Entry& entry = entries_[name];
    ++entry.calls;
    open_.emplace_back(&entry, backward);
  }
  void leave() {
    charge();
    open_.pop_back();
  }
};

}  // namespace gamut
