#include "ops/balance.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "ops/reduce.h"
#include "ops/rowwise.h"

namespace gamut::ops {
namespace {

double sum_of(const double* row, int64_t e, bool unnormalised) { return unnormalised ? std::max(std::accumulate(row, row + e, 0.0), 1e-30) : 1.0; }

// From Σ c·P, P = s/Σs, to the scores: (c_i − Σ_j c_j P_j)/Σs; for softmax the sum is constantly 1 and its slope is left to the softmax.
void through_row_sum(const double* c, const double* scores, int64_t e, bool unnormalised, double factor, double* out) {
  const double sum = sum_of(scores, e, unnormalised);
  double mean = 0;
  if (unnormalised)
    for (int64_t i = 0; i < e; ++i) mean += c[i] * scores[i] / sum;
  for (int64_t i = 0; i < e; ++i) out[i] = factor * (c[i] - mean) / sum;
}

// The k largest scores of a row, the lowest index among equals.
void largest(const double* scores, int64_t e, int64_t k, std::vector<int32_t>& order) {
  order.resize(static_cast<size_t>(e));
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(),
                    [&](int32_t a, int32_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; });
}

// Choices per expert over rows [first, end), the sequences' c_e = ∂loss/∂P_e, and how many rows count.
struct Segment {
  std::vector<double> weight_E, mean_E;
  double rows = 0;
};

Segment measure(const Routing& r, const BalanceOptions& o, int64_t first, int64_t end) {
  const int64_t e = r.scores_NE.width(), k = r.index_Nk.width(), each = e / o.devices;
  Segment s{std::vector<double>(static_cast<size_t>(e)), std::vector<double>(static_cast<size_t>(e))};
  std::vector<double> count(static_cast<size_t>(e)), sent(static_cast<size_t>(o.devices)), scores(static_cast<size_t>(e));
  std::vector<int32_t> chosen(static_cast<size_t>(k));
  std::vector<char> seen(static_cast<size_t>(o.devices));
  for (int64_t t = first; t < end; ++t) {
    if (o.counted_N && *o.counted_N && !o.counted_N->data<uint8_t>()[t]) continue;
    ++s.rows;
    read_row(r.scores_NE, t, scores.data());
    const double sum = sum_of(scores.data(), e, o.unnormalised);
    for (int64_t i = 0; i < e; ++i) s.mean_E[static_cast<size_t>(i)] += scores[static_cast<size_t>(i)] / sum;
    if (o.unbiased)
      largest(scores.data(), e, k, chosen);
    else
      std::copy_n(r.index_Nk.data<int32_t>() + t * k, k, chosen.begin());
    std::fill(seen.begin(), seen.end(), 0);
    for (int64_t j = 0; j < (o.count == BalanceCount::first ? 1 : k); ++j) {
      const int32_t choice = chosen[static_cast<size_t>(j)];
      if (choice < 0) continue;
      ++count[static_cast<size_t>(choice)];
      if (char& before = seen[static_cast<size_t>(choice / each)]; !before) before = 1, ++sent[static_cast<size_t>(choice / each)];
    }
  }
  const double rows = std::max(s.rows, 1.0), e_ = static_cast<double>(e), k_ = static_cast<double>(k);
  for (double& p : s.mean_E) p /= rows;
  double counted_rows = rows;
  if (o.gathered) {
    std::vector<int64_t>& all = *o.gathered;
    all.resize(static_cast<size_t>(e) + 1);
    for (size_t i = 0; i < count.size(); ++i) count[i] = static_cast<double>(all[i] += static_cast<int64_t>(count[i]));
    counted_rows = static_cast<double>(all.back() += static_cast<int64_t>(s.rows));
    counted_rows = std::max(counted_rows, 1.0);
  }
  const double slots = o.count == BalanceCount::slots ? k_ : 1.0;
  for (int64_t i = 0; i < e; ++i) {
    double& w = s.weight_E[static_cast<size_t>(i)];
    if (o.level == BalanceLevel::expert) {
      w = e_ * count[static_cast<size_t>(i)] / (slots * counted_rows);
    } else if (o.level == BalanceLevel::device) {
      for (int64_t j = i / each * each; j < (i / each + 1) * each; ++j)
        w += e_ * count[static_cast<size_t>(j)] / (k_ * counted_rows) / static_cast<double>(each);
    } else {
      w = static_cast<double>(o.devices) * sent[static_cast<size_t>(i / each)] / (static_cast<double>(o.reach) * rows);
    }
  }
  return s;
}

}  // namespace

