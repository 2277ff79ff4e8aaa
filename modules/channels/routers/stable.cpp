#include <algorithm>
#include <cmath>
#include <numeric>

#include "modules/channels/routers/router.h"
#include "ops/embedding.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

// Mean over tokens and their choices of −ln softmax(logits)[choice].
void imitate(Tape& tape, const Tensor& logits, const Tensor& index, double coefficient) {
  const int64_t n = logits.rows(), e = logits.width(), k = index.width();
  const auto log_sum = [e](const double* h) {
    const double top = *std::max_element(h, h + e);
    return top + std::log(std::accumulate(h, h + e, 0.0, [top](double sum, double v) { return sum + std::exp(v - top); }));
  };
  const double each = coefficient / static_cast<double>(std::max<int64_t>(n * k, 1));
  double value = 0;
  std::vector<double> h(static_cast<size_t>(e));
  for (int64_t t = 0; tape.runs() && t < n; ++t) {
    ops::read_row(logits, t, h.data());
    for (int64_t j = 0; j < k; ++j) value += each * (log_sum(h.data()) - h[static_cast<size_t>(index.data<int32_t>()[t * k + j])]);
  }
  ops::row_loss(tape, "router", logits, value, [=](int64_t row, const double* v, double* d) {
    const double z = log_sum(v);
    for (int64_t i = 0; i < e; ++i) d[i] = each * static_cast<double>(k) * std::exp(v[i] - z);
    for (int64_t j = 0; j < k; ++j) d[index.data<int32_t>()[row * k + j]] -= each;
  });
}

class Stable : public Router {
 public:
  Stable(const RouterContext& ctx, int64_t width, double imitation, double until, RouterLosses losses)
      : k_(ctx.k),
        imitation_(imitation),
        until_(until),
        losses_(std::move(losses), true),
        weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix())),
        light_(ctx.build.add("router_light", {ctx.experts, width}, Role::router, ctx.build.matrix())),
        words_(ctx.build.add("router_words", {ctx.build.spec.vocab, width}, Role::router, Init::normal(1 / std::sqrt(static_cast<double>(width))))),
        table_(ctx.build.add("router_table", {ctx.build.spec.vocab, ctx.k}, Role::buffer, Init::constant(-1), false)) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const Tensor logits = ops::router_logits(tape, x, weight_, Tensor());
    const ops::SelectOptions select{.score = kernels::RouterScore::sigmoid, .norm = kernels::GateNorm::none, .k = k_};
    if (frozen(tape)) return select_experts(pass, logits, Tensor(), select, looked_up(pass));
    ops::Routing r = select_experts(pass, logits, Tensor(), select);
    losses_.add(pass, r);
    if (tape.training() && imitation_ > 0) {
      const Tensor words = ops::embedding(tape, pass.ids_BT.reshape({x.rows()}), words_, words_.dtype());
      imitate(tape, ops::router_logits(tape, words, light_, Tensor()), r.index_Nk, imitation_ * pass.loss_scale);
    }
    return r;
  }

  // The light router's choices for every token, once and for all.
  void after_step(double progress) override {
    losses_.after_step();
    if (progress < until_ || ops::value_at(table_, 0) >= 0) return;
    const int64_t vocab = words_.rows(), experts = light_.rows(), width = light_.width();
    std::vector<double> word(static_cast<size_t>(width)), expert(static_cast<size_t>(width)), score(static_cast<size_t>(experts));
    std::vector<int32_t> order(static_cast<size_t>(experts));
    for (int64_t v = 0; v < vocab; ++v) {
      ops::read_row(words_, v, word.data());
      for (int64_t e = 0; e < experts; ++e) {
        ops::read_row(light_, e, expert.data());
        score[static_cast<size_t>(e)] = std::inner_product(word.begin(), word.end(), expert.begin(), 0.0);
      }
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return score[static_cast<size_t>(a)] > score[static_cast<size_t>(b)]; });
      with_float_type(table_.dtype(), [&]<class P>() {
        for (int64_t j = 0; j < k_; ++j) table_.data<P>()[v * k_ + j] = P(static_cast<float>(order[static_cast<size_t>(j)]));
      });
    }
  }

 private:
  bool frozen(const Tape& tape) const { return tape.runs() && ops::value_at(table_, 0) >= 0; }

  Tensor looked_up(const Pass& pass) const {
    const int64_t n = pass.ids_BT.elements();
    const Tensor chosen = pass.tape.empty({n, k_}, DType::i32);
    for (int64_t t = 0; t < n; ++t)
      for (int64_t j = 0; j < k_; ++j)
        chosen.data<int32_t>()[t * k_ + j] = static_cast<int32_t>(ops::value_at(table_, pass.ids_BT.data<int32_t>()[t] * k_ + j));
    return chosen;
  }

  int64_t k_;
  double imitation_, until_;
  LossKeeper losses_;
  Tensor weight_, light_, words_;
  Tensor table_;  // [V, k], experts of every token; −1 until they are settled
};

}  // namespace

std::unique_ptr<Router> build_stable(const RouterContext& ctx, Config& cfg) {
  const auto width = cfg.take_in<int64_t>("light_width", 50, 1, 1 << 20);
  const double imitation = cfg.take_in<double>("imitation_loss", 1.0, 0, 100), until = cfg.take_in<double>("settle_at", 0.1, 0, 1);
  const double balance = cfg.take_in<double>("balance_loss", 0.3, 0, 100);
  return std::make_unique<Stable>(ctx, width, imitation, until, RouterLosses::take(cfg, {.balance = balance}));
}

}  // namespace gamut
