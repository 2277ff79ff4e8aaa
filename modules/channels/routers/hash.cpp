#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "modules/channels/routers/router.h"
#include "modules/state.h"

namespace gamut {
namespace {

// How a table's experts are weighed: alike, or by learned scores [DeepSeek-V4].
struct Gates {
  bool learned = false;
  ops::SelectOptions select;  // of learned ones
  double scale = 1;
  static Gates take(Config& cfg, int64_t k) {
    Gates g;
    g.learned = cfg.take_choice("gates", "constant", {"constant", "scores"}) == "scores";
    g.scale = cfg.take<double>("scale", 1.0);
    if (!g.learned) return g;
    const auto score = take_score(cfg);
    const bool normalise = cfg.take<bool>("normalise", k > 1);
    g.select = {.score = score, .norm = normalise ? kernels::GateNorm::selected : kernels::GateNorm::none, .scale = g.scale, .k = k};
    return g;
  }
};

// Rows of expert ids that tokens look up.
class Lookup : public Router {
 public:
  Lookup(const RouterContext& ctx, const Gates& gates)
      : experts_(ctx.experts), k_(ctx.k), gates_(gates), dtype_(ctx.build.parameters.dtype()), vocab_(ctx.build.spec.vocab) {
    if (gates.learned) weight_ = ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix());
  }

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t n = pass.ids_BT.elements();
    if (weight_) {
      const Tensor chosen = tape.empty({n, k_}, DType::i32);
      look_up(pass, chosen);
      return select_experts(pass, ops::router_logits(tape, x, weight_, Tensor()), Tensor(), gates_.select, chosen);
    }
    const double gate = gates_.scale / static_cast<double>(k_);
    ops::Routing r{.index_Nk = tape.empty({n, k_}, DType::i32),
                   .weight_Nk = tape.empty({n, k_}, dtype_),
                   .load_E = Tensor(),
                   .scores_NE = Tensor(),
                   .logits_NE = Tensor()};
    look_up(pass, r.index_Nk);
    note_choices(pass, r.index_Nk);
    if (tape.runs()) with_float_type(dtype_, [&]<class P>() { std::fill_n(r.weight_Nk.data<P>(), n * k_, P(static_cast<float>(gate))); });
    r.load_E = ops::count_experts(tape, r.index_Nk, experts_);
    return r;
  }

 protected:
  virtual void look_up(Pass& pass, const Tensor& index_Nk) = 0;

  // k distinct experts of `count` from `first` on, drawn by `key`: the first steps of a shuffle.
  void draw(const RandomStream& stream, uint64_t key, int64_t first, int64_t count, int64_t k, int32_t* out) const {
    std::vector<int32_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), static_cast<int32_t>(first));
    for (int64_t j = 0; j < k; ++j) {
      const auto other = static_cast<size_t>(j) + stream.below(key * static_cast<uint64_t>(k_) + static_cast<uint64_t>(j), static_cast<uint64_t>(count - j));
      std::swap(order[static_cast<size_t>(j)], order[other]);
      out[j] = order[static_cast<size_t>(j)];
    }
  }

  int64_t experts_, k_;
  Gates gates_;
  DType dtype_;
  int64_t vocab_;
  Tensor weight_;  // ? of learned gates
};

class Hash : public Lookup {
 public:
  Hash(const RouterContext& ctx, const Gates& gates, std::vector<int32_t> table_Vk) : Lookup(ctx, gates), table_(std::move(table_Vk)) {}
  // The same table in every run: the control has no randomness of its own. Slot j of `blocks` draws from the j-th part of the experts.
  static std::unique_ptr<Hash> random(const RouterContext& ctx, const Gates& gates, bool blocks) {
    auto h = std::make_unique<Hash>(ctx, gates, std::vector<int32_t>(static_cast<size_t>(ctx.build.spec.vocab * ctx.k)));
    const RandomStream stream(0, "hash router", std::to_string(ctx.build.layer));
    const int64_t part = ctx.experts / ctx.k;
    for (int64_t v = 0; v < h->vocab_; ++v) {
      int32_t* row = h->table_.data() + v * ctx.k;
      if (!blocks)
        h->draw(stream, static_cast<uint64_t>(v), 0, ctx.experts, ctx.k, row);
      else
        for (int64_t j = 0; j < ctx.k; ++j)
          row[j] = static_cast<int32_t>(j * part + static_cast<int64_t>(stream.below(static_cast<uint64_t>(v * ctx.k + j), static_cast<uint64_t>(part))));
    }
    return h;
  }

