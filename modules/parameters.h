// The parameters and buffers of a model: named, initialised from named random streams, saved and counted.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "core/tape.h"

namespace gamut {

// What a parameter is for; optimizers group by it, never by shape.
enum class Role : uint8_t { matrix, embedding, head, router, norm, bias, buffer };
std::string_view name_of(Role role);

struct Init {
  enum class Kind : uint8_t { normal, constant, log_of_uniform, inverse_softplus, log_of_count, orthogonal } kind = Kind::normal;
  double value = 0.02, top = 0;  // standard deviation, the constant, the length, or the ends of a range
  static Init normal(double std) { return {Kind::normal, std}; }
  static Init constant(double c) { return {Kind::constant, c}; }
  // ln u, u uniform: rates of decay.
  static Init log_of_uniform(double low, double high) { return {Kind::log_of_uniform, low, high}; }
  // softplus⁻¹(u), ln u uniform: biases of step sizes between low and high.
  static Init inverse_softplus(double low, double high) { return {Kind::inverse_softplus, low, high}; }
  // ln(1 + place in the last dimension).
  static Init log_of_count() { return {Kind::log_of_count}; }
  // Rows of each matrix, or its columns when it has fewer, orthogonal and of length `gain` [Saxe et al., Exact solutions to the nonlinear dynamics of
  // learning in deep linear neural networks, 2014].
  static Init orthogonal(double gain) { return {Kind::orthogonal, gain}; }
};

struct Parameter {
  std::string name;   // "layers.0.mixer.query"
  Role role;
  Init init;
  Tensor value;       // f32 (f64 in the reference mode)
  bool trained;       // false: buffers, frozen weights
  double active = 1;  // share of the elements a token uses (k/E for experts)
  bool expert = false;  // belongs to experts that are routed to

  bool router() const;  // belongs to a router: by its role, or by a name that begins with "router"
};

class Parameters {
 public:
  // `dtype` f32 or f64. Storage comes from `arena`, which outlives the model's tensors. What `frozen` names is not trained, whoever adds it.
  using Rule = std::function<bool(const Parameter&)>;
  Parameters(std::shared_ptr<Arena> arena, DType dtype, Rule frozen = {}) : arena_(std::move(arena)), dtype_(dtype), frozen_(std::move(frozen)) {}

  DType dtype() const { return dtype_; }
  Tensor add(std::string name, Shape shape, Role role, Init init, bool trained = true, double active = 1, bool expert = false);

  // Every element from the stream (seed, "init", name of the parameter), independent of all other parameters. Leading
  // slices of rank-3 parameters (experts) draw from streams of their own; the first from the plain name, so that a
  // mixture with one expert starts as its dense twin.
  void initialise(uint64_t seed, ThreadPool& pool);
  void allocate_gradients();  // of trained parameters, zeroed
  void zero_gradients();
  void mark_changed();        // after values were written: packed copies are stale

  std::deque<Parameter>& all() { return all_; }
  const std::deque<Parameter>& all() const { return all_; }
  Parameter* find(const std::string& name);

  int64_t total() const;        // elements, buffers left out
  double active() const;        // elements a token uses, embedding rows left out, head included
  double active_matrix() const;  // matrix, head and router elements a token uses: what a token is multiplied by

 private:
  std::shared_ptr<Arena> arena_;
  DType dtype_;
  Rule frozen_;
  std::deque<Parameter> all_;
};

}  // namespace gamut
