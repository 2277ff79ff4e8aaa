#include "core/tape.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "temp_folder.h"

namespace gamut {
namespace {

// y = factor · x, as an operation's file writes it.
Tensor scale(Tape& tape, const Tensor& x, double factor) {
  Tensor y = tape.output(x.shape(), x.dtype(), {x});
  tape.count("scale", {.matmul_flops = 0, .other_flops = static_cast<double>(x.elements()), .bytes = 2.0 * static_cast<double>(x.bytes())});
  if (tape.runs())
    for (int64_t i = 0; i < x.elements(); ++i) y.data<double>()[i] = factor * x.data<double>()[i];
  if (y.needs_grad())
    tape.record("scale", [x = x.grad(), dy = y.grad(), factor](Tape& t) {
      const Tensor g = dy->take();
      if (!g) return;
      const GradSlot dx = t.slot(x);
      if (!dx || !t.runs()) return;
      for (int64_t i = 0; i < g.elements(); ++i) {
        const double d = factor * g.data<double>()[i];
        dx.grad.data<double>()[i] = dx.accumulate ? dx.grad.data<double>()[i] + d : d;
      }
    });
  return y;
}

// The sum of all elements as a loss.
void sum_loss(Tape& tape, const Tensor& x) {
  Tensor loss = tape.empty({1}, DType::f64);
  if (tape.runs()) {
    *loss.data<double>() = 0;
    for (const double v : x.span<double>()) *loss.data<double>() += v;
  }
  tape.add_loss(loss);
  tape.record("sum", [x = x.grad()](Tape& t) {
    const GradSlot dx = t.slot(x);
    if (!dx || !t.runs()) return;
    for (double& d : dx.grad.span<double>()) d = dx.accumulate ? d + 1 : 1;
  });
}

class Tapes : public testing::Test {
 protected:
  ThreadPool pool_{2};
  Device device_ = Device::real(pool_);
  Tensor tensor(std::vector<double> values, bool grad) {
    Tensor t(device_.arena, {static_cast<int64_t>(values.size())}, DType::f64);
    std::copy(values.begin(), values.end(), t.data<double>());
    if (grad) t.require_grad();
    return t;
  }
  static std::vector<double> values(const Tensor& t) { return {t.span<double>().begin(), t.span<double>().end()}; }
};

TEST_F(Tapes, GradientsOfTwoUsesAdd) {
  Tape tape(device_, Tape::Mode::training);
  Tensor x = tensor({1, 2}, true);
  sum_loss(tape, scale(tape, scale(tape, x, 3), 2));
  sum_loss(tape, scale(tape, x, 10));
  EXPECT_EQ(tape.total_loss(), 6 * 3 + 10 * 3);
  tape.backward();
  EXPECT_EQ(values(x.grad()->value), (std::vector<double>{16, 16}));
}

TEST_F(Tapes, PersistentGradientsAccumulateOverPasses) {
  Tensor w = tensor({1, 2, 3}, true);
  w.grad()->persistent = true;
  w.grad()->value = Tensor(device_.arena, w.shape(), DType::f64);
  std::memset(w.grad()->value.raw(), 0, w.bytes());
  for (int pass = 1; pass <= 3; ++pass) {
    Tape tape(device_, Tape::Mode::training);
    sum_loss(tape, scale(tape, w, 2));
    tape.backward();
    EXPECT_EQ(values(w.grad()->value), std::vector<double>(3, 2.0 * pass));
  }
}

TEST_F(Tapes, NoGradientWhereNoneIsWanted) {
  Tensor x = tensor({1}, false);
  Tape training(device_, Tape::Mode::training), inference(device_, Tape::Mode::inference);
  EXPECT_FALSE(scale(training, x, 2).needs_grad());
  Tensor w = tensor({1}, true);
  EXPECT_TRUE(scale(training, w, 2).needs_grad());
  EXPECT_FALSE(scale(inference, w, 2).needs_grad());
  EXPECT_FALSE(training.slot(nullptr));
  EXPECT_FALSE(training.sum_slot(nullptr));
}

TEST_F(Tapes, GivenGradientsAreSharedUntilWritten) {
  Tape tape(device_, Tape::Mode::training);
  Tensor a = tensor({0, 0}, true), b = tensor({0, 0}, true);
  const Tensor g = tensor({1, 2}, false);
  tape.give(a.grad(), g);
  tape.give(b.grad(), g);
  EXPECT_TRUE(a.grad()->value.same_storage(b.grad()->value)) << "a residual stream's gradient is not copied";
  tape.give(a.grad(), tensor({10, 10}, false));
  EXPECT_EQ(values(a.grad()->value), (std::vector<double>{11, 12}));
  EXPECT_EQ(values(b.grad()->value), (std::vector<double>{1, 2})) << "the other one keeps its own";
  EXPECT_EQ(values(g), (std::vector<double>{1, 2}));
  const Tensor sum = tape.sum_slot(tensor({5}, true).grad());
  EXPECT_EQ(values(sum), std::vector<double>{0}) << "who only adds starts at zero";
}

TEST_F(Tapes, ValuesNobodyNeedsAreFreedBeforeBackward) {
  Tape tape(device_, Tape::Mode::training);
  const int64_t n = 1 << 16;
  const size_t bytes = static_cast<size_t>(n) * 8;
  Tensor x = Tensor(device_.arena, {n}, DType::f64);
  std::fill(x.data<double>(), x.data<double>() + n, 1.0);
  x.require_grad();
  Tensor y = x;
  for (int i = 0; i < 10; ++i) y = scale(tape, y, 1.0);  // this gradient needs no values
  EXPECT_EQ(device_.arena->in_use(), 2 * bytes) << "x and the last y";
  EXPECT_LE(device_.arena->peak(), 3 * bytes);
  sum_loss(tape, y);
  y = Tensor();
  tape.backward();
  EXPECT_EQ(device_.arena->in_use(), 2 * bytes) << "x and its gradient";
  EXPECT_LE(device_.arena->peak(), 3 * bytes + 64) << "gradients take the place of values";
  EXPECT_EQ(x.grad()->value.data<double>()[n - 1], 1.0);
}

TEST_F(Tapes, ShapesAloneCostAndPeakTheSame) {
  const auto run = [](Device device) {
    Tape tape(device, Tape::Mode::training);
    Tensor x = tape.zeros({100, 7}, DType::f64);
    x.require_grad();
    Tensor y = scale(tape, scale(tape, x, 2), 3);
    sum_loss(tape, y);
    tape.backward();
    return std::pair(device.arena->peak(), tape.ledger().at("scale"));
  };
  const auto [real_peak, real_cost] = run(Device::real(pool_));
  const auto [peak, cost] = run(Device::shapes_only(pool_));
  EXPECT_EQ(peak, real_peak);
  EXPECT_EQ(cost.flops(), 1400);
  EXPECT_EQ(real_cost.flops(), 1400);
  EXPECT_EQ(cost.bytes, 2 * 2 * 700 * 8);
}

TEST_F(Tapes, ForgottenNodesDoNothing) {
  Tape tape(device_, Tape::Mode::training);
  Tensor x = tensor({1}, true);
  sum_loss(tape, x);
  tape.forget();
  EXPECT_EQ(tape.total_loss(), 0);
  tape.backward();
  EXPECT_FALSE(x.grad()->value);
}

TEST(Tensors, ShapesAndReshape) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(shape.elements(), 24);
  EXPECT_EQ(shape.rows(), 6);
  EXPECT_EQ(shape.text(), "[2, 3, 4]");
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ((Shape{3, 0}).elements(), 0);