 protected:
  void look_up(Pass& pass, const Tensor& index) override {
    if (!pass.tape.runs()) return;
    for (int64_t t = 0; t < index.rows(); ++t) std::copy_n(table_.begin() + pass.ids_BT.data<int32_t>()[t] * k_, k_, index.data<int32_t>() + t * k_);
  }

 private:
  std::vector<int32_t> table_;  // [V, k]
};

// Experts drawn by the token and the one before it; the first of a sequence has none before.
class HashBigram : public Lookup {
 public:
  HashBigram(const RouterContext& ctx, const Gates& gates) : Lookup(ctx, gates), stream_(0, "bigram hash router", std::to_string(ctx.build.layer)) {}

  // The last id + 1; 0 before the first.
  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, 1}, DType::i32);
    return state;
  }

 protected:
  void look_up(Pass& pass, const Tensor& index) override {
    const Tensor last = pass.state ? static_cast<RecurrentState&>(*pass.state).advance(pass.tape, pass.length())[0] : Tensor();
    if (!pass.tape.runs()) return;
    const int64_t length = pass.length();
    for (int64_t row = 0; row < pass.batch(); ++row) {
      int64_t before = last ? last.data<int32_t>()[row] : 0;
      for (int64_t t = row * length; t < (row + 1) * length; ++t) {
        const int64_t id = pass.ids_BT.data<int32_t>()[t];
        draw(stream_, static_cast<uint64_t>(before * vocab_ + id), 0, experts_, k_, index.data<int32_t>() + t * k_);
        before = id + 1;
      }
      if (last) last.data<int32_t>()[row] = static_cast<int32_t>(before);
    }
  }

 private:
  RandomStream stream_;
};

}  // namespace

std::vector<int32_t> balanced_table(std::span<const double> frequency_V, int64_t experts, int64_t k) {
  const auto vocab = static_cast<int64_t>(frequency_V.size());
  std::vector<int64_t> by_frequency(static_cast<size_t>(vocab)), order(static_cast<size_t>(experts));
  std::iota(by_frequency.begin(), by_frequency.end(), 0);
  std::stable_sort(by_frequency.begin(), by_frequency.end(),
                   [&](int64_t a, int64_t b) { return frequency_V[static_cast<size_t>(a)] > frequency_V[static_cast<size_t>(b)]; });
  std::vector<double> load(static_cast<size_t>(experts));
  std::vector<int32_t> table(static_cast<size_t>(vocab * k));
  for (const int64_t v : by_frequency) {
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t a, int64_t b) {
      const double la = load[static_cast<size_t>(a)], lb = load[static_cast<size_t>(b)];
      return la != lb ? la < lb : a < b;
    });
    for (int64_t j = 0; j < k; ++j) {
      table[static_cast<size_t>(v * k + j)] = static_cast<int32_t>(order[static_cast<size_t>(j)]);
      load[static_cast<size_t>(order[static_cast<size_t>(j)])] += frequency_V[static_cast<size_t>(v)];
    }
  }
  return table;
}