double balance_loss(Tape& tape, const Routing& r, double coefficient, const BalanceOptions& o) {
  const auto timing = tape.time("router");
  const int64_t n = r.scores_NE.rows(), e = r.scores_NE.width(), length = o.sequence > 0 ? o.sequence : std::max<int64_t>(n, 1);
  if (n % length != 0) throw Error({.who = "balance_loss", .what = std::to_string(n) + " rows are no whole number of sequences of " + std::to_string(length)});
  if (o.devices < 1 || e % o.devices != 0)
    throw Error({.who = "balance_loss", .what = std::to_string(e) + " experts do not lie evenly on " + std::to_string(o.devices) + " devices"});
  tape.count("router", {.other_flops = 2 * static_cast<double>(n * e), .bytes = static_cast<double>(r.scores_NE.bytes())});
  std::vector<Segment> segments;
  double value = 0;
  if (tape.runs()) {
    for (int64_t first = 0; first < n; first += length) segments.push_back(measure(r, o, first, first + length));
    for (const Segment& s : segments)
      for (size_t i = 0; i < s.mean_E.size(); ++i) value += s.weight_E[i] * s.mean_E[i] / static_cast<double>(segments.size());
  }
  if (!tape.training()) return value;
  row_loss(tape, "router", r.scores_NE, coefficient * value,
           [segments = std::move(segments), counted = o.counted_N ? *o.counted_N : Tensor(), unnormalised = o.unnormalised, coefficient, e, length](
               int64_t row, const double* scores, double* d) {
             const Segment& s = segments[static_cast<size_t>(row / length)];
             if (counted && !counted.data<uint8_t>()[row]) return;
             through_row_sum(s.weight_E.data(), scores, e, unnormalised, coefficient / (std::max(s.rows, 1.0) * static_cast<double>(segments.size())), d);
           });
  return value;
}

double z_loss(Tape& tape, const Tensor& logits, double coefficient) {
  const auto timing = tape.time("router");
  const int64_t n = logits.rows(), e = logits.width();
  tape.count("router", {.other_flops = 4 * static_cast<double>(n * e), .bytes = static_cast<double>(logits.bytes())});
  std::vector<double> lse(static_cast<size_t>(tape.runs() ? n : 0));
  double squares = 0;
  if (tape.runs()) {
    for_row_blocks(tape, n, [&](int64_t first, int64_t rows, int) {
      std::vector<double> row(static_cast<size_t>(e));
      for (int64_t t = first; t < first + rows; ++t) {
        read_row(logits, t, row.data());
        const double top = *std::max_element(row.begin(), row.end());
        double sum = 0;
        for (const double h : row) sum += std::exp(h - top);
        lse[static_cast<size_t>(t)] = top + std::log(sum);
      }
    });
    for (const double x : lse) squares += x * x / static_cast<double>(n);
  }
  if (!tape.training()) return squares;
  row_loss(tape, "router", logits, coefficient * squares, [lse = std::move(lse), coefficient, n, e](int64_t row, const double* h, double* d) {
    const double z = lse[static_cast<size_t>(row)];
    for (int64_t i = 0; i < e; ++i) d[i] = 2 * coefficient * z * std::exp(h[i] - z) / static_cast<double>(n);
  });
  return squares;
}