  const auto arena = std::make_shared<Arena>();
  Tensor a(arena, shape, DType::f32);
  a.require_grad();
  const Tensor b = a.reshape({6, 4});
  EXPECT_TRUE(b.same_storage(a));
  EXPECT_EQ(b.grad(), a.grad()) << "one gradient for all shapes of a tensor";
  EXPECT_ERROR(a.reshape({5, 5}), "reshape: [2, 3, 4] has another number of elements than [5, 5]");
  EXPECT_EQ(a.bytes(), 96u);
}

TEST(Tensors, GiveTheirMemoryBack) {
  const auto arena = std::make_shared<Arena>();
  {
    const Tensor a(arena, {100}, DType::bf16);
    const Tensor copy = a;
    EXPECT_EQ(arena->in_use(), 256u);
    EXPECT_EQ(copy.owners(), 2);
  }
  EXPECT_EQ(arena->in_use(), 0u);
}

TEST(Tensors, ImpossibleShapesAreAnErrorNotAWrappedSize) {
  const auto arena = std::make_shared<Arena>(Arena::Backing::none);
  EXPECT_ERROR(Tensor(arena, {int64_t{1} << 40, int64_t{1} << 40}, DType::f32), "memory: tensors need more than");
  EXPECT_ERROR(Tensor(arena, {int64_t{1} << 62, 4, 1}, DType::f32), "memory: tensors need more than");
  EXPECT_EQ(arena->in_use(), 0u);
}

}  // namespace
}  // namespace gamut
