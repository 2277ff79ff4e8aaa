// AdamW over named parameter groups with clipping, against plain scalars.
#include "training/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "temp_folder.h"
#include "tiny_models.h"

namespace gamut {
namespace {

// The definition, element by element. [Loshchilov & Hutter 2019, as PyTorch computes it]
struct Scalar {
  double w, m = 0, v = 0;
  void step(const OptimizerOptions& o, double lr, double decay, double g, int t) {
    w *= 1 - lr * decay;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    w -= lr * (m / (1 - std::pow(o.beta1, t))) / (std::sqrt(v / (1 - std::pow(o.beta2, t))) + o.eps);
  }
};

// Gradients of all trained parameters, new at every step; returns their norm.
double draw_gradients(Model& model, int step, double size) {
  double squares = 0;
  for (Parameter& p : model.parameters().all()) {
    if (!p.trained) continue;
    const Tensor& g = p.value.grad()->value;
    const RandomStream stream(static_cast<uint64_t>(step), "test gradient", p.name);
    for (int64_t i = 0; i < g.elements(); ++i) {
      const double value = size * stream.normal(static_cast<uint64_t>(i));
      if (g.dtype() == DType::f64) g.data<double>()[i] = value;
      else g.data<float>()[i] = static_cast<float>(value);
      squares += element(g, i) * element(g, i);
    }
  }
  return std::sqrt(squares);
}

void compare_with_scalars(const std::string& dtype, const OptimizerOptions& options, double gradient_size, double bound) {
  ThreadPool pool(2);
  TinyModel tiny(tiny_moe({{"router", {{"score", "sigmoid"}, {"balance", "bias"}}}}, {{"dtype", dtype}, {"mixer", {{"bias", true}}}}), pool);
  Optimizer optimizer(options, tiny.model.parameters(), tiny.device);
  std::map<std::string, std::vector<Scalar>> plain;
  for (const Parameter& p : tiny.model.parameters().all())
    for (const double w : elements(p.value)) plain[p.name].push_back({w});
  for (int step = 1; step <= 6; ++step) {
    const double norm = draw_gradients(tiny.model, step, gradient_size), measured = optimizer.gradient_norm(pool), factor = 0.2 * step;
    EXPECT_NEAR(measured, norm, 1e-6 * norm);
    const double clip = options.clip > 0 ? std::min(1.0, options.clip / (norm + 1e-6)) : 1;
    for (const Parameter& p : tiny.model.parameters().all()) {
      if (!p.trained) continue;
      const std::vector<double> gradient = elements(p.value.grad()->value);
      const auto group = options.groups.find(std::string(name_of(p.role)));
      const bool decayed = p.role != Role::norm && p.role != Role::bias;
      const double scale = group == options.groups.end() ? 1 : group->second.lr_scale;
      const double decay = group != options.groups.end() && group->second.weight_decay >= 0 ? group->second.weight_decay : decayed ? options.weight_decay : 0;
      for (size_t i = 0; i < gradient.size(); ++i) plain[p.name][i].step(options, options.lr * factor * scale, decay, clip * gradient[i], step);
    }
    optimizer.step(pool, factor, measured);
    for (const Parameter& p : tiny.model.parameters().all()) {
      const std::vector<double> found = elements(p.value);
      for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], plain[p.name][i].w, bound) << p.name << " element " << i << " after step " << step;
      for (const double g : p.trained ? elements(p.value.grad()->value) : std::vector<double>()) ASSERT_EQ(g, 0) << "the step leaves no gradient behind";
    }
  }
  EXPECT_EQ(optimizer.steps(), 6);
}

TEST(Optimizer, EqualsScalarAdamW) {
  const OptimizerOptions plain{.lr = 0.01, .clip = 0};
  compare_with_scalars("f64", plain, 1, 1e-12);
  compare_with_scalars("f32", plain, 1, 1e-6);
  compare_with_scalars("bf16", plain, 1, 1e-6);  // masters are f32
}

TEST(Optimizer, ClipsTheGlobalNorm) {
  compare_with_scalars("f64", {.lr = 0.01, .clip = 1.0}, 1, 1e-12);      // norm about 40
  compare_with_scalars("f64", {.lr = 0.01, .clip = 1.0}, 1e-4, 1e-12);   // below: untouched
}

TEST(Optimizer, GroupsByRole) {
  OptimizerOptions o{.lr = 0.01, .beta1 = 0.8, .beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.3, .clip = 0};
  o.groups["router"] = {.lr_scale = 0.1};
  o.groups["embedding"] = {.lr_scale = 2, .weight_decay = 0};
  o.groups["norm"] = {.lr_scale = 1, .weight_decay = 0.5};
  o.groups["head"] = {.lr_scale = 0};
  compare_with_scalars("f64", o, 1, 1e-12);
}

TEST(Optimizer, NormDoesNotDependOnThreads) {
  ThreadPool one(1), three(3);
  TinyModel tiny(tiny_spec({{"dtype", "f32"}, {"width", 64}, {"vocab", 3000}}), one);
  Optimizer optimizer({}, tiny.model.parameters(), tiny.device);
  draw_gradients(tiny.model, 1, 1);
  EXPECT_EQ(optimizer.gradient_norm(one), optimizer.gradient_norm(three));
}

OptimizerOptions options_from(const Json& table) {
  Config cfg(table, {.source = "test"}, "optimizer");
  return OptimizerOptions::take(cfg);
}

TEST(OptimizerOptions, ReadsGroupsStrictly) {
  const OptimizerOptions o = options_from({{"lr", 0.5}, {"group", {{"router", {{"lr_scale", 0.25}, {"weight_decay", 0.0}}}}}});
  const auto a = [](Role role, bool expert = false) { return Parameter{.name = "layers.0.channel.w", .role = role, .expert = expert}; };
  EXPECT_EQ(o.lr_scale_of(a(Role::router)), 0.25);
  EXPECT_EQ(o.decay_of(a(Role::router)), 0);
  EXPECT_EQ(o.lr_scale_of(a(Role::matrix)), 1);
  EXPECT_EQ(o.decay_of(a(Role::matrix)), 0.1);
  EXPECT_EQ(o.decay_of(a(Role::norm)), 0);
  const OptimizerOptions p = options_from({{"group", {{"expert", {{"lr_scale", 3}}}, {"matrix", {{"lr_scale", 5}, {"weight_decay", 0.7}}}}}});
  EXPECT_EQ(p.lr_scale_of(a(Role::matrix, true)), 3);
  EXPECT_EQ(p.decay_of(a(Role::matrix, true)), 0.1);
  EXPECT_EQ(p.lr_scale_of(a(Role::bias, true)), 3);
  EXPECT_EQ(p.lr_scale_of(a(Role::matrix)), 5);
  EXPECT_ERROR(options_from({{"lr", -1}}), "optimizer.lr");
  EXPECT_ERROR(options_from({{"learning_rate", 1}}), "learning_rate");
  EXPECT_ERROR(options_from({{"group", {{"roter", {{"lr_scale", 1}}}}}}), "router");
  EXPECT_ERROR(options_from({{"group", {{"router", {{"lr", 1}}}}}}), "lr_scale");
  EXPECT_ERROR(options_from({{"kind", "sgd"}}), "adamw");
}

}  // namespace
}  // namespace gamut