double entropy_loss(Tape& tape, const Routing& r, double coefficient, bool unnormalised) {
  const auto timing = tape.time("router");
  const Tensor& scores = r.scores_NE;
  const int64_t n = scores.rows(), e = scores.width();
  tape.count("router", {.other_flops = 4 * static_cast<double>(n * e), .bytes = static_cast<double>(scores.bytes())});
  const auto log_share = [](double s, double sum) { return std::log(std::max(s / sum, 1e-300)); };
  double mean = 0;
  std::vector<double> row(static_cast<size_t>(e));
  for (int64_t t = 0; tape.runs() && t < n; ++t) {
    read_row(scores, t, row.data());
    const double sum = sum_of(row.data(), e, unnormalised);
    for (const double s : row) mean -= s / sum * log_share(s, sum) / static_cast<double>(n);
  }
  if (!tape.training()) return mean;
  row_loss(tape, "router", scores, coefficient * mean, [=](int64_t, const double* s, double* d) {
    const double sum = sum_of(s, e, unnormalised);
    std::vector<double> c(static_cast<size_t>(e));
    for (int64_t i = 0; i < e; ++i) c[static_cast<size_t>(i)] = -log_share(s[i], sum) - 1;
    through_row_sum(c.data(), s, e, unnormalised, coefficient / static_cast<double>(n), d);
  });
  return mean;
}

namespace {

// The mean over rows of what of(row) says; block sums in block order.
double mean_of_rows(Tape& tape, const Tensor& x, double (*of)(const double*, int64_t)) {
  const int64_t n = x.rows(), e = x.width();
  std::vector<double> sums(static_cast<size_t>(row_blocks(n)));
  for_row_blocks(tape, n, [&](int64_t first, int64_t rows, int) {
    std::vector<double> row(static_cast<size_t>(e));
    for (int64_t t = first; t < first + rows; ++t) {
      read_row(x, t, row.data());
      sums[static_cast<size_t>(first / kRowBlock)] += of(row.data(), e);
    }
  });
  return n > 0 ? std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(n) : 0.0;
}

}  // namespace

double mean_entropy(Tape& tape, const Tensor& scores) {
  return mean_of_rows(tape, scores, [](const double* s, int64_t e) {
    double sum = 0, h = 0;
    for (int64_t i = 0; i < e; ++i) sum += s[i];
    for (int64_t i = 0; i < e; ++i)
      if (s[i] > 0) h -= s[i] / sum * std::log(s[i] / sum);
    return h;
  });
}

double mean_square(Tape& tape, const Tensor& x) {
  return mean_of_rows(tape, x, [](const double* h, int64_t e) {
    double sum = 0;
    for (int64_t i = 0; i < e; ++i) sum += h[i] * h[i];
    return sum / static_cast<double>(e);
  });
}

SquaredVariation squared_variation(std::span<const double> values, bool sample) {
  const double n = static_cast<double>(values.size()), freedom = sample ? std::max(n - 1, 1.0) : n;
  double mean = 0, variance = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) variance += (v - mean) * (v - mean) / freedom;
  const double base = mean * mean + 1e-10;
  SquaredVariation cv{variance / base, {}};
  for (const double v : values) cv.slope.push_back(2 * (v - mean) / (freedom * base) - variance * 2 * mean / (n * base * base));
  return cv;
}

double variance_loss(Tape& tape, const Routing& r, double coefficient) {
  const auto timing = tape.time("router");
  const Tensor& scores = r.scores_NE;
  const int64_t n = scores.rows(), e = scores.width();
  tape.count("router", {.other_flops = 4 * static_cast<double>(n * e), .bytes = static_cast<double>(scores.bytes())});
  std::vector<double> mean(static_cast<size_t>(e)), row(static_cast<size_t>(e));
  double sum = 0;
  const auto over_rows = [&](auto&& each) {
    for (int64_t t = 0; tape.runs() && t < n; ++t) {
      read_row(scores, t, row.data());
      for (size_t i = 0; i < row.size(); ++i) each(i, row[i]);
    }
  };
  over_rows([&](size_t i, double s) { mean[i] += s / static_cast<double>(n); });
  over_rows([&](size_t i, double s) { sum += (s - mean[i]) * (s - mean[i]) / static_cast<double>(n); });
  if (!tape.training()) return sum;
  row_loss(tape, "router", scores, -coefficient * sum, [mean, coefficient, n, e](int64_t, const double* s, double* d) {
    for (int64_t i = 0; i < e; ++i) d[i] = -2 * coefficient * (s[i] - mean[static_cast<size_t>(i)]) / static_cast<double>(n);
  });
  return sum;
}

