#include "modules/parameters.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"

namespace gamut {

std::string_view name_of(Role role) {
  switch (role) {
    case Role::matrix: return "matrix";
    case Role::embedding: return "embedding";
    case Role::head: return "head";
    case Role::router: return "router";
    case Role::norm: return "norm";
    case Role::bias: return "bias";
    case Role::buffer: return "buffer";
  }
  return "?";
}

bool Parameter::router() const { return role == Role::router || name.compare(name.rfind('.') + 1, 6, "router") == 0; }

Tensor Parameters::add(std::string name, Shape shape, Role role, Init init, bool trained, double active, bool expert) {
  Parameter p{std::move(name), role, init, Tensor(arena_, shape, dtype_), trained, active, expert};
  if (frozen_ && frozen_(p)) p.trained = false;
  if (p.trained) p.value.require_grad();
  all_.push_back(p);
  return p.value;
}

namespace {

double drawn(const Init& init, const RandomStream& stream, int64_t i, int64_t width) {
  const auto at = static_cast<uint64_t>(i);
  switch (init.kind) {
    case Init::Kind::normal: return init.value * stream.normal(at);
    case Init::Kind::constant: return init.value;
    case Init::Kind::log_of_uniform: return std::log(init.value + (init.top - init.value) * stream.uniform(at));
    case Init::Kind::inverse_softplus: {
      const double x = std::exp(std::log(init.value) + (std::log(init.top) - std::log(init.value)) * stream.uniform(at));
      return x + std::log(-std::expm1(-x));
    }
    case Init::Kind::log_of_count: return std::log(1.0 + static_cast<double>(i % width));
    case Init::Kind::orthogonal: break;  // no element by itself
  }
  return 0;
}

// [rows, columns]: Gram-Schmidt of normal numbers, each vector twice, as the first pass leaves what cancellation made of it.
std::vector<double> orthogonal(double gain, const RandomStream& stream, int64_t rows, int64_t columns) {
  const int64_t count = std::min(rows, columns), n = std::max(rows, columns);
  std::vector<double> vectors(static_cast<size_t>(count * n)), out(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < vectors.size(); ++i) vectors[i] = stream.normal(i);
  for (int64_t v = 0; v < count; ++v) {
    double* x = vectors.data() + v * n;
    for (int64_t u = 0; u < 2 * v; ++u) {
      const double *y = vectors.data() + u % v * n, share = std::inner_product(x, x + n, y, 0.0);
      for (int64_t i = 0; i < n; ++i) x[i] -= share * y[i];
    }
    const double length = std::sqrt(std::inner_product(x, x + n, x, 0.0));
    for (int64_t i = 0; i < n; ++i) {
      x[i] /= length;
      out[static_cast<size_t>(rows <= columns ? v * n + i : i * count + v)] = gain * x[i];
    }
  }
  return out;
}

}  // namespace

void Parameters::initialise(uint64_t seed, ThreadPool& pool) {
  for (Parameter& p : all_) {
    if (!p.value.raw()) continue;
    const int64_t slices = p.value.shape().rank() == 3 ? p.value.shape()[0] : 1, each = p.value.elements() / std::max<int64_t>(slices, 1);
    with_float_type(dtype_, [&]<class P>() {
      if constexpr (!std::is_same_v<P, bf16>) {
        const auto stream_of = [&](int64_t slice) { return RandomStream(seed, "init", slice == 0 ? p.name : p.name + "#" + std::to_string(slice)); };
        if (p.init.kind == Init::Kind::constant) {
          std::fill_n(p.value.data<P>(), p.value.elements(), static_cast<P>(p.init.value));
        } else if (p.init.kind == Init::Kind::orthogonal) {
          pool.parallel_for(slices, [&](int64_t slice, int) {
            const std::vector<double> drawn = orthogonal(p.init.value, stream_of(slice), each / p.value.width(), p.value.width());
            for (int64_t i = 0; i < each; ++i) p.value.data<P>()[slice * each + i] = static_cast<P>(static_cast<float>(drawn[static_cast<size_t>(i)]));
          });
        } else {
          constexpr int64_t kBlock = 4096;
          const int64_t blocks = (each + kBlock - 1) / kBlock;
          pool.parallel_for(slices * blocks, [&](int64_t task, int) {
            const int64_t slice = task / blocks, begin = task % blocks * kBlock;
            const RandomStream stream = stream_of(slice);
            P* out = p.value.data<P>() + slice * each;
            // Through float, so that the f64 reference mode starts from the same weights.
            for (int64_t i = begin; i < std::min(each, begin + kBlock); ++i)
              out[i] = static_cast<P>(static_cast<float>(drawn(p.init, stream, i, p.value.width())));
          });
        }
      }
    });
  }
  mark_changed();
}

void Parameters::allocate_gradients() {
  for (Parameter& p : all_) {
    if (!p.trained) continue;
    GradCell& cell = *p.value.grad();
    cell.value = Tensor(arena_, p.value.shape(), dtype_);
    cell.persistent = true;
  }
  zero_gradients();
}

void Parameters::zero_gradients() {
  for (Parameter& p : all_)
    if (p.trained && p.value.grad()->value && p.value.raw()) std::memset(p.value.grad()->value.raw(), 0, p.value.bytes());
}

void Parameters::mark_changed() {
  for (Parameter& p : all_) p.value.changed();
}

Parameter* Parameters::find(const std::string& name) {
  for (Parameter& p : all_)
    if (p.name == name) return &p;
  return nullptr;
}

int64_t Parameters::total() const {
  int64_t n = 0;
  for (const Parameter& p : all_)
    if (p.role != Role::buffer) n += p.value.elements();
  return n;
}

double Parameters::active() const {
  double n = 0;
  for (const Parameter& p : all_)
    if (p.role != Role::buffer && p.role != Role::embedding) n += p.active * static_cast<double>(p.value.elements());
  return n;
}

double Parameters::active_matrix() const {
  double n = 0;
  for (const Parameter& p : all_)
    if (p.role == Role::matrix || p.role == Role::head || p.role == Role::router) n += p.active * static_cast<double>(p.value.elements());
  return n;
}

}  // namespace gamut
