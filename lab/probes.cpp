#include "lab/probes.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/rng.h"

namespace gamut {
namespace {

constexpr int64_t kRun = 3;
constexpr double kHidden = 0.15;

// Runs of kRun tokens, one at a random place of each of the equal parts of a row, apart from each other and from the row's ends.
std::vector<uint8_t> scattered_runs(int64_t rows, int64_t length, int64_t first_row) {
  std::vector<uint8_t> hidden(static_cast<size_t>(rows * length), 0);
  const int64_t runs = std::max<int64_t>(1, std::llround(kHidden * static_cast<double>(length) / kRun)), part = length / runs;
  for (int64_t b = 0; b < rows; ++b) {
    const RandomStream place(17, "hidden runs", std::to_string(first_row + b));
    for (int64_t r = 0; r < runs; ++r) {
      const auto room = static_cast<uint64_t>(std::max<int64_t>(1, part - kRun - 1));
      const int64_t start = r * part + 1 + static_cast<int64_t>(place.below(static_cast<uint64_t>(r), room));
      for (int64_t i = start; i < std::min(start + kRun, length); ++i) hidden[static_cast<size_t>(b * length + i)] = 1;
    }
  }
  return hidden;
}

std::vector<uint8_t> last_run(int64_t rows, int64_t length) {
  std::vector<uint8_t> hidden(static_cast<size_t>(rows * length), 0);
  for (int64_t b = 0; b < rows; ++b)
    for (int64_t i = std::max<int64_t>(1, length - kRun); i < length; ++i) hidden[static_cast<size_t>(b * length + i)] = 1;
  return hidden;
}

struct Answers {
  int64_t right = 0, asked = 0;
  double share() const { return asked > 0 ? static_cast<double>(right) / static_cast<double>(asked) : 0; }
};

// Labels come in the order of the hidden tokens; only those that begin a run count, because what an objective knows of the rest differs.
void answer(Trainer& trainer, const TokenRows& text, const std::vector<uint8_t>& hidden, Answers& answers) {
  const std::optional<Example> e = trainer.objective().hiding(text, hidden);
  if (!e) return;
  Tape tape(trainer.device(), Tape::Mode::inference);
  Model& model = trainer.model();
  ExampleRun run(model, {.tape = tape}, trainer.objective().sight(), *e);
  if (const auto unmasking = trainer.objective().unmasking(); unmasking && unmasking->shift) run.look_back();
  const Tensor logits = model.logits(run.pass(), run.hidden());
  const int64_t vocab = logits.shape()[2], length = e->label_length();
  for (int64_t b = 0; b < e->rows; ++b) {
    int64_t label = 0;
    for (int64_t t = 0; t < text.length; ++t) {
      const auto at = static_cast<size_t>(b * text.length + t);
      if (!hidden[at]) continue;
      while (label < length && e->labels[static_cast<size_t>(b * length + label)] < 0) ++label;
      if (label == length) break;
      const bool begins = t == 0 || !hidden[at - 1];
      const float* row = logits.data<float>() + (b * length + label) * vocab;
      if (begins) {
        answers.right += std::max_element(row, row + vocab) - row == text.targets[at];
        ++answers.asked;
      }
      ++label;
    }
  }
}

// Hidden states of whole texts, some positions of every row.
struct States {
  std::vector<float> values;  // [positions, D]
  std::vector<int> domain;    // of each
  std::vector<uint8_t> test;  // every other row
  int64_t width = 0;
};

void collect(Trainer& trainer, const TokenRows& text, int domain, int64_t first_row, States& states) {
  const std::vector<uint8_t> none(static_cast<size_t>(text.rows * text.length), 0);
  const std::optional<Example> e = trainer.objective().hiding(text, none);
  if (!e) return;
  Tape tape(trainer.device(), Tape::Mode::inference);
  ExampleRun run(trainer.model(), {.tape = tape}, trainer.objective().sight(), *e);
  const Tensor& hidden = run.encoded() ? run.encoded() : run.hidden();
  const int64_t length = hidden.shape()[1];
  states.width = hidden.shape()[2];
  for (int64_t b = 0; b < text.rows; ++b)
    for (int64_t t = 3; t + 3 < text.length; t += 7) {
      for (int64_t d = 0; d < states.width; ++d) {
        const int64_t at = (b * length + t) * states.width + d;
        states.values.push_back(hidden.dtype() == DType::bf16 ? static_cast<float>(hidden.data<bf16>()[at]) : hidden.dtype() == DType::f64 ? static_cast<float>(hidden.data<double>()[at]) : hidden.data<float>()[at]);
      }
      states.domain.push_back(domain);
      states.test.push_back((first_row + b) % 2);
    }
}

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Matrix centred(const States& s) {
  Matrix x = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(s.values.data(), std::ssize(s.domain), s.width).cast<double>();
  x.rowwise() -= x.colwise().mean().eval();
  return x;
}

double effective_rank(const Matrix& x) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(x.transpose() * x, Eigen::EigenvaluesOnly);
  const Eigen::ArrayXd sigma = solver.eigenvalues().array().max(0).sqrt();
  const double sum = sigma.sum();
  double entropy = 0;
  for (const double s : sigma)
    if (s > 0) entropy -= s / sum * std::log(s / sum);
  return sum > 0 ? std::exp(entropy) / static_cast<double>(x.cols()) : 0;
}

// Ridge regression on one column a domain.
double tell_domains(const Matrix& x, const States& s, int domains) {
  Matrix gram = Matrix::Zero(x.cols(), x.cols()), moments = Matrix::Zero(x.cols(), domains);
  for (int64_t i = 0; i < x.rows(); ++i) {
    if (s.test[static_cast<size_t>(i)]) continue;
    gram.noalias() += x.row(i).transpose() * x.row(i);
    moments.col(s.domain[static_cast<size_t>(i)]) += x.row(i).transpose();
  }
  gram.diagonal().array() += 1e-3 * gram.trace() / static_cast<double>(x.cols()) + 1e-12;
  const Matrix weights = gram.ldlt().solve(moments);
  Answers answers;
  for (int64_t i = 0; i < x.rows(); ++i) {
    if (!s.test[static_cast<size_t>(i)]) continue;
    Eigen::Index best = 0;
    (x.row(i) * weights).maxCoeff(&best);
    answers.right += best == s.domain[static_cast<size_t>(i)];
    ++answers.asked;
  }
  return answers.share();
}

}  // namespace