double orthogonality_loss(Tape& tape, const Tensor& w, double coefficient) {
  const auto timing = tape.time("router");
  const int64_t e = w.rows(), d = w.width();
  tape.count("router", {.other_flops = 2 * static_cast<double>(e * e * d), .bytes = static_cast<double>(w.bytes())});
  std::vector<double> rows(static_cast<size_t>(tape.runs() ? e * d : 0)), sign(static_cast<size_t>(e * e));
  double sum = 0;
  if (tape.runs()) {
    for (int64_t i = 0; i < e; ++i) read_row(w, i, rows.data() + i * d);
    for (int64_t i = 0; i < e; ++i)
      for (int64_t j = 0; j < e; ++j) {
        const double gap = std::inner_product(rows.begin() + i * d, rows.begin() + (i + 1) * d, rows.begin() + j * d, i == j ? -1.0 : 0.0);
        sum += std::abs(gap);
        sign[static_cast<size_t>(i * e + j)] = gap > 0 ? 1 : gap < 0 ? -1 : 0;
      }
  }
  if (!tape.training()) return sum;
  row_loss(tape, "router", w, coefficient * sum, [rows = std::move(rows), sign = std::move(sign), coefficient, e, d](int64_t i, const double*, double* dw) {
    for (int64_t j = 0; j < e; ++j)
      for (int64_t c = 0; c < d; ++c) dw[c] += 2 * coefficient * sign[static_cast<size_t>(i * e + j)] * rows[static_cast<size_t>(j * d + c)];
  });
  return sum;
}

double output_orthogonality_loss(Tape& tape, const Tensor& outputs, int64_t k, double coefficient) {
  const auto timing = tape.time("router");
  const int64_t n = outputs.rows() / k, d = outputs.width();
  const double pairs = static_cast<double>(std::max<int64_t>(n, 1) * k * (k - 1));
  tape.count("router", {.other_flops = 2 * static_cast<double>(n * k * k * d), .bytes = static_cast<double>(outputs.bytes())});
  const auto product = [d](const double* o, int64_t j, int64_t l) { return std::inner_product(o + j * d, o + (j + 1) * d, o + l * d, 0.0); };
  const Tensor rows = outputs.reshape({n, k * d});  // a token's outputs side by side
  std::vector<double> sums(static_cast<size_t>(row_blocks(n)));
  for_row_blocks(tape, n, [&](int64_t first, int64_t count, int) {
    std::vector<double> o(static_cast<size_t>(k * d));
    for (int64_t t = first; t < first + count; ++t) {
      read_row(rows, t, o.data());
      for (int64_t j = 0; j < k; ++j)
        for (int64_t l = 0; l < j; ++l)
          if (const double lengths = product(o.data(), j, j) * product(o.data(), l, l); lengths > 0)
            sums[static_cast<size_t>(first / kRowBlock)] += 2 * std::pow(product(o.data(), j, l), 2) / lengths / pairs;
    }
  });
  const double value = std::accumulate(sums.begin(), sums.end(), 0.0);
  if (!tape.training()) return value;
  // ∂cos²/∂o_j = 2⟨o_j, o_l⟩/(|o_j|²|o_l|²)·(o_l − ⟨o_j, o_l⟩/|o_j|²·o_j), for each of the two places of a pair.
  row_loss(tape, "router", rows, coefficient * value, [=](int64_t, const double* o, double* g) {
    for (int64_t j = 0; j < k; ++j)
      for (int64_t l = 0; l < k; ++l) {
        const double jj = product(o, j, j), ll = product(o, l, l), jl = product(o, j, l);
        if (j == l || jj * ll <= 0) continue;
        for (int64_t c = 0; c < d; ++c) g[j * d + c] += 4 * coefficient / pairs * jl / (jj * ll) * (o[l * d + c] - jl / jj * o[j * d + c]);
      }
  });
  return value;
}

