// The eager autograd tape: operations run at once, note their cost, and leave behind how to undo them.
//
// An operation's file reads:
//   const auto timing = tape.time("linear");
//   Tensor y = tape.output(shape, dtype, {x, w});              // shape rule
//   tape.count("linear", {.matmul_flops = 2.0 * m * n * k});   // cost
//   if (tape.runs()) kernels::…                                // forward
//   if (y.needs_grad())
//     tape.record("linear", [x, w, dy = y.grad()](Tape& t) {   // gradient
//       const Tensor g = dy->take(); if (!g) return;
//       const GradSlot dx = t.slot(x.grad()); … });
//
// On a device without storage the same code runs on shapes alone: costs and peak memory come out, numbers do not.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/threads.h"
#include "core/profile.h"
#include "core/tensor.h"

namespace gamut {

// Counted, not estimated. Products of matrices (attention included) are kept apart: shares of peak refer to them.
struct Cost {
  double matmul_flops = 0, other_flops = 0;
  double bytes = 0;  // read and written, each tensor once
  double flops() const { return matmul_flops + other_flops; }
  Cost& operator+=(const Cost& more) {
    matmul_flops += more.matmul_flops;
    other_flops += more.other_flops;
    bytes += more.bytes;
    return *this;
  }
};

// Where computation happens: the threads and the memory of activations; and who wants to know how long it takes.
struct Device {
  ThreadPool& pool;
  std::shared_ptr<Arena> arena;
  Profile* profile = nullptr;
  static Device real(ThreadPool& pool) { return {pool, std::make_shared<Arena>(Arena::Backing::real)}; }
  static Device shapes_only(ThreadPool& pool) { return {pool, std::make_shared<Arena>(Arena::Backing::none)}; }
};

// The place a gradient goes to. With accumulate the kernel adds to what is there, else it overwrites.
struct GradSlot {
  Tensor grad;
  bool accumulate = false;
  explicit operator bool() const { return static_cast<bool>(grad); }
};

class Tape {
 public:
  enum class Mode { inference, training };
  Tape(Device device, Mode mode) : device_(std::move(device)), training_(mode == Mode::training) {}

  ThreadPool& pool() const { return device_.pool; }
  const Device& device() const { return device_; }
  bool runs() const { return device_.arena->real(); }  // false: shapes alone
  bool training() const { return training_; }

  Tensor empty(Shape shape, DType dtype) { return Tensor(device_.arena, shape, dtype); }
  Tensor zeros(Shape shape, DType dtype);
  // A result of `inputs`: wants a gradient in training if any of them does.
  Tensor output(Shape shape, DType dtype, std::initializer_list<Tensor> inputs);
  Tensor output(Shape shape, DType dtype, std::span<const Tensor> inputs);

  void record(const char* name, std::function<void(Tape&)> backward) { nodes_.push_back({name, std::move(backward)}); }

  // In backward functions: where to put a gradient (none when the tensor wants none)…
  GradSlot slot(const GradRef& cell);
  // …the same for those who only add: zeros when nothing has arrived yet; null when the tensor wants no gradient…
  Tensor sum_slot(const GradRef& cell);
  // …or a finished gradient to hand over; it is added to one that has arrived before.
  void give(const GradRef& cell, const Tensor& gradient);

  // A scalar (f32, or f64) that backward() starts from. Losses make their gradients with upstream 1.
  void add_loss(const Tensor& scalar) { losses_.push_back(scalar); }
  double total_loss() const;
  // Undoes everything in reverse order, freeing on the way; parameters' gradients are in their cells afterwards.
  void backward();
  void forget() { nodes_.clear(); losses_.clear(); }

  void count(const char* name, const Cost& cost) { ledger_[name] += cost; }
  // Charges what follows in the caller's block to the operation `name`; functions given to record() are charged to theirs.
  [[nodiscard]] Profile::Scope time(const char* name) { return {device_.profile, name, undoing_}; }
  const std::map<std::string, Cost, std::less<>>& ledger() const { return ledger_; }

 private:
  struct Node {
    const char* name;
    std::function<void(Tape&)> backward;
  };
  Device device_;
  bool training_, undoing_ = false;
  std::vector<Node> nodes_;
  std::vector<Tensor> losses_;
  std::map<std::string, Cost, std::less<>> ledger_;
};

// Calls f.template operator()<T>() with the C++ type of `dtype`: float, bf16 or double.
template <class F> decltype(auto) with_float_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64: return f.template operator()<double>();
    case DType::bf16: return f.template operator()<bf16>();
    default: assert(dtype == DType::f32); return f.template operator()<float>();
  }
}

}  // namespace gamut
