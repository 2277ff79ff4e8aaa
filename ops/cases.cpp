#include "ops/cases.h"

#include <cstring>

#include "base/rng.h"
#include "ops/cases/families.h"

namespace gamut::ops {
namespace {

std::vector<Case> collect(cases::Size size) {
  std::vector<Case> all;
  const auto add = [&](Case c) { all.push_back(std::move(c)); };
  cases::element(size, add);
  cases::linear(size, add);
  cases::attention(size, add);
  cases::ffn(size, add);
  cases::moe(size, add);
  cases::route(size, add);
  cases::cross_entropy(size, add);
  cases::recurrent(size, add);
  return all;
}

// element(i) for every element, converted to the tensor's type.
template <class F> void fill(const Tensor& t, F element) {
  if (t.dtype() == DType::i32) {
    for (int64_t i = 0; i < t.elements(); ++i) t.data<int32_t>()[i] = static_cast<int32_t>(element(i));
    return;
  }
  with_float_type(t.dtype(), [&]<class T>() {
    for (int64_t i = 0; i < t.elements(); ++i) t.data<T>()[i] = T(static_cast<accumulator<T>>(element(i)));
  });
}

double short_float(double x) { return static_cast<double>(bf16(static_cast<float>(x))); }

void fill_arena_with_nan(Arena& arena) {
  constexpr size_t kBytes = 8 << 20;
  const size_t at = arena.take(kBytes);
  std::memset(arena.at(at), 0xff, kBytes);
  arena.give(at, kBytes);
}

}  // namespace

std::vector<Case> small_cases() { return collect(cases::Size::small); }
std::vector<Case> lab_cases() { return collect(cases::Size::lab); }
std::vector<Case> model_cases() { return collect(cases::Size::model); }
std::vector<Case> model_samples() { return collect(cases::Size::model_sample); }

std::vector<double> to_doubles(const Tensor& t) {
  std::vector<double> out(static_cast<size_t>(t.elements()));
  if (t.dtype() == DType::i32) {
    std::copy_n(t.data<int32_t>(), out.size(), out.begin());
  } else {
    with_float_type(t.dtype(), [&]<class T>() {
      for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(t.data<T>()[i]);
    });
  }
  return out;
}

CaseBench::CaseBench(const Case& c, ThreadPool& pool, const CaseSettings& settings)
    : case_(c), settings_(settings), device_{pool, std::make_shared<Arena>(settings.backing), settings.profile}, tape_(device_, Tape::Mode::training) {
  const bool real = settings.backing == Arena::Backing::real;
  if (real && settings.fill_with_nan) fill_arena_with_nan(*device_.arena);
  for (const CaseInput& in : c.inputs) {
    const DType type = in.kind == CaseInput::Kind::ids          ? DType::i32
                       : in.kind == CaseInput::Kind::activation ? settings.type
                                                                : parameter_dtype(settings.type);
    Tensor t(device_.arena, in.shape, type);
    if (in.kind == CaseInput::Kind::activation || in.kind == CaseInput::Kind::parameter) t.require_grad();
    if (in.kind == CaseInput::Kind::parameter) {
      t.grad()->persistent = true;
      t.grad()->value = tape_.zeros(in.shape, type);
    }
    const RandomStream stream(settings.seed, "case", c.name + " " + in.name);
    if (real)
      fill(t, [&](int64_t i) {
        return in.values.empty() ? short_float(in.mean + in.deviation * stream.normal(static_cast<uint64_t>(i))) : in.values[static_cast<size_t>(i)];
      });
    inputs_.push_back(t);
  }
}

const Tensor& CaseBench::cotangent(size_t i, const Tensor& result) {
  if (cotangents_.size() <= i) cotangents_.resize(i + 1);
  if (!cotangents_[i]) {
    cotangents_[i] = tape_.empty(result.shape(), result.dtype());
    const RandomStream stream(settings_.seed, "cotangent", std::to_string(i));
    if (tape_.runs()) fill(cotangents_[i], [&](int64_t j) { return short_float(stream.normal(static_cast<uint64_t>(j))); });
  }
  return cotangents_[i];
}

std::vector<Tensor> CaseBench::forward() { return case_.apply(tape_, inputs_); }

double CaseBench::objective() {
  const std::vector<Tensor> results = forward();
  double sum = tape_.total_loss();
  tape_.forget();
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].needs_grad()) continue;
    const std::vector<double> y = to_doubles(results[i]), c = to_doubles(cotangent(i, results[i]));
    for (size_t j = 0; j < y.size(); ++j) sum += y[j] * c[j];
  }
  return sum;
}

void CaseBench::backward(const std::vector<Tensor>& results) {
  for (size_t i = 0; i < results.size(); ++i)
    if (results[i].needs_grad()) tape_.give(results[i].grad(), cotangent(i, results[i]));
  tape_.backward();
}

void CaseBench::clear_gradients() {
  for (const Tensor& in : inputs_) {
    if (!in.needs_grad()) continue;
    if (!in.grad()->persistent) in.grad()->value = Tensor();
    else if (tape_.runs()) std::memset(in.grad()->value.raw(), 0, in.grad()->value.bytes());
  }
}

CaseRun run_case(const Case& c, ThreadPool& pool, const CaseSettings& settings) {
  CaseBench bench(c, pool, settings);
  CaseRun run;
  {
    const std::vector<Tensor> results = bench.forward();
    if (bench.tape().runs()) {
      run.values["loss"] = {bench.tape().total_loss()};
      for (size_t i = 0; i < results.size(); ++i) run.values["result " + std::to_string(i)] = to_doubles(results[i]);
    }
    bench.backward(results);
  }
  if (bench.tape().runs())
    for (size_t i = 0; i < c.inputs.size(); ++i)
      if (const Tensor& in = bench.input(i); in.needs_grad())
        run.values["gradient of " + c.inputs[i].name] = in.grad()->value ? to_doubles(in.grad()->value) : std::vector<double>(static_cast<size_t>(in.elements()));
  run.ledger = bench.tape().ledger();
  run.peak = bench.tape().device().arena->peak();
  return run;
}

}  // namespace gamut::ops