std::vector<int64_t> clustered_table(std::span<const float> vectors, int64_t width, int64_t experts, int64_t k, uint64_t seed) {
  const auto tokens = static_cast<int64_t>(vectors.size()) / width;
  const RandomStream stream(seed, "clusters");
  std::vector<double> centre(static_cast<size_t>(experts * width)), nearest(static_cast<size_t>(tokens), INFINITY);
  const auto distance = [&](int64_t v, int64_t e) {
    double sum = 0;
    for (int64_t c = 0; c < width; ++c) {
      const double gap = static_cast<double>(vectors[static_cast<size_t>(v * width + c)]) - centre[static_cast<size_t>(e * width + c)];
      sum += gap * gap;
    }
    return sum;
  };
  // Centres begin at tokens, each drawn in proportion to its squared distance from those before [k-means++, Arthur & Vassilvitskii 2007].
  for (int64_t e = 0; e < experts; ++e) {
    int64_t start = static_cast<int64_t>(stream.below(static_cast<uint64_t>(e), static_cast<uint64_t>(tokens)));
    if (e > 0) {
      double left = stream.uniform(static_cast<uint64_t>(e)) * std::accumulate(nearest.begin(), nearest.end(), 0.0);
      for (int64_t v = 0; v < tokens && left >= 0; ++v)
        if (nearest[static_cast<size_t>(v)] > 0) left -= nearest[static_cast<size_t>(start = v)];
    }
    for (int64_t c = 0; c < width; ++c) centre[static_cast<size_t>(e * width + c)] = static_cast<double>(vectors[static_cast<size_t>(start * width + c)]);
    for (int64_t v = 0; v < tokens; ++v) nearest[static_cast<size_t>(v)] = std::min(nearest[static_cast<size_t>(v)], distance(v, e));
  }
  std::vector<int64_t> order(static_cast<size_t>(experts)), table(static_cast<size_t>(tokens * k));
  std::vector<double> from(static_cast<size_t>(experts));
  for (int round = 0; round < 25; ++round) {
    std::vector<double> sum(centre.size()), count(static_cast<size_t>(experts));
    for (int64_t v = 0; v < tokens; ++v) {
      for (int64_t e = 0; e < experts; ++e) from[static_cast<size_t>(e)] = distance(v, e);
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t a, int64_t b) {
        const double da = from[static_cast<size_t>(a)], db = from[static_cast<size_t>(b)];
        return da != db ? da < db : a < b;
      });
      std::copy_n(order.begin(), k, table.begin() + v * k);
      ++count[static_cast<size_t>(order[0])];
      for (int64_t c = 0; c < width; ++c) sum[static_cast<size_t>(order[0] * width + c)] += static_cast<double>(vectors[static_cast<size_t>(v * width + c)]);
    }
    for (int64_t e = 0; e < experts; ++e)  // an empty cluster keeps its centre
      for (int64_t c = 0; c < width && count[static_cast<size_t>(e)] > 0; ++c)
        centre[static_cast<size_t>(e * width + c)] = sum[static_cast<size_t>(e * width + c)] / count[static_cast<size_t>(e)];
  }
  return table;
}

std::unique_ptr<Router> build_hash(const RouterContext& ctx, Config& cfg) {
  const Gates gates = Gates::take(cfg, ctx.k);
  const std::string kind = cfg.take_choice("table", "random", {"random", "modulo", "balanced", "multi", "given"});
  const int64_t vocab = ctx.build.spec.vocab;
  const auto frequencies = cfg.take<std::vector<double>>("frequencies", {});
  const auto given = cfg.take<std::vector<int64_t>>("experts_of", {});
  if (!frequencies.empty() && kind != "balanced") cfg.reject("frequencies", "belong to table = \"balanced\"");
  if (!given.empty() && kind != "given") cfg.reject("experts_of", "belongs to table = \"given\"");
  if (kind == "random" || kind == "multi") {
    if (kind == "multi" && ctx.experts % ctx.k != 0)
      cfg.reject("table", "cannot be multi: top_k = " + std::to_string(ctx.k) + " parts do not divide " + std::to_string(ctx.experts) + " experts");
    return Hash::random(ctx, gates, kind == "multi");
  }
  std::vector<int32_t> table(static_cast<size_t>(vocab * ctx.k));
  if (kind == "modulo") {
    for (size_t i = 0; i < table.size(); ++i)
      table[i] = static_cast<int32_t>((static_cast<int64_t>(i) / ctx.k + static_cast<int64_t>(i) % ctx.k) % ctx.experts);
  } else if (kind == "balanced") {
    std::vector<double> f = frequencies;
    for (int64_t v = 0; f.size() < static_cast<size_t>(vocab) && frequencies.empty(); ++v)
      f.push_back(1.0 / static_cast<double>(v + 1));  // tokenizers number frequent tokens first
    if (static_cast<int64_t>(f.size()) != vocab)
      cfg.reject("frequencies", "are " + std::to_string(f.size()) + " numbers for a vocabulary of " + std::to_string(vocab));
    table = balanced_table(f, ctx.experts, ctx.k);
  } else {
    if (static_cast<int64_t>(given.size()) != vocab * ctx.k)
      cfg.reject("experts_of", "is a list of " + std::to_string(given.size()) + ", not of " + std::to_string(vocab) + " tokens times top_k");
    for (size_t i = 0; i < given.size(); ++i) {
      if (given[i] < 0 || given[i] >= ctx.experts) cfg.reject("experts_of", "names expert " + std::to_string(given[i]) + " of " + std::to_string(ctx.experts));
      table[i] = static_cast<int32_t>(given[i]);
    }
  }
  return std::make_unique<Hash>(ctx, gates, std::move(table));
}

std::unique_ptr<Router> build_hash_bigram(const RouterContext& ctx, Config& cfg) { return std::make_unique<HashBigram>(ctx, Gates::take(cfg, ctx.k)); }

}  // namespace gamut
