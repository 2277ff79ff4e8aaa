#include "checkpoints/checkpoint_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/config.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr const char* kTensors = "tensors.safetensors";
constexpr const char* kState = "state.json";
constexpr const char* kManifest = "manifest.json";
constexpr int kFormat = 1;

[[noreturn]] void damaged(const std::string& what, const fs::path& where) {
  throw Error({.who = "checkpoint",
               .what = what,
               .where = where.string(),
               .hint = "use another checkpoint of the run; without a step named, training takes the newest intact one"});
}

// The file's content, after size and checksum were found as the manifest says.
MappedFile verified(const fs::path& folder, const std::string& name, Config manifest) {
  const fs::path path = folder / name;
  const auto bytes = manifest.take<uint64_t>("bytes");
  const auto checksum = manifest.take<std::string>("xxh3_128");
  manifest.finish();
  std::error_code error;
  const uint64_t found = fs::file_size(path, error);
  if (error) damaged("corrupt: the file is missing, expected " + std::to_string(bytes) + " bytes", path);
  if (found != bytes)
    damaged((found < bytes ? "truncated: expected " : "corrupt: expected ") + std::to_string(bytes) + " bytes, found " + std::to_string(found), path);
  MappedFile file(path);
  const std::string actual = hash128_hex(file.text());
  if (actual != checksum) damaged("corrupt: expected " + std::to_string(bytes) + " bytes with checksum " + checksum + ", found " + actual, path);
  return file;
}

// The step of a checkpoint folder's name, or nothing.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [stopped, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return error == std::errc{} && stopped == end && step >= 0 ? std::optional(step) : std::nullopt;
}

}  // namespace

Checkpoint open_checkpoint(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) throw Error({.who = "checkpoint", .what = "there is no such folder", .where = folder.string()});
  if (!fs::exists(folder / kManifest, ignored)) damaged("corrupt: the manifest is missing", folder / kManifest);
  Config manifest(read_json(folder / kManifest), {.source = (folder / kManifest).string(), .lines = {}});
  const int format = manifest.take<int>("format");
  if (format != kFormat) manifest.reject("format", "is " + std::to_string(format) + "; this version reads " + std::to_string(kFormat));
  const auto step = manifest.take<int64_t>("step");
  Config files = manifest.sub("files");
  const MappedFile state = verified(folder, kState, files.sub(kState));
  verified(folder, kTensors, files.sub(kTensors));
  files.finish();
  manifest.finish();
  return {.folder = folder,
          .step = step,
          .state = parse_json(state.text(), (folder / kState).string()),
          .tensors = SafetensorsReader(folder / kTensors)};
}

CheckpointStore::CheckpointStore(const fs::path& run, int64_t keep) : folder_(run / "checkpoints"), keep_(std::max<int64_t>(keep, 1)) {
  make_folder(folder_);
  const fs::path lock = folder_ / ".lock";
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) fail_io("checkpoint", "write", lock, errno);
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const int why = errno;
    ::close(lock_);
    if (why != EWOULDBLOCK) fail_io("checkpoint", "lock", lock, why);
    throw Error({.who = "checkpoint",
                 .what = "another process is writing this run",
                 .where = run.string(),
                 .hint = "wait for it, or choose another run.dir"});
  }
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(folder_))
    if (entry.path().filename().string().starts_with("." + std::string(kPrefix))) leftovers.push_back(entry.path());
  for (const fs::path& leftover : leftovers) {
    std::error_code error;
    fs::remove_all(leftover, error);
    if (error) log::warn("checkpoint: cannot remove what an interrupted write left: {} ({})", error.message(), leftover.string());
  }
}

CheckpointStore::~CheckpointStore() { ::close(lock_); }

fs::path CheckpointStore::folder_of(int64_t step) const { return folder_ / (std::string(kPrefix) + std::to_string(step)); }

std::vector<int64_t> CheckpointStore::steps() const {
  std::vector<int64_t> steps;
  for (const auto& entry : fs::directory_iterator(folder_))
    if (const auto step = step_of(entry.path().filename().string())) steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

void CheckpointStore::remove(int64_t step) {
  // First under a hidden name, so that a kill in the middle leaves no half of a checkpoint behind.
  const fs::path hidden = folder_ / ("." + std::string(kPrefix) + std::to_string(step) + ".gone");
  std::error_code error;
  fs::rename(folder_of(step), hidden, error);
  if (!error) fs::remove_all(hidden, error);
  if (error) log::warn("checkpoint: cannot remove an old checkpoint: {} ({})", error.message(), folder_of(step).string());
}

void CheckpointStore::save(int64_t step, std::span<const TensorView> tensors, const Json& state) {
  const fs::path aside = folder_ / ("." + std::string(kPrefix) + std::to_string(step) + ".partial");
  const fs::path place = folder_of(step);
  std::error_code ignored;
  fs::remove_all(aside, ignored);
  try {
    make_folder(aside);
    const WrittenFile tensor_file = write_safetensors(aside / kTensors, tensors);
    const std::string state_text = state.dump(1) + "\n";
    write_file(aside / kState, state_text);
    const Json manifest = {
        {"format", kFormat},
        {"step", step},
        {"files",
         {{kTensors, {{"bytes", tensor_file.bytes}, {"xxh3_128", tensor_file.xxh3_128}}},
          {kState, {{"bytes", state_text.size()}, {"xxh3_128", hash128_hex(state_text)}}}}}};
    write_file(aside / kManifest, manifest.dump(1) + "\n");
    // Swapping with a checkpoint of the same step leaves no moment without either; the old one is then the leftover.
    const bool replaces = fs::exists(place, ignored);
    if (::renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, place.c_str(), replaces ? RENAME_EXCHANGE : 0) != 0) {
      if (!replaces || errno != EINVAL) fail_io("checkpoint", "write", place, errno);
      fs::remove_all(place, ignored);  // a file system that cannot swap
      if (::rename(aside.c_str(), place.c_str()) != 0) fail_io("checkpoint", "write", place, errno);
    }
    sync_folder(folder_);
  } catch (...) {
    fs::remove_all(aside, ignored);
    throw;
  }
  fs::remove_all(aside, ignored);

  std::vector<int64_t> all = steps();
  const auto mine = std::find(all.begin(), all.end(), step);
  const auto first_kept = mine - std::min<int64_t>(mine - all.begin(), keep_ - 1);
  for (auto it = all.begin(); it != all.end(); ++it)
    if (it < first_kept || it > mine) remove(*it);
}

std::optional<Checkpoint> CheckpointStore::latest_valid() const {
  const std::vector<int64_t> all = steps();
  std::optional<Error> newest_damage;
  for (auto step = all.rbegin(); step != all.rend(); ++step) {
    try {
      std::optional<Checkpoint> checkpoint = open_checkpoint(folder_of(*step));
      if (newest_damage) log::warn("checkpoint: going on from step {}", *step);
      return checkpoint;
    } catch (const Error& error) {
      log::warn("{}", error.what());
      if (!newest_damage) newest_damage = error;
    }
  }
  if (newest_damage) throw *newest_damage;
  return std::nullopt;
}

}  // namespace gamut