Json ModelProbe::to_json() const { return {{"fill_in", fill_in}, {"continuation", continuation}, {"asked", asked}, {"supervised", supervised}, {"domain", domain}, {"rank", rank}}; }

ModelProbe probe_model(Trainer& trainer, int64_t bytes) {
  const int64_t length = trainer.options().length - 2, rows = trainer.options().micro();
  const Dataset& data = trainer.data();
  Answers inside, ends;
  int64_t labels = 0, tokens = 0;
  States states;
  for (size_t d = 0; d < data.validation.size(); ++d) {
    const ValidationSet set(data.validation[d], *data.tokenizer, length, bytes);
    for (int64_t first = 0; first < set.windows(); first += rows) {
      const Batch batch = set.batch(first, rows);
      const TokenRows text{batch.rows, batch.length, batch.inputs, batch.targets};
      answer(trainer, text, scattered_runs(batch.rows, length, first), inside);
      answer(trainer, text, last_run(batch.rows, length), ends);
      collect(trainer, text, static_cast<int>(d), first, states);
      const Example example = trainer.objective().example(text, {.seed = 17, .first_row = first, .vocab = trainer.model().spec().vocab});
      labels += std::count_if(example.labels.begin(), example.labels.end(), [](int32_t label) { return label >= 0; });
      tokens += std::ssize(batch.targets);
    }
  }
  ModelProbe probe{.fill_in = inside.share(), .continuation = ends.share(), .asked = inside.asked, .supervised = static_cast<double>(labels) / static_cast<double>(std::max<int64_t>(1, tokens))};
  if (states.domain.empty()) return probe;
  const Matrix x = centred(states);
  probe.rank = effective_rank(x);
  probe.domain = tell_domains(x, states, static_cast<int>(data.validation.size()));
  return probe;
}

}  // namespace gamut
