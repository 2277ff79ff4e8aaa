// Tensors: contiguous elements of one type in an arena, with a place for their gradient.
//
// A Tensor is a handle; copies share the elements. reshape() gives another shape to the same elements and the
// same gradient. Values are not modified after an operation has read them, except parameters between steps.
#pragma once

#include <cassert>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/dtype.h"
#include "core/arena.h"
#include "core/shape.h"

namespace gamut {

class Tensor;

// Where the gradient of a tensor gathers. Operations keep this cell, not the tensor, so that a value nobody
// needs any more is freed before its gradient is known.
struct GradCell;
using GradRef = std::shared_ptr<GradCell>;

class Tensor {
 public:
  Tensor() = default;
  Tensor(std::shared_ptr<Arena> arena, Shape shape, DType dtype);  // uninitialised

  explicit operator bool() const { return body_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return body_->dtype; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype()); }
  int64_t rows() const { return shape_.rows(); }
  int64_t width() const { return shape_.width(); }

  // The elements; null on shapes alone. T must be the tensor's type.
  template <class T> T* data() const {
    assert(DTypeOf<T>::value == dtype());
    return reinterpret_cast<T*>(raw());
  }
  std::byte* raw() const { return body_->data; }
  template <class T> std::span<T> span() const { return {data<T>(), static_cast<size_t>(elements())}; }

  Tensor reshape(Shape shape) const;

  const GradRef& grad() const { return body_->grad; }        // null: no gradient wanted
  bool needs_grad() const { return body_ && body_->grad; }
  void require_grad();                                       // gives it a cell of its own
  bool same_storage(const Tensor& other) const { return body_ == other.body_; }
  long owners() const { return body_.use_count(); }

  // Parameters change between steps; whoever derived something from one (packed copies) compares versions.
  uint64_t version() const { return body_->version; }
  void changed() { ++body_->version; }
  std::shared_ptr<void>& derived() const { return body_->derived; }

 private:
  struct Body {
    std::shared_ptr<Arena> arena;
    size_t offset = 0, bytes = 0;
    DType dtype = DType::f32;
    std::byte* data = nullptr;
    GradRef grad;
    uint64_t version = 0;
    std::shared_ptr<void> derived;
    ~Body() { arena->give(offset, bytes); }
  };
  std::shared_ptr<Body> body_;
  Shape shape_;
};

struct GradCell {
  Shape shape;
  DType dtype;
  Tensor value;             // null until something arrives
  bool persistent = false;  // a parameter's gradient: allocated once, accumulated into, zeroed by the optimizer

  // Takes the gradient out of the cell; null when none arrived.
  Tensor take() { return std::exchange(value, Tensor()); }
};

}  // namespace gamut
