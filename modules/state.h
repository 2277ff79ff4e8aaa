// States of mixers: a fixed number of tensors that operations update in place, or rows for every position seen.
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

// Rows of some tensors [B, positions, G, K] for every position seen, with room to grow.
class PositionsState : public MixerState {
 public:
  // `shapes`: [B, capacity, G, K] of each tensor, B and capacity alike.
  PositionsState(Tape& tape, std::span<const Shape> shapes, DType dtype) {
    for (const Shape& shape : shapes) tensors_.push_back(tape.empty(shape, dtype));
  }

  // The tensors [B, capacity, G, K], of which length() positions are in use, after those of `more` [B, T, G, K].
  const std::vector<Tensor>& append(Tape& tape, std::initializer_list<Tensor> more) {
    const int64_t added = more.begin()->shape()[1], needed = seen_ + added;
    if (shared_ || needed > capacity()) grow(tape, needed > capacity() ? std::max(2 * capacity(), needed) : capacity());
    if (tape.runs())
      for (size_t i = 0; i < tensors_.size(); ++i)
        for (int64_t b = 0; b < batch(); ++b) copy_rows(more.begin()[i], b, 0, tensors_[i], seen_, added);
    seen_ = needed;
    return tensors_;
  }

  std::unique_ptr<MixerState> clone() const override {
    shared_ = true;
    return std::make_unique<PositionsState>(*this);
  }
  size_t bytes() const override { return static_cast<size_t>(seen_ * batch()) * each(); }
  int64_t length() const override { return seen_; }
  bool truncate(int64_t length) override {
    seen_ = std::min(seen_, length);
    return true;
  }

  std::vector<std::byte> to_bytes() const override {
    StateWriter out(seen_);
    for (const Tensor& t : tensors_)
      for (int64_t b = 0; b < batch(); ++b) out.put(row(t, b, 0), static_cast<size_t>(seen_) * row_bytes(t));
    return out.take();
  }
  void from_bytes(Tape& tape, std::span<const std::byte> bytes) override {
    StateReader in(bytes, 0, static_cast<size_t>(batch()) * each());
    seen_ = 0;  // nothing to keep
    if (shared_ || in.length() > capacity()) grow(tape, std::max(capacity(), in.length()));
    seen_ = in.length();
    for (const Tensor& t : tensors_)
      for (int64_t b = 0; b < batch(); ++b) in.take(row(t, b, 0), static_cast<size_t>(seen_) * row_bytes(t));
  }

 private:
  int64_t batch() const { return tensors_[0].shape()[0]; }
  int64_t capacity() const { return tensors_[0].shape()[1]; }
  static size_t row_bytes(const Tensor& t) { return static_cast<size_t>(t.shape()[2] * t.shape()[3]) * size_of(t.dtype()); }
  size_t each() const {  // bytes of a position of one row of the batch
    size_t sum = 0;
    for (const Tensor& t : tensors_) sum += row_bytes(t);
    return sum;
  }
  static std::byte* row(const Tensor& t, int64_t b, int64_t position) { return t.raw() + static_cast<size_t>(b * t.shape()[1] + position) * row_bytes(t); }
  static void copy_rows(const Tensor& from, int64_t b, int64_t from_row, const Tensor& to, int64_t to_row, int64_t rows) {
    std::memcpy(row(to, b, to_row), row(from, b, from_row), static_cast<size_t>(rows) * row_bytes(from));
  }
  void grow(Tape& tape, int64_t capacity) {
    for (Tensor& t : tensors_) {
      const Shape& s = t.shape();
      const Tensor larger = tape.empty({s[0], capacity, s[2], s[3]}, t.dtype());
      if (tape.runs())
        for (int64_t b = 0; b < s[0]; ++b) copy_rows(t, b, 0, larger, 0, seen_);
      t = larger;
    }
    shared_ = false;
  }

  std::vector<Tensor> tensors_;
  int64_t seen_ = 0;
  mutable bool shared_ = false;  // a snapshot shares the tensors: copy before the next write
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
