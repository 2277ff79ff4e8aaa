#include "ops/packed_weight.h"

namespace gamut::ops {
namespace {
struct PackedCopies {
  struct Copy {
    Tensor bytes;
    uint64_t version = 0;
    DType dtype = DType::f32;
  };
  Copy sides[2][2];  // by side, and by whether the weight is seen as one matrix or as several
};
}  // namespace

kernels::PackedMatrix packed(Tape& tape, const Tensor& w, DType activations, Side side, int64_t expert) {
  const int64_t experts = w.shape().rank() == 3 ? w.shape()[0] : 1, n = w.shape()[-2], k = w.shape()[-1];
  const int64_t depth = side == Side::forward ? k : n, columns = side == Side::forward ? n : k;
  const int64_t each = kernels::packed_bytes(activations, depth, columns);
  auto& derived = w.derived();
  if (!derived) derived = std::make_shared<PackedCopies>();
  auto& copy = static_cast<PackedCopies*>(derived.get())->sides[static_cast<int>(side)][w.shape().rank() == 3];
  if (!copy.bytes || copy.version != w.version() || copy.dtype != activations) {
    if (!copy.bytes || copy.dtype != activations) copy.bytes = tape.empty({experts * each}, DType::u8);
    copy.version = w.version();
    copy.dtype = activations;
    const auto timing = tape.time("pack");
    tape.count("pack", {.bytes = static_cast<double>(w.bytes()) + static_cast<double>(experts * each)});
    if (tape.runs())
      for (int64_t e = 0; e < experts; ++e) {
        const std::byte* from = w.raw() + static_cast<size_t>(e * n * k) * size_of(w.dtype());
        kernels::pack(tape.pool(), activations, from, depth, columns, side == Side::forward ? 1 : k, side == Side::forward ? k : 1,
                      copy.bytes.raw() + e * each);
      }
  }
  return {activations, depth, columns, tape.runs() ? copy.bytes.raw() + expert * each : nullptr};
}

}  // namespace gamut::ops