double importance_loss(Tape& tape, const Routing& r, double coefficient, bool sample) {
  const auto timing = tape.time("router");
  const int64_t n = r.index_Nk.rows(), k = r.index_Nk.width(), e = r.load_E.elements();
  tape.count("router", {.other_flops = 2 * static_cast<double>(n * k), .bytes = static_cast<double>(r.weight_Nk.bytes())});
  std::vector<double> sums(static_cast<size_t>(e)), row(static_cast<size_t>(k));
  for (int64_t t = 0; tape.runs() && t < n; ++t) {
    read_row(r.weight_Nk, t, row.data());
    for (int64_t j = 0; j < k; ++j)
      if (const int32_t expert = r.index_Nk.data<int32_t>()[t * k + j]; expert >= 0) sums[static_cast<size_t>(expert)] += row[static_cast<size_t>(j)];
  }
  SquaredVariation cv = squared_variation(sums, sample);
  const double value = cv.value;
  if (!tape.training()) return value;
  row_loss(tape, "router", r.weight_Nk, coefficient * value,
           [index = r.index_Nk, slope = std::move(cv.slope), coefficient, k](int64_t token, const double*, double* d) {
             for (int64_t j = 0; j < k; ++j)
               if (const int32_t expert = index.data<int32_t>()[token * k + j]; expert >= 0) d[j] = coefficient * slope[static_cast<size_t>(expert)];
           });
  return value;
}

double pooled_balance(Tape& tape, std::span<const LayerScores> layers, const Tensor& counted, double coefficient) {
  const auto timing = tape.time("router");
  const Shape shape = layers[0].scores_NE.shape();
  const int64_t n = shape[0], e = shape[1], k = layers[0].index_Nk.width();
  for (const LayerScores& layer : layers)
    if (layer.scores_NE.shape() != shape || layer.index_Nk.width() != k)
      throw Error(
          {.who = "pooled_balance", .what = "scores " + layer.scores_NE.shape().text() + " and " + shape.text() + " of two layers do not fit together"});
  const DType p = layers[0].scores_NE.dtype();
  const Tensor loss = tape.empty({1}, p);
  tape.count("router", {.other_flops = 2 * static_cast<double>(layers.size()) * static_cast<double>(n * e)});
  std::vector<double> share(static_cast<size_t>(e)), mean(static_cast<size_t>(e));
  double rows = 0, value = 0;
  const uint8_t* counts = tape.runs() && counted ? counted.data<uint8_t>() : nullptr;
  if (tape.runs())
    with_float_type(p, [&]<class P>() {
      for (const LayerScores& layer : layers)
        for (int64_t t = 0; t < n; ++t) {
          if (counts && !counts[t]) continue;
          ++rows;
          for (int64_t i = 0; i < e; ++i) mean[static_cast<size_t>(i)] += static_cast<double>(layer.scores_NE.data<P>()[t * e + i]);
          for (int64_t j = 0; j < k; ++j) ++share[static_cast<size_t>(layer.index_Nk.data<int32_t>()[t * k + j])];
        }
      for (int64_t i = 0; i < e; ++i) {
        share[static_cast<size_t>(i)] /= std::max(rows, 1.0) * static_cast<double>(k);
        mean[static_cast<size_t>(i)] /= std::max(rows, 1.0);
        value += static_cast<double>(e) * share[static_cast<size_t>(i)] * mean[static_cast<size_t>(i)];
      }
      *loss.data<P>() = P(static_cast<accumulator<P>>(coefficient * value));
    });
  if (!tape.training()) return value;
  tape.add_loss(loss);
  std::vector<GradRef> cells;
  for (const LayerScores& layer : layers) cells.push_back(layer.scores_NE.grad());
  // f is a count and has no gradient: ∂/∂score[t,e] = coefficient·E·f_e / rows.
  tape.record("router", [cells = std::move(cells), share = std::move(share), counted, rows, coefficient, n, e, p](Tape& t) {
    const Tensor gradient = t.zeros({n, e}, p);
    if (t.runs())
      with_float_type(p, [&]<class P>() {
        for_row_blocks(t, n, [&](int64_t first, int64_t count, int) {
          for (int64_t r = first; r < first + count; ++r) {
            if (counted && !counted.data<uint8_t>()[r]) continue;
            for (int64_t i = 0; i < e; ++i)
              gradient.data<P>()[r * e + i] =
                  P(static_cast<accumulator<P>>(coefficient * static_cast<double>(e) * share[static_cast<size_t>(i)] / std::max(rows, 1.0)));
          }
        });
      });
    for (const GradRef& cell : cells) t.give(cell, gradient);
  });
  return value;
}

}  // namespace gamut::ops
