#include "generation/embed.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/io.h"
#include "base/text.h"
#include "checkpoints/elements.h"
#include "data/tokenizers/post_processors/post_processor.h"
#include "objectives/objective.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBatchTokens = 8192;  // padding included
constexpr const char* kSpaces = " \t\n\v\f\r";  // around a text they do not belong to it

// Keys of 1_Pooling/config.json, in the order in which several are put together.
constexpr std::pair<const char*, Pooled> kPooling[] = {
    {"cls_token", Pooled::cls}, {"max_tokens", Pooled::max}, {"mean_tokens", Pooled::mean}, {"mean_sqrt_len_tokens", Pooled::mean_sqrt_length}, {"weightedmean_tokens", Pooled::weighted_mean}, {"lasttoken", Pooled::last}};

std::vector<float> read_floats(const TensorView& view) {
  std::vector<float> out(view.bytes.size() / size_of(view.dtype));
  read_elements(view, 0, static_cast<int64_t>(out.size()), out.data());
  return out;
}

std::string last_part(const std::string& type) { return type.substr(type.rfind('.') + 1); }

}  // namespace

std::vector<Pooled> take_pooling(Config& cfg, int64_t width) {
  std::vector<Pooled> kinds;
  if (const auto dimension = cfg.take_in<int64_t>("word_embedding_dimension", width, 1, 1 << 24); dimension != width)
    cfg.reject("word_embedding_dimension", "is " + std::to_string(dimension) + ", the model gives " + std::to_string(width));
  for (const auto& [name, kind] : kPooling)
    if (cfg.take<bool>(std::string("pooling_mode_") + name, false)) kinds.push_back(kind);
  if (kinds.empty()) cfg.reject("pooling_mode_mean_tokens", "is not true, and no other kind of pooling is");
  return kinds;
}

std::vector<double> pool(const std::vector<Pooled>& kinds, const std::vector<float>& hidden, int64_t width) {
  const auto d = static_cast<size_t>(width);
  const size_t t = hidden.size() / d;
  std::vector<double> out;
  for (const Pooled kind : kinds) {
    std::vector<double> one(d, 0.0);
    if (kind == Pooled::cls || kind == Pooled::last) {
      if (t > 0) std::copy_n(hidden.begin() + static_cast<std::ptrdiff_t>(kind == Pooled::cls ? 0 : (t - 1) * d), d, one.begin());
    } else if (kind == Pooled::max) {
      for (size_t k = 0; k < d && t > 0; ++k) {
        one[k] = hidden[k];
        for (size_t i = 1; i < t; ++i) one[k] = std::max<double>(one[k], hidden[i * d + k]);
      }
    } else {
      double weights = 0;
      for (size_t i = 0; i < t; ++i) {
        const double weight = kind == Pooled::weighted_mean ? static_cast<double>(i + 1) : 1;
        weights += weight;
        for (size_t k = 0; k < d; ++k) one[k] += weight * hidden[i * d + k];
      }
      const double divisor = std::max(kind == Pooled::mean_sqrt_length ? std::sqrt(weights) : weights, 1e-9);
      for (double& x : one) x /= divisor;
    }
    out.insert(out.end(), one.begin(), one.end());
  }
  return out;
}

std::vector<double> SentenceEncoder::Dense::operator()(const std::vector<double>& x) const {
  std::vector<double> y(static_cast<size_t>(out));
  for (size_t n = 0; n < y.size(); ++n) {
    double sum = bias.empty() ? 0 : static_cast<double>(bias[n]);
    for (size_t k = 0; k < x.size(); ++k) sum += static_cast<double>(weight[n * x.size() + k]) * x[k];
    y[n] = activation == "tanh" ? std::tanh(sum) : activation == "relu" ? std::max(sum, 0.0) : activation == "gelu" ? 0.5 * sum * (1 + std::erf(sum / std::sqrt(2.0))) : sum;
  }
  return y;
}

