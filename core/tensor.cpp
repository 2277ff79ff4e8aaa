#include "core/tensor.h"

#include <cstdint>

#include "base/error.h"

namespace gamut {

std::string Shape::text() const {
  std::string out = "[";
  for (int i = 0; i < rank_; ++i) out += (i ? ", " : "") + std::to_string(dims_[i]);
  return out + "]";
}

Tensor::Tensor(std::shared_ptr<Arena> arena, Shape shape, DType dtype) : shape_(shape) {
  size_t bytes = size_of(dtype);
  for (const int64_t extent : shape.dims()) {
    assert(extent >= 0);
    if (__builtin_mul_overflow(bytes, static_cast<size_t>(extent), &bytes)) bytes = SIZE_MAX;  // more than any arena holds
  }
  const size_t offset = arena->take(bytes);
  body_ = std::make_shared<Body>();
  body_->offset = offset;
  body_->bytes = bytes;
  body_->dtype = dtype;
  body_->data = arena->at(offset);
  body_->arena = std::move(arena);
}

Tensor Tensor::reshape(Shape shape) const {
  if (shape.elements() != shape_.elements())
    throw Error({.who = "reshape", .what = shape_.text() + " has another number of elements than " + shape.text()});
  Tensor out = *this;
  out.shape_ = shape;
  return out;
}

void Tensor::require_grad() { body_->grad = std::make_shared<GradCell>(GradCell{shape_, dtype(), Tensor(), false}); }

}  // namespace gamut
