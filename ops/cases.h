// One description of an operation on concrete inputs, used three times: tests check its gradient numerically, its agreement
// between types, tiers and thread counts, and its run on shapes alone; benchmarks time it.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tape.h"

namespace gamut::ops {

struct CaseInput {
  enum class Kind : uint8_t {
    activation,  // of the type under test; wants a gradient
    parameter,   // f32 (f64 when that is the type under test), its gradient kept as a trained parameter's is
    constant,    // like parameter, without gradient
    ids,         // int32, `values`
  };
  std::string name;
  Kind kind = Kind::activation;
  Shape shape;
  // Elements are mean + deviation·normal, or `values`, rounded to bfloat16 so that every type computes on the same numbers.
  double mean = 0, deviation = 1;
  std::vector<double> values = {};
};

struct Case {
  std::string name;  // "linear/odd": the operation, then what is special
  std::vector<CaseInput> inputs;
  std::function<std::vector<Tensor>(Tape&, std::span<const Tensor>)> apply;
  // Largest error of any result or gradient against f64, relative to the largest element of the same tensor.
  double f32_bound = 2e-5, bf16_bound = 2e-2;
  // The number of rows that experts process depends on values (a capacity drops): costs on shapes alone are an upper bound.
  bool data_dependent = false;
  std::vector<DType> types = {DType::f32, DType::bf16};  // beside f64
};

// Small cases of every operation, in a fixed order.
std::vector<Case> small_cases();
// The same operations at the sizes of the lab: 8192 tokens in rows of 128, width 64 to 128, 8 experts, vocabulary 2048.
std::vector<Case> lab_cases();
// The operations where time goes at the sizes of several models, for timing; and, under the same names in the same order, the same with
// fewer tokens or heads, which f64 checks in moments.
std::vector<Case> model_cases();
std::vector<Case> model_samples();

// What a case computed: results, the losses it put on the tape, and the gradient of every input with respect to
// Σ results·cotangents + losses, where cotangents are random and the same for every type.
struct CaseRun {
  std::map<std::string, std::vector<double>, std::less<>> values;  // "result 0", "gradient of w", "loss"
  std::map<std::string, Cost, std::less<>> ledger;
  size_t peak = 0;  // of the arena, bytes
};

struct CaseSettings {
  DType type = DType::f64;
  Arena::Backing backing = Arena::Backing::real;
  bool fill_with_nan = false;  // memory starts as NaN, so that a forgotten element shows; changes the peak
  uint64_t seed = 1;
  Profile* profile = nullptr;  // gets the seconds of every operation
};
CaseRun run_case(const Case& c, ThreadPool& pool, const CaseSettings& settings = {});

// A case set up once: for numeric gradients, which change one input element at a time, and for timing.
class CaseBench {
 public:
  CaseBench(const Case& c, ThreadPool& pool, const CaseSettings& settings);

  size_t input_count() const { return inputs_.size(); }
  const Tensor& input(size_t i) const { return inputs_[i]; }
  Tape& tape() { return tape_; }

  std::vector<Tensor> forward();                  // on the tape; the caller goes on with backward() or forgets it
  double objective();                             // forward alone, in double: Σ results·cotangents + losses
  void backward(const std::vector<Tensor>& results);  // from the cotangents; gradients are in the inputs' cells afterwards
  void clear_gradients();

 private:
  const Case& case_;
  CaseSettings settings_;
  Device device_;
  Tape tape_;
  std::vector<Tensor> inputs_;
  std::vector<Tensor> cotangents_;
  const Tensor& cotangent(size_t i, const Tensor& result);
};

// Elements of any type as double.
std::vector<double> to_doubles(const Tensor& t);

}  // namespace gamut::ops
