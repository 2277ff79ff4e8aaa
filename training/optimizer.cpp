#include "training/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/adamw.h"
#include "kernels/elementwise.h"

namespace gamut {
namespace {

constexpr int64_t kChunk = 1 << 14;  // elements of one task

struct Chunk {
  size_t tensor;
  int64_t begin, count;
};

std::vector<Chunk> chunks_of(const std::vector<Optimizer::Moments>& moments) {
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < moments.size(); ++i)
    for (int64_t begin = 0, n = moments[i].parameter->value.elements(); begin < n; begin += kChunk) chunks.push_back({i, begin, std::min(kChunk, n - begin)});
  return chunks;
}

bool all_finite(const Tensor& t) {
  const auto finite = []<class P>(std::span<const P> values) { return std::all_of(values.begin(), values.end(), [](P x) { return std::isfinite(x); }); };
  return t.dtype() == DType::f64 ? finite(std::span<const double>(t.span<double>())) : finite(std::span<const float>(t.span<float>()));
}

}  // namespace

OptimizerOptions OptimizerOptions::take(Config& cfg) {
  OptimizerOptions o;
  cfg.take_choice("kind", "adamw", {"adamw"});
  o.lr = cfg.take_in("lr", o.lr, 0.0, 1e3);
  o.beta1 = cfg.take_in("beta1", o.beta1, 0.0, 0.999999);
  o.beta2 = cfg.take_in("beta2", o.beta2, 0.0, 0.999999999);
  o.eps = cfg.take_in("eps", o.eps, 0.0, 1.0);
  o.weight_decay = cfg.take_in("weight_decay", o.weight_decay, 0.0, 100.0);
  o.clip = cfg.take_in("clip", o.clip, 0.0, 1e9);
  o.train = cfg.take_choice("train", "all", {"all", "experts", "mixtures", "non_experts"});
  Config groups = cfg.sub("group");
  for (const std::string name : {"matrix", "embedding", "head", "router", "norm", "bias", "expert"}) {
    if (!groups.has(name)) {
      groups.take_json(name);
      continue;
    }
    Config g = groups.sub(name);
    o.groups[name] = {g.take_in("lr_scale", 1.0, 0.0, 1e6), g.take_in("weight_decay", -1.0, -1.0, 100.0), g.take<bool>("frozen", false)};
    g.finish();
  }
  groups.finish();
  cfg.finish();
  return o;
}

const OptimizerOptions::Group* OptimizerOptions::group_of(const Parameter& p) const {
  const auto named = [&](std::string_view name) {
    const auto it = groups.find(std::string(name));
    return it == groups.end() ? nullptr : &it->second;
  };
  const Group* group = p.expert ? named("expert") : p.router() ? named("router") : nullptr;
  return group ? group : named(name_of(p.role));
}

double OptimizerOptions::decay_of(const Parameter& p) const {
  const Group* group = group_of(p);
  if (group && group->weight_decay >= 0) return group->weight_decay;
  return p.role == Role::norm || p.role == Role::bias ? 0 : weight_decay;
}

double OptimizerOptions::lr_scale_of(const Parameter& p) const {
  const Group* group = group_of(p);
  return group ? group->lr_scale : 1;
}

bool OptimizerOptions::trains(const Parameter& p) const {
  if (const Group* group = group_of(p); group && group->frozen) return false;
  return train == "all" || (train == "experts" ? p.expert : train == "mixtures" ? p.expert || p.router() : !p.expert);
}

Optimizer::Optimizer(OptimizerOptions options, Parameters& parameters, const Device& device) : options_(std::move(options)), parameters_(parameters) {
  for (Parameter& p : parameters.all()) {
    if (!p.trained) continue;
    Moments m{&p, Tensor(device.arena, p.value.shape(), p.value.dtype()), Tensor(device.arena, p.value.shape(), p.value.dtype())};
    for (const Tensor& t : {m.first, m.second})
      if (t.raw()) std::memset(t.raw(), 0, t.bytes());
    moments_.push_back(std::move(m));
  }
}

double Optimizer::gradient_norm(ThreadPool& pool) const {
  const std::vector<Chunk> chunks = chunks_of(moments_);
  std::vector<double> sums(chunks.size());
  pool.parallel_for(static_cast<int64_t>(chunks.size()), [&](int64_t i, int) {
    const Chunk& c = chunks[static_cast<size_t>(i)];
    const Tensor& g = moments_[c.tensor].parameter->value.grad()->value;
    if (g.dtype() == DType::f64) {
      sums[static_cast<size_t>(i)] = kernels::sum_squares<double>().best().fn(c.count, g.data<double>() + c.begin);
    } else {
      sums[static_cast<size_t>(i)] = kernels::sum_squares<float>().best().fn(c.count, g.data<float>() + c.begin);
    }
  });
  double sum = 0;
  for (const double s : sums) sum += s;
  return std::sqrt(sum);
}

std::string Optimizer::not_finite() const {
  for (const Parameter& p : parameters_.all())
    if (!all_finite(p.value)) return "the weights of " + p.name;
  for (auto m = moments_.rbegin(); m != moments_.rend(); ++m)
    if (!all_finite(m->parameter->value.grad()->value)) return "the gradient of " + m->parameter->name;
  return "";
}

void Optimizer::step(ThreadPool& pool, double factor, double norm) {
  ++steps_;
  const double clip = options_.clip > 0 && norm > options_.clip ? options_.clip / (norm + 1e-6) : 1;
  const double c1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_)), c2 = 1 - std::pow(options_.beta2, static_cast<double>(steps_));
  const std::vector<Chunk> chunks = chunks_of(moments_);
  const auto update = [&]<class P>(const Chunk& c) {
    const Moments& m = moments_[c.tensor];
    const Tensor& w = m.parameter->value;
    kernels::adamw<P>().best().fn({.n = c.count, .w = w.data<P>() + c.begin, .g = w.grad()->value.data<P>() + c.begin, .m = m.first.data<P>() + c.begin,
                                   .v = m.second.data<P>() + c.begin, .lr = static_cast<P>(options_.lr * factor * options_.lr_scale_of(*m.parameter)),
                                   .beta1 = static_cast<P>(options_.beta1), .beta2 = static_cast<P>(options_.beta2), .eps = static_cast<P>(options_.eps),
                                   .decay = static_cast<P>(options_.decay_of(*m.parameter)), .clip = static_cast<P>(clip), .c1 = static_cast<P>(c1), .c2 = static_cast<P>(c2)});
  };
  pool.parallel_for(static_cast<int64_t>(chunks.size()), [&](int64_t i, int) {
    const Chunk& c = chunks[static_cast<size_t>(i)];
    if (parameters_.dtype() == DType::f64) update.operator()<double>(c);
    else update.operator()<float>(c);
  });
  parameters_.mark_changed();
}

}  // namespace gamut