SentenceEncoder::SentenceEncoder(const fs::path& folder, const Device& device, const std::string& dtype)
    : device_(device), loaded_(load_model(folder, device, {.dtype = dtype})), tokenizer_(Tokenizer::load(folder)), width_(loaded_.model.spec().width) {
  const ModelSpec& spec = loaded_.model.spec();
  if (loaded_.model.has_encoder()) throw Error({.who = "embed", .what = "an encoder-decoder has no embedding here", .where = folder.string(), .hint = "name a model of one stack"});
  if (tokenizer_->vocab_size() > spec.vocab)
    throw Error({.who = "embed", .what = "the tokenizer has " + std::to_string(tokenizer_->vocab_size()) + " tokens, the model " + std::to_string(spec.vocab), .where = folder.string(), .hint = "is this the tokenizer the model was trained with?"});
  max_tokens_ = loaded_.model.position_limit().value_or(0);
  if (fs::exists(folder / "modules.json")) read_modules(folder);
  if (tokens("").size() + 1 > static_cast<size_t>(max_tokens_) && max_tokens_ > 0)
    throw Error({.who = "embed", .what = "a text may have " + std::to_string(max_tokens_) + " tokens, too few beside the special ones", .where = folder.string()});
}

void SentenceEncoder::read_modules(const fs::path& folder) {
  const auto document = [&](const fs::path& file) { return Config(read_json(file), {.source = file.string()}); };
  if (const fs::path file = folder / "sentence_bert_config.json"; fs::exists(file)) {
    Config cfg = document(file);
    const auto most = cfg.take_in<int64_t>("max_seq_length", max_tokens_, 0, int64_t{1} << 40);
    if (most > 0) max_tokens_ = max_tokens_ > 0 ? std::min(max_tokens_, most) : most;
    if (cfg.take<bool>("do_lower_case", false)) cfg.reject("do_lower_case", "is true, which is not supported", "the tokenizer may do it");
    cfg.finish();
  }
  if (const fs::path file = folder / "config_sentence_transformers.json"; fs::exists(file)) {
    Config cfg = document(file);
    Config prompts = cfg.sub("prompts");
    if (const auto name = cfg.take<std::string>("default_prompt_name", ""); !name.empty()) prompt_ = prompts.take<std::string>(name);
    for (const char* key : {"__version__", "similarity_fn_name", "model_type"}) cfg.ignore(key, "says nothing about what is computed");
    cfg.finish();
  }
  const fs::path file = folder / "modules.json";
  const Json list = read_json(file);
  if (!list.is_array()) throw Error({.who = "embed", .what = "modules.json is no list", .where = file.string()});
  modules_.clear();
  bool pooled = false;
  for (size_t i = 0; i < list.size(); ++i) {
    Config module(list[i], {.source = file.string()}, std::to_string(i));
    const std::string type = last_part(module.take<std::string>("type")), path = module.take<std::string>("path", "");
    for (const char* key : {"idx", "name"}) module.ignore(key, "the order in the list counts");
    module.finish();
    if (fs::path(path).is_absolute() || path.find("..") != std::string::npos) module.reject("path", "leads out of the folder");
    if (i == 0) {
      if (type != "Transformer" || !path.empty()) module.reject("type", "of the first module is '" + type + "' in '" + path + "'; expected Transformer in the folder itself");
    } else if (type == "Pooling") {
      Config cfg = document(folder / path / "config.json");
      if (pooled) module.reject("type", "is Pooling a second time");
      pooling_ = take_pooling(cfg, width_);
      if (!cfg.take<bool>("include_prompt", true) && !prompt_.empty()) cfg.reject("include_prompt", "is false, and texts have a prompt, which is not supported");
      cfg.finish();
      width_ *= static_cast<int64_t>(pooling_.size());
      modules_.push_back({Module::Kind::pooling, {}});
      pooled = true;
    } else if (type == "Normalize") {
      modules_.push_back({Module::Kind::normalize, {}});
    } else if (type == "Dense") {
      Config cfg = document(folder / path / "config.json");
      Dense dense{.in = cfg.take_in<int64_t>("in_features", 1, 1 << 24), .out = cfg.take_in<int64_t>("out_features", 1, 1 << 24)};
      const bool bias = cfg.take<bool>("bias", true);
      const auto activation = last_part(cfg.take<std::string>("activation_function", "torch.nn.modules.activation.Tanh"));
      for (const char c : activation) dense.activation += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
      if (const std::vector<std::string> known{"tanh", "identity", "relu", "gelu"}; std::find(known.begin(), known.end(), dense.activation) == known.end())
        cfg.reject("activation_function", "is '" + activation + "', which is not supported", "known: Tanh, Identity, ReLU, GELU");
      cfg.finish();
      if (dense.in != width_) throw Error({.who = "embed", .what = "in_features is " + std::to_string(dense.in) + ", the modules before give " + std::to_string(width_), .where = (folder / path).string()});
      const SafetensorsReader weights(folder / path / "model.safetensors");
      dense.weight = read_floats(weights.at("linear.weight"));
      if (bias) dense.bias = read_floats(weights.at("linear.bias"));
      if (weights.at("linear.weight").shape != std::vector<int64_t>{dense.out, dense.in} || (bias && static_cast<int64_t>(dense.bias.size()) != dense.out))
        throw Error({.who = "embed", .what = "linear.weight and linear.bias are not of the shape that config.json says", .where = weights.path().string()});
      width_ = dense.out;
      modules_.push_back({Module::Kind::dense, std::move(dense)});
    } else {
      module.reject("type", "is '" + type + "', a module this version does not know", "known: Transformer, Pooling, Dense, Normalize");
    }
    if (i > 0 && !pooled) module.reject("type", "is '" + type + "' before Pooling");
  }
  if (!pooled) throw Error({.who = "embed", .what = "modules.json has no Pooling", .where = file.string()});
}

