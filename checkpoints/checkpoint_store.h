// The checkpoints of one run: RUN/checkpoints/step-N/, each complete or absent whatever kills the process.
//
// A checkpoint is a folder with tensors.safetensors, state.json and manifest.json; the manifest has size and XXH3-128 checksum of the other
// two. It is written under a name that begins with a dot, synced to disk, then renamed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "base/json.h"
#include "checkpoints/safetensors.h"

namespace gamut {

struct Checkpoint {
  std::filesystem::path folder;
  int64_t step = 0;
  Json state;
  SafetensorsReader tensors;
};

// Opens the checkpoint in `folder` and verifies it against its manifest. Error: "truncated" or "corrupt", with the file, and its
// size or checksum as expected and as found.
Checkpoint open_checkpoint(const std::filesystem::path& folder);

// Write access to a run's checkpoints; one process at a time, another gets an Error.
class CheckpointStore {
 public:
  // Makes RUN/checkpoints and removes what killed writes left there. `keep`: how many checkpoints remain, at least 1.
  explicit CheckpointStore(const std::filesystem::path& run, int64_t keep = 2);
  ~CheckpointStore();
  CheckpointStore(const CheckpointStore&) = delete;
  CheckpointStore& operator=(const CheckpointStore&) = delete;

  // Replaces a checkpoint of the same step; then drops all but the newest `keep`, and those of later steps: a run that went back has
  // one history. A full disk is an Error and leaves what was there.
  void save(int64_t step, std::span<const TensorView> tensors, const Json& state);

  // The newest checkpoint that verifies; a damaged one is passed over with a warning. Nothing if there is none.
  // Error if there are checkpoints but all are damaged.
  std::optional<Checkpoint> latest_valid() const;

  std::vector<int64_t> steps() const;  // ascending, verified or not
  std::filesystem::path folder_of(int64_t step) const;

 private:
  std::filesystem::path folder_;
  int64_t keep_;
  int lock_ = -1;

  void remove(int64_t step);
};

}  // namespace gamut
