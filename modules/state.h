// The state of a recurrent mixer: a fixed number of tensors that operations update in place.
#pragma once

#include <cstring>
#include <span>

#include "base/error.h"
#include "modules/module.h"
#include "ops/conv.h"

namespace gamut {

// The bytes of a state, piece by piece: MixerState::to_bytes…
class StateWriter {
 public:
  explicit StateWriter(int64_t length) { put(&length, sizeof length); }
  void put(const void* data, size_t bytes) {
    const auto* from = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), from, from + bytes);
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};
// …and from_bytes, which has read nothing into its state before it knows that all is there.
class StateReader {
 public:
  // Of a state that needs `fixed` bytes and `each` for every position.
  StateReader(std::span<const std::byte> bytes, size_t fixed, size_t each) : rest_(bytes) {
    if (bytes.size() >= sizeof length_) take(&length_, sizeof length_);
    if (bytes.size() < sizeof length_ || length_ < 0 || (each > 0 && static_cast<uint64_t>(length_) > bytes.size()) || rest_.size() != fixed + each * static_cast<size_t>(length_))
      throw Error({.who = "state", .what = std::to_string(bytes.size()) + " bytes are not a state of this layer", .hint = "was it written by the same model, for as many rows?"});
  }
  int64_t length() const { return length_; }
  void take(void* to, size_t bytes) {
    std::memcpy(to, rest_.data(), bytes);
    rest_ = rest_.subspan(bytes);
  }

 private:
  std::span<const std::byte> rest_;
  int64_t length_ = 0;
};

class RecurrentState : public MixerState {
 public:
  // Zeros of the given shapes; each has the batch as its first dimension.
  void add(Tape& tape, Shape shape, DType dtype) { tensors_.push_back(tape.zeros(shape, dtype)); }

  // The tensors, for a call that will see `tokens` more positions. A snapshot's are copied before the first change.
  const std::vector<Tensor>& advance(Tape& tape, int64_t tokens) {
    seen_ += tokens;
    own(tape, true);
    return tensors_;
  }

  std::unique_ptr<MixerState> clone() const override {
    shared_ = true;
    return std::make_unique<RecurrentState>(*this);
  }
  size_t bytes() const override {
    size_t sum = 0;
    for (const Tensor& t : tensors_) sum += t.bytes();
    return sum;
  }
  int64_t length() const override { return seen_; }
  bool truncate(int64_t length) override { return length >= seen_; }  // what was forgotten cannot be told apart

  std::vector<std::byte> to_bytes() const override {
    StateWriter out(seen_);
    for (const Tensor& t : tensors_) out.put(t.raw(), t.bytes());
    return out.take();
  }
  void from_bytes(Tape& tape, std::span<const std::byte> bytes) override {
    StateReader in(bytes, this->bytes(), 0);
    own(tape, false);
    seen_ = in.length();
    for (Tensor& t : tensors_) in.take(t.raw(), t.bytes());
  }

 private:
  // Tensors that no snapshot shares.
  void own(Tape& tape, bool keep) {
    if (shared_)
      for (Tensor& t : tensors_) {
        const Tensor copy = tape.empty(t.shape(), t.dtype());
        if (keep && tape.runs()) std::memcpy(copy.raw(), t.raw(), t.bytes());
        t = copy;
      }
    shared_ = false;
  }

  std::vector<Tensor> tensors_;
  int64_t seen_ = 0;
  mutable bool shared_ = false;
};

// What a mixer remembers whose inputs pass short convolutions before they reach a memory: each convolution's last inputs, then the memory.
struct ConvolvedState {
  std::vector<Tensor> histories;  // null tensors without a state
  Tensor memory;                  // likewise

  ConvolvedState(Pass& pass, size_t convolutions) : histories(convolutions) {
    if (!pass.state) return;
    histories = static_cast<RecurrentState&>(*pass.state).advance(pass.tape, pass.length());
    memory = histories.back();
    histories.pop_back();
  }
  static std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, std::span<const ops::ConvWeight> convolutions, DType dtype, const Shape& memory) {
    auto state = std::make_unique<RecurrentState>();
    for (const ops::ConvWeight& c : convolutions) state->add(tape, {batch, c.w_CW.shape()[1] - 1, c.w_CW.shape()[0]}, dtype);
    state->add(tape, memory, parameter_dtype(dtype));
    return state;
  }
};

}  // namespace gamut