std::vector<int32_t> SentenceEncoder::tokens(const std::string& text) const {
  const std::string whole = prompt_ + text;
  const size_t begin = std::min(whole.find_first_not_of(kSpaces), whole.size()), end = std::max(begin, whole.find_last_not_of(kSpaces) + 1);
  std::vector<int32_t> ids = tokenizer_->encode(whole.substr(begin, end - begin));
  const size_t specials = tokenizer_->frame({}).ids.size(), most = static_cast<size_t>(max_tokens_);
  if (most > 0 && ids.size() + specials > most) ids.resize(most > specials ? most - specials : 0);
  return tokenizer_->frame(ids).ids;
}

std::vector<std::vector<float>> SentenceEncoder::embed(const std::vector<std::string>& texts) {
  std::vector<std::vector<int32_t>> rows;
  for (const std::string& text : texts) {
    rows.push_back(tokens(text));
    if (rows.back().empty()) throw Error({.who = "embed", .what = "text " + std::to_string(rows.size() - 1) + " has no tokens", .hint = "this model has no vector for an empty text"});
  }
  return embed(rows);
}

std::vector<std::vector<float>> SentenceEncoder::embed(const std::vector<std::vector<int32_t>>& rows) {
  Model& model = loaded_.model;
  const int64_t d = model.spec().width;
  const auto sight = build_objective(model.spec().objective)->sight();
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rows[a].size() > rows[b].size(); });
  std::vector<std::vector<float>> out(rows.size());
  for (size_t first = 0; first < order.size();) {
    const auto length = static_cast<int64_t>(rows[order[first]].size());
    const auto count = std::min<size_t>(order.size() - first, static_cast<size_t>(std::max<int64_t>(1, kBatchTokens / length)));
    Example e{.rows = static_cast<int64_t>(count), .length = length};
    for (size_t r = 0; r < count; ++r) {
      const auto& row = rows[order[first + r]];
      if (row.empty()) throw Error({.who = "embed", .what = "row " + std::to_string(order[first + r]) + " has no tokens"});
      e.ids.insert(e.ids.end(), row.begin(), row.end());
      e.mask.insert(e.mask.end(), row.size(), 1);
      e.ids.resize((r + 1) * static_cast<size_t>(length));
      e.mask.resize(e.ids.size());
    }
    Tape tape(device_, Tape::Mode::inference);
    ExampleRun run(model, {.tape = tape}, sight, e);
    for (size_t r = 0; r < count; ++r) {
      const auto n = static_cast<int64_t>(rows[order[first + r]].size());
      std::vector<float> hidden(static_cast<size_t>(n * d));
      with_float_type(run.hidden().dtype(), [&]<class T>() {
        const T* from = run.hidden().data<T>() + static_cast<int64_t>(r) * length * d;
        for (size_t i = 0; i < hidden.size(); ++i) hidden[i] = static_cast<float>(from[i]);
      });
      std::vector<double> x;
      for (const Module& module : modules_) {
        if (module.kind == Module::Kind::pooling) x = pool(pooling_, hidden, d);
        if (module.kind == Module::Kind::dense) x = module.dense(x);
        if (module.kind == Module::Kind::normalize) {
          const double norm = std::max(std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0)), 1e-12);
          for (double& value : x) value /= norm;
        }
      }
      out[order[first + r]].assign(x.begin(), x.end());
    }
    first += count;
  }
  return out;
}

}  // namespace gamut
