// The formulas of kernels/map.h, for any number type X with the functions exp, sigmoid, softplus, tanh and clamp. Included by the
// reference and by every tier inside their own namespaces; `GAMUT_FORMULA` is how that place inlines.
//
// A dual number carries a value and its slopes along each input of the formula.

template <class X, int N> struct Dual {
  X value;
  X slope[N];
};

template <class X, int N, class Y> GAMUT_FORMULA Dual<X, N> chain(const Dual<X, N>& a, X value, Y slope) {
  Dual<X, N> out{value, {}};
  for (int i = 0; i < N; ++i) out.slope[i] = a.slope[i] * slope;
  return out;
}
template <class X, int N> GAMUT_FORMULA Dual<X, N> operator+(const Dual<X, N>& a, const Dual<X, N>& b) {
  Dual<X, N> out{a.value + b.value, {}};
  for (int i = 0; i < N; ++i) out.slope[i] = a.slope[i] + b.slope[i];
  return out;
}
template <class X, int N> GAMUT_FORMULA Dual<X, N> operator-(const Dual<X, N>& a, const Dual<X, N>& b) {
  Dual<X, N> out{a.value - b.value, {}};
  for (int i = 0; i < N; ++i) out.slope[i] = a.slope[i] - b.slope[i];
  return out;
}
template <class X, int N> GAMUT_FORMULA Dual<X, N> operator*(const Dual<X, N>& a, const Dual<X, N>& b) {
  Dual<X, N> out{a.value * b.value, {}};
  for (int i = 0; i < N; ++i) out.slope[i] = a.slope[i] * b.value + a.value * b.slope[i];
  return out;
}
template <class X, int N, class C> GAMUT_FORMULA Dual<X, N> operator*(C c, const Dual<X, N>& a) { return chain(a, c * a.value, c); }
template <class X, int N> GAMUT_FORMULA Dual<X, N> operator-(const Dual<X, N>& a) { return chain(a, -a.value, X{} - one<X>()); }
template <class X, int N> GAMUT_FORMULA Dual<X, N> exp(const Dual<X, N>& a) {
  const X y = exp(a.value);
  return chain(a, y, y);
}
template <class X, int N> GAMUT_FORMULA Dual<X, N> sigmoid(const Dual<X, N>& a) {
  const X y = sigmoid(a.value);
  return chain(a, y, y * (one<X>() - y));
}
template <class X, int N> GAMUT_FORMULA Dual<X, N> tanh(const Dual<X, N>& a) {
  const X y = tanh(a.value);
  return chain(a, y, one<X>() - y * y);
}
template <class X, int N> GAMUT_FORMULA Dual<X, N> softplus(const Dual<X, N>& a) { return chain(a, softplus(a.value), sigmoid(a.value)); }
template <class X, int N, class C> GAMUT_FORMULA Dual<X, N> clamp(const Dual<X, N>& a, C low, C high) {
  return chain(a, clamp(a.value, low, high), inside(a.value, low, high));  // the slope is 1 where nothing is cut off
}
template <class X> struct OneOf {
  GAMUT_FORMULA static X get() { return one<X>(); }
};
template <class X, int N> struct OneOf<Dual<X, N>> {
  GAMUT_FORMULA static Dual<X, N> get() { return {one<X>(), {}}; }
};

// Inputs of a formula in order: full ones a, b, c, then vectors p, q.
template <Formula kFormula> struct Formulas;
#define GAMUT_FORMULA_IS(name, expression)                                          \
  template <> struct Formulas<Formula::name> {                                      \
    template <class X, class C> GAMUT_FORMULA static X of(const X* in, C c0, C c1) { \
      (void)c0, (void)c1;                                                           \
      return expression;                                                            \
    }                                                                               \
  };
GAMUT_FORMULA_IS(tanh, tanh(in[0]))
GAMUT_FORMULA_IS(scale, c0 * in[0])
GAMUT_FORMULA_IS(softcap, c0 * tanh(c1 * in[0]))
GAMUT_FORMULA_IS(clip, clamp(in[0], c0, c1))
GAMUT_FORMULA_IS(sigmoid, sigmoid(in[0]))
GAMUT_FORMULA_IS(log_sigmoid, -(c0 * softplus(-in[0])))
GAMUT_FORMULA_IS(sigmoid_plus, sigmoid(in[0] + in[1]))
GAMUT_FORMULA_IS(times, in[0] * in[1])
GAMUT_FORMULA_IS(minus_times, -(in[0] * in[1]))
GAMUT_FORMULA_IS(times_vector, in[0] * in[1])
GAMUT_FORMULA_IS(affine, in[0] * in[1] + in[2])
GAMUT_FORMULA_IS(sigmoid_gate, in[0] * sigmoid(in[1]))
GAMUT_FORMULA_IS(scaled_sigmoid_plus, c0 * sigmoid(in[0] + in[1]))
GAMUT_FORMULA_IS(softplus_plus, clamp(softplus(in[0] + in[1]), c0, c1))
GAMUT_FORMULA_IS(minus_exp_times, -(exp(in[1]) * in[0]))
GAMUT_FORMULA_IS(minus_exp_plus, -exp(in[0] + in[1]))
GAMUT_FORMULA_IS(mix, in[0] + (in[1] - in[0]) * in[2])
GAMUT_FORMULA_IS(mix_plus, in[0] + (in[1] - in[0]) * (in[2] + in[3]))
GAMUT_FORMULA_IS(mix_sigmoid_plus, in[0] + (in[1] - in[0]) * sigmoid(in[2] + in[3]))
GAMUT_FORMULA_IS(key_scale, in[0] * (OneOf<X>::get() + (in[1] - OneOf<X>::get()) * in[2]))
#undef GAMUT_FORMULA_IS

// body.template operator()<formula>() with the formula as a constant.
template <class Body> void with_formula(Formula formula, const Body& body) {
  switch (formula) {
#define GAMUT_FORMULA_CASE(name) \
  case Formula::name:            \
    return body.template operator()<Formula::name>();
    GAMUT_FORMULA_CASE(tanh)
    GAMUT_FORMULA_CASE(scale)
    GAMUT_FORMULA_CASE(softcap)
    GAMUT_FORMULA_CASE(clip)
    GAMUT_FORMULA_CASE(sigmoid)
    GAMUT_FORMULA_CASE(log_sigmoid)
    GAMUT_FORMULA_CASE(sigmoid_plus)
    GAMUT_FORMULA_CASE(times)
    GAMUT_FORMULA_CASE(minus_times)
    GAMUT_FORMULA_CASE(times_vector)
    GAMUT_FORMULA_CASE(affine)
    GAMUT_FORMULA_CASE(sigmoid_gate)
    GAMUT_FORMULA_CASE(scaled_sigmoid_plus)
    GAMUT_FORMULA_CASE(softplus_plus)
    GAMUT_FORMULA_CASE(minus_exp_times)
    GAMUT_FORMULA_CASE(minus_exp_plus)
    GAMUT_FORMULA_CASE(mix)
    GAMUT_FORMULA_CASE(mix_plus)
    GAMUT_FORMULA_CASE(mix_sigmoid_plus)
    GAMUT_FORMULA_CASE(key_scale)
#undef GAMUT_FORMULA_CASE
  }
}
