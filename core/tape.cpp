#include "core/tape.h"

#include <cstring>

namespace gamut {
namespace {

// gradient += more, elementwise, in the accumulator type.
template <class T> void add_into(ThreadPool& pool, const Tensor& sum, const Tensor& more) {
  constexpr int64_t kBlock = 1 << 15;
  T* s = sum.data<T>();
  const T* m = more.data<T>();
  const int64_t n = sum.elements();
  pool.parallel_for((n + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t end = std::min(n, (block + 1) * kBlock);
    for (int64_t i = block * kBlock; i < end; ++i)
      s[i] = T(static_cast<accumulator<T>>(s[i]) + static_cast<accumulator<T>>(m[i]));
  });
}

}  // namespace

Tensor Tape::zeros(Shape shape, DType dtype) {
  Tensor t = empty(shape, dtype);
  if (runs()) std::memset(t.raw(), 0, t.bytes());
  return t;
}

Tensor Tape::output(Shape shape, DType dtype, std::span<const Tensor> inputs) {
  Tensor t = empty(shape, dtype);
  if (training_)
    for (const Tensor& input : inputs)
      if (input.needs_grad()) {
        t.require_grad();
        break;
      }
  return t;
}

Tensor Tape::output(Shape shape, DType dtype, std::initializer_list<Tensor> inputs) {
  return output(shape, dtype, std::span(inputs.begin(), inputs.size()));
}

GradSlot Tape::slot(const GradRef& cell) {
  if (!cell) return {};
  if (cell->persistent) return {cell->value, true};
  if (!cell->value) {
    cell->value = empty(cell->shape, cell->dtype);
    return {cell->value, false};
  }
  if (cell->value.owners() > 1) {  // another cell shares it (a residual stream): write to a copy
    Tensor own = empty(cell->shape, cell->dtype);
    if (runs()) std::memcpy(own.raw(), cell->value.raw(), own.bytes());
    cell->value = own;
  }
  return {cell->value, true};
}

Tensor Tape::sum_slot(const GradRef& cell) {
  if (cell && !cell->value) return cell->value = zeros(cell->shape, cell->dtype);
  return slot(cell).grad;
}

void Tape::give(const GradRef& cell, const Tensor& gradient) {
  if (!cell) return;
  if (!cell->value) {
    cell->value = gradient.reshape(cell->shape);
    return;
  }
  const GradSlot to = slot(cell);
  if (runs()) with_float_type(to.grad.dtype(), [&]<class T>() { add_into<T>(device_.pool, to.grad, gradient); });
}

double Tape::total_loss() const {
  double sum = 0;
  if (runs())
    for (const Tensor& loss : losses_) sum += loss.dtype() == DType::f64 ? *loss.data<double>() : *loss.data<float>();
  return sum;
}

void Tape::backward() {
  losses_.clear();
  undoing_ = true;
  while (!nodes_.empty()) {
    const Node node = std::move(nodes_.back());
    nodes_.pop_back();
    const auto timing = time(node.name);
    node.backward(*this);
  }
  undoing_ = false;
}

}  // namespace gamut
