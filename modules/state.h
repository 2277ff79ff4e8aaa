// The state of a recurrent mixer: a fixed number of tensors that operations update in place.
#pragma once

#include <cstring>
#include <span>

#include "modules/module.h"
#include "ops/conv.h"

namespace gamut {

class RecurrentState : public MixerState {
 public:
  // Zeros of the given shapes; each has the batch as its first dimension.
  void add(Tape& tape, Shape shape, DType dtype) { tensors_.push_back(tape.zeros(shape, dtype)); }

  // The tensors, for a call that will see `tokens` more positions. A snapshot's are copied before the first change.
  const std::vector<Tensor>& advance(Tape& tape, int64_t tokens) {
    seen_ += tokens;
    if (shared_)
      for (Tensor& t : tensors_) {
        const Tensor copy = tape.empty(t.shape(), t.dtype());
        if (tape.runs()) std::memcpy(copy.raw(), t.raw(), t.bytes());
        t = copy;
      }
    shared_ = false;
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

 private:
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
