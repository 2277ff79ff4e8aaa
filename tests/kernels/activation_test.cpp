#include "kernels/activation.h"

#include "kernels/ref/activation.h"
#include "row_cases.h"

namespace gamut::kernels {
namespace {

constexpr Activation kAll[] = {Activation::silu,      Activation::gelu,     Activation::gelu_tanh,     Activation::relu,
                               Activation::relu2,     Activation::identity, Activation::quick_gelu,    Activation::tanh,
                               Activation::sigmoid,   Activation::mish,     Activation::leaky_relu,    Activation::relu6,
                               Activation::hardswish, Activation::laplace,  Activation::sqrt_softplus, Activation::gelu_10};

struct CutAt {
  double limit = 0, up_shift = 0;
};

template <class T> void check(Activation activation, int64_t h, bool gated, bool weighted, CutAt cut = {}) {
  using P = accumulator<T>;
  const int64_t rows = 3;
  const auto gate = numbers<T>(rows * h, 1, -6, 6), up = numbers<T>(rows * h, 2), d_out = numbers<T>(rows * h, 3),
             weight = numbers<P>(rows, 4);
  const size_t n = gate.size();
  std::vector<double> out(n), d_gate(n), d_up(n), d_weight(static_cast<size_t>(rows));
  ref::gated_forward<double>({.activation = activation,
                              .limit = cut.limit,
                              .up_shift = cut.up_shift,
                              .rows = rows,
                              .h = h,
                              .gate_NH = gate.data(),
                              .up_NH = gated ? up.data() : nullptr,
                              .weight_N = weighted ? weight.data() : nullptr,
                              .out_NH = out.data()});
  ref::gated_backward<double>({.activation = activation,
                              .limit = cut.limit,
                              .up_shift = cut.up_shift,
                               .rows = rows,
                               .h = h,
                               .gate_NH = gate.data(),
                               .up_NH = gated ? up.data() : nullptr,
                               .weight_N = weighted ? weight.data() : nullptr,
                               .d_out_NH = d_out.data(),
                               .d_gate_NH = d_gate.data(),
                               .d_up_NH = d_up.data(),
                               .d_weight_N = d_weight.data(),
                               .out_NH = nullptr});
  const std::string what = " activation " + std::to_string(static_cast<int>(activation)) + " h=" + std::to_string(h);
  const Span<P> weight_s(weight);
  const Span<T> gate_s(gate, 1), up_s(up, 2), d_out_s(d_out, 3);
  for (const auto& c : gated_forward<T>().runnable_here()) {
    Span<T> got(rows * h, h % 3);
    c.fn({.activation = activation,
          .limit = static_cast<P>(cut.limit),
          .up_shift = static_cast<P>(cut.up_shift),
          .rows = rows,
          .h = h,
          .gate_NH = gate_s.data(),
          .up_NH = gated ? up_s.data() : nullptr,
          .weight_N = weighted ? weight_s.data() : nullptr,
          .out_NH = got.data()});
    expect_close<T>(got.values(), out, 1e-6, 4e-6, c.name + what);
    // Blocks of columns, written where the last input was, have the same bits.
    Span<T> gate_place(gate, 1), up_place(up, 2);
    Span<T>& place = gated ? up_place : gate_place;
    for (int64_t begin = 0, width = 1; begin < h; begin += width, width += 6)
      c.fn({.activation = activation,
            .limit = static_cast<P>(cut.limit),
            .up_shift = static_cast<P>(cut.up_shift),
            .rows = rows,
            .h = std::min(width, h - begin),
            .stride = h,
            .gate_NH = gate_place.data() + begin,
            .up_NH = gated ? up_place.data() + begin : nullptr,
            .weight_N = weighted ? weight_s.data() : nullptr,
            .out_NH = place.data() + begin});
    EXPECT_TRUE(place.same_bits(got)) << c.name << what;
  }
  for (const auto& c : gated_backward<T>().runnable_here()) {
    Span<T> in_place(gate, 1), up_in_place(up, 2), again(rows * h, 1);
    Span<P> got_weight(rows);
    c.fn({.activation = activation,
          .limit = static_cast<P>(cut.limit),
          .up_shift = static_cast<P>(cut.up_shift),
          .rows = rows,
          .h = h,
          .gate_NH = in_place.data(),
          .up_NH = gated ? up_in_place.data() : nullptr,
          .weight_N = weighted ? weight_s.data() : nullptr,
          .d_out_NH = d_out_s.data(),
          .d_gate_NH = in_place.data(),
          .d_up_NH = gated ? up_in_place.data() : nullptr,
          .d_weight_N = weighted ? got_weight.data() : nullptr,
          .out_NH = again.data()});
    expect_close<T>(in_place.values(), d_gate, 2e-6, 8e-6, c.name + what + " d_gate");
    if (gated) expect_close<T>(up_in_place.values(), d_up, 1e-6, 8e-6, c.name + what + " d_up");
    if (weighted)
      expect_close<float>(got_weight.values(), d_weight, 1e-5, 2e-6 * static_cast<double>(h), c.name + what + " d_weight");
    expect_close<T>(again.values(), out, 1e-6, 4e-6, c.name + what + " out");
  }
}

TEST(Activation, MatchesTheDefinitionOnEveryTier) {
  for (const Activation activation : kAll)
    for (const int64_t h : row_lengths())
      for (const bool flag : {false, true}) {
        check<float>(activation, h, flag, h % 2 == 0);
        check<bf16>(activation, h, flag, h % 2 == 1);
      }
}

// Limits within the numbers' range, so that cuts happen; gated layers shift, too.
TEST(Activation, CutsAndShiftsMatchTheDefinitionOnEveryTier) {
  for (const Activation activation : kAll)
    for (const int64_t h : {1, 7, 16, 33})
      for (const CutAt cut : {CutAt{0.5, 0}, CutAt{0.5, 1}, CutAt{0, -0.25}}) {
        check<float>(activation, h, true, true, cut);
        check<bf16>(activation, h, true, false, cut);
      }
}

// gate = min(g, 7), up within ±7: (up + 1)·gate·σ(1.702·gate) [gpt-oss, 2025].
TEST(Activation, ClampedSwiGlu) {
  const std::vector<double> gate{9, -9, 1}, up{-8, 8, 0.5};
  const double s7 = 7 / (1 + std::exp(-1.702 * 7)), s9 = -9 / (1 + std::exp(1.702 * 9)), s1 = 1 / (1 + std::exp(-1.702));
  for (const auto& c : gated_forward<float>().runnable_here()) {
    const Span<float> gate_s(gate), up_s(up);
    Span<float> got(3, 0);
    c.fn({.activation = Activation::quick_gelu, .limit = 7, .up_shift = 1, .rows = 1, .h = 3, .gate_NH = gate_s.data(), .up_NH = up_s.data(), .weight_N = nullptr, .out_NH = got.data()});
    expect_close<float>(got.values(), {s7 * -6, s9 * 8, s1 * 1.5}, 1e-6, 4e-6, c.name);
  }
}

// Values and slopes that PyTorch 2 gives in float64.
TEST(Activation, AgreesWithPyTorch) {
  constexpr double x[] = {-7, -2, -0.5, 0.25, 1, 5, 11};
  struct Row {
    Activation activation;
    double value[7], slope[7];
  };
  const Row rows[] = {
      {Activation::sigmoid,
       {0.00091105119440064539, 0.11920292202211755, 0.37754066879814541, 0.56217650088579807, 0.7310585786300049, 0.99330714907571527, 0.99998329857815205},
       {0.00091022118012182654, 0.10499358540350651, 0.23500371220159449, 0.24613408273759835, 0.19661193324148185, 0.0066480566707900332,
        1.670114291046157e-05}},
      {Activation::mish,
       {-0.0063802634095736681, -0.25250148269570888, -0.22074377465173001, 0.16957240966381759, 0.86509838826731034, 4.9995520775294056, 10.999999993863375},
       {-0.0054658868613147874, -0.1083550924203939, 0.28951067791351226, 0.75417266772059277, 1.0490362200997922, 1.0008002248320829, 1.0000000117151693}},
      {Activation::leaky_relu, {-0.07, -0.02, -0.005, 0.25, 1, 5, 11}, {0.01, 0.01, 0.01, 1, 1, 1, 1}},
      {Activation::relu6, {0, 0, 0, 0.25, 1, 5, 6}, {0, 0, 0, 1, 1, 1, 0}},
      {Activation::hardswish,
       {0, -1.0 / 3, -0.20833333333333334, 0.13541666666666666, 2.0 / 3, 5, 11},
       {0, -1.0 / 6, 1.0 / 3, 0.58333333333333337, 5.0 / 6, 1, 1}},
      {Activation::laplace,
       {0, 0, 9.3833811676824475e-06, 0.052573090251858634, 0.85042964928457032, 1, 1},
       {0, 1.4225764231586434e-20, 0.00014942904849454824, 0.38049709635728901, 0.82494576746355786, 7.2877830384016278e-51, 0}},
      {Activation::sqrt_softplus,
       {0.030190502708206841, 0.3562695763645452, 0.68853248592939076, 0.90881209272260655, 1.145976303209723, 2.2375690712219631, 3.316627308209549},
       {0.015088374036133384, 0.16729315373837272, 0.27416329404453282, 0.30929193470656707, 0.31896758099727268, 0.22196122610267807, 0.1507530400088854}},
      {Activation::gelu_10,
       {-8.9586671414565444e-12, -0.045500263896358417, -0.15426876936299344, 0.14967658142073093, 0.84134474606854304, 4.9999985667421409, 10},
       {-6.2663233266915511e-11, -0.085231801078196917, 0.13250487534383712, 0.69537335488363605, 1.0833154705876864, 1.0000071469460019, 0}},
  };
  for (const Row& row : rows)
    for (size_t i = 0; i < std::size(x); ++i) {
      const auto [value, slope] = ref::activate(row.activation, x[i]);
      EXPECT_NEAR(value, row.value[i], 1e-12) << static_cast<int>(row.activation) << " at " << x[i];
      EXPECT_NEAR(slope, row.slope[i], 1e-12) << static_cast<int>(row.activation) << " at " << x[i];
    }
}

TEST(Activation, BackwardIsTheDerivative) {
  const int64_t rows = 2, h = 5;
  const auto gate = numbers<double>(rows * h, 1), up = numbers<double>(rows * h, 2), weight = numbers<double>(rows, 3),
             g = numbers<double>(rows * h, 4);
  for (const Activation activation : kAll) {
    const auto loss = [&](const auto& x, const auto& u, const auto& w) {
      std::vector<double> out(x.size());
      ref::gated_forward<double>({.activation = activation,
                                  .rows = rows,
                                  .h = h,
                                  .gate_NH = x.data(),
                                  .up_NH = u.data(),
                                  .weight_N = w.data(),
                                  .out_NH = out.data()});
      return dot(g, out);
    };
    std::vector<double> d_gate(gate.size()), d_up(gate.size()), d_weight(weight.size());
    ref::gated_backward<double>({.activation = activation,
                                 .rows = rows,
                                 .h = h,
                                 .gate_NH = gate.data(),
                                 .up_NH = up.data(),
                                 .weight_N = weight.data(),
                                 .d_out_NH = g.data(),
                                 .d_gate_NH = d_gate.data(),
                                 .d_up_NH = d_up.data(),
                                 .d_weight_N = d_weight.data(),
                                 .out_NH = nullptr});
    expect_close<double>(d_gate, numeric_gradient(gate, [&](const auto& x) { return loss(x, up, weight); }), 1e-7, 1e-8,
                         "d_gate");
    expect_close<double>(d_up, numeric_gradient(up, [&](const auto& u) { return loss(gate, u, weight); }), 1e-7, 1e-8, "d_up");
    expect_close<double>(d_weight, numeric_gradient(weight, [&](const auto& w) { return loss(gate, up, w); }), 1e-7, 1e-8,
                         "d_weight");
  }
}

// The bounds that kernels/simd/math.h states.
double worst(Activation activation, double low, double high, double (*error)(double x, double got)) {
  double most = 0;
  const int64_t n = 20000;
  const auto x = numbers<float>(n, 11, low, high);
  for (const auto& c : gated_forward<float>().runnable_here()) {
    const Span<float> x_s(x);
    Span<float> out(n);
    c.fn({.activation = activation,
          .rows = 1,
          .h = n,
          .gate_NH = x_s.data(),
          .up_NH = nullptr,
          .weight_N = nullptr,
          .out_NH = out.data()});
    for (int64_t i = 0; i < n; ++i) most = std::max(most, error(x[static_cast<size_t>(i)], static_cast<double>(out[i])));
  }
  return most;
}

TEST(Activation, TanhIsAccurate) {
  const auto relative = [](double x, double got) { return std::abs(got / std::tanh(x) - 1); };
  EXPECT_LT(worst(Activation::tanh, -1, 1, relative), 5e-7);
  EXPECT_LT(worst(Activation::tanh, -20, 20, relative), 5e-7);
  EXPECT_LT(worst(Activation::tanh, -1e-3, 1e-3, relative), 5e-7);
}

TEST(Activation, GeluIsAccurate) {
  const auto defined = [](double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; };
  static const auto below = +defined;
  EXPECT_LT(worst(Activation::gelu, -9, 9, [](double x, double got) { return std::abs(got - x * below(x)) / std::abs(x); }),
            3e-7);
  EXPECT_LT(
      worst(Activation::gelu, -9, 0, [](double x, double got) { return std::abs(got / (x * below(x)) - 1) / (1 + x * x / 2); }),
      5e-7);
}

TEST(Activation, ExtremeInputsStayFinite) {
  const std::vector<double> x{-3e38, -1000, -104, -90, -0.0, 0, 90, 104, 1000};
  for (const Activation activation : {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu, Activation::tanh, Activation::sigmoid,
                                      Activation::mish, Activation::laplace})
    for (const auto& c : gated_forward<float>().runnable_here()) {
      const Span<float> x_s(x);
      Span<float> out(static_cast<int64_t>(x.size()));
      c.fn({.activation = activation,
            .rows = 1,
            .h = out.size(),
            .gate_NH = x_s.data(),
            .up_NH = nullptr,
            .weight_N = nullptr,
            .out_NH = out.data()});
      for (int64_t i = 0; i < out.size(); ++i) {
        const double want = ref::activate(activation, x[static_cast<size_t>(i)]).value;
        EXPECT_NEAR(out[i], want, 1e-30 + std::abs(want) * 1e-6) << c.name << " x=" << x[static_cast<size_t>(i)];
      }
    }
}

}  // namespace
}  // namespace gamut::kernels
