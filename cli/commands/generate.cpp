#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <iostream>

#include "cli/command.h"
#include "data/tokenizers/tokenizer.h"
#include "generation/decoder.h"
#include "generation/score.h"
#include "generation/text_stream.h"
#include "objectives/objective.h"

namespace gamut {
namespace {

struct Arguments {
  std::string model, prompt, tokens, dtype;
  GenerateOptions options;
  bool prompt_given = false, greedy = false, ignore_eos = false, json = false;
};

// Rows without their padding.
std::vector<std::vector<int32_t>> unpadded(const std::vector<int32_t>& ids, const std::vector<uint8_t>& mask, int64_t rows, int64_t length) {
  std::vector<std::vector<int32_t>> out(static_cast<size_t>(rows));
  for (size_t i = 0; i < ids.size(); ++i)
    if (mask[i]) out[i / static_cast<size_t>(length)].push_back(ids[i]);
  return out;
}

void run(Arguments a) {
  if (a.prompt_given != a.tokens.empty()) throw Error({.who = "generate", .what = "needs either --prompt or --tokens", .hint = "for example --prompt \"Once upon a time\""});
  if (a.greedy) a.options.sampling.temperature = 0;
  a.options.sampling.check();
  std::vector<std::vector<int32_t>> prompts, sources;
  if (!a.tokens.empty()) {
    const Example in = read_example(read_json(a.tokens), a.tokens);
    prompts = unpadded(in.ids, in.mask, in.rows, in.length);
    if (in.target_length > 0) {
      sources = prompts;
      prompts = unpadded(in.decoder_ids, in.decoder_mask, in.rows, in.target_length);
    }
  }
  ThreadPool pool;
  const Device device = Device::real(pool);
  LoadedModel loaded = load_model(a.model, device, {.dtype = a.dtype});
  const auto objective = build_objective(loaded.model.spec().objective);
  if (!a.ignore_eos) {
    a.options.eos = loaded.config.eos;
    if (const auto end = objective->end()) a.options.eos.push_back(*end);
  }
  const bool encoder = loaded.model.has_encoder();
  if (encoder && sources.empty()) std::swap(prompts, sources);

  if (!a.tokens.empty()) {
    const auto rows = generate(loaded.model, device, prompts, a.options, sources);
    if (a.json) {
      std::cout << Json({{"output_ids", rows}}).dump() << '\n';
    } else {
      for (const auto& row : rows) std::cout << fmt::format("{}\n", fmt::join(row, " "));
    }
    return;
  }
  const auto tokenizer = Tokenizer::load(a.model);
  if (tokenizer->vocab_size() > loaded.model.spec().vocab)
    throw Error({.who = "generate", .what = fmt::format("the tokenizer has {} tokens, the model {}", tokenizer->vocab_size(), loaded.model.spec().vocab), .where = a.model, .hint = "is this the tokenizer the model was trained with?"});
  // With the special tokens that frame a text: where a tokenizer adds them, the model was trained with them. A source ends in any case; what answers it
  // begins anew.
  std::vector<int32_t> ids = tokenizer->encode(a.prompt);
  const size_t plain = ids.size();
  ids = tokenizer->add_special_tokens(ids);
  if (objective->start() && objective->end() && ids.size() == plain) ids.push_back(*objective->end());
  (encoder ? sources : prompts) = {ids};
  const size_t given = encoder ? sources[0].size() : prompts[0].size(), begun = (encoder ? 0 : given) + (objective->start() ? 1 : 0);
  TextStream stream(*tokenizer);
  std::string text;
  if (!a.json && !encoder) std::cout << a.prompt << std::flush;
  a.options.on_token = [&](size_t, int32_t id) {
    const std::string more = stream.push(id);
    text += more;
    if (!a.json) std::cout << more << std::flush;
    return true;
  };
  const auto rows = generate(loaded.model, device, prompts, a.options, sources);
  const std::string rest = stream.finish();
  text += rest;
  if (a.json) std::cout << Json({{"prompt", a.prompt}, {"text", text}, {"output_ids", rows}, {"prompt_tokens", given}, {"new_tokens", rows[0].size() - begun}}).dump() << '\n';
  else std::cout << rest << '\n';
}

}  // namespace

void build_generate(CLI::App& command, int&) {
  auto a = std::make_shared<Arguments>();
  Sampling& s = a->options.sampling;
  command.add_option("model", a->model, "model folder or .gguf file")->required();
  const auto* prompt = command.add_option("--prompt", a->prompt, "text to go on from; an encoder-decoder reads it and writes its answer");
  command.add_option("--tokens", a->tokens, "JSON file instead of a text: {\"input_ids\": [[…], …], \"decoder_input_ids\"?: [[…], …]}; prints ids, the prompt's included; of an encoder-decoder those of the decoder");
  command.add_option("--max-new-tokens", a->options.max_new_tokens, "at most so many")->capture_default_str()->check(CLI::Range(int64_t{0}, int64_t{1} << 24));
  command.add_option("--steps", a->options.steps, "of models that write by unmasking: so many steps; 0: one a token")->capture_default_str()->check(CLI::Range(int64_t{0}, int64_t{1} << 24));
  command.add_option("--block-length", a->options.block, "of models that write by unmasking: fill blocks of so many tokens from the left; 0: all at once")->capture_default_str()->check(CLI::Range(int64_t{0}, int64_t{1} << 24));
  command.add_flag("--greedy", a->greedy, "always the likeliest token (as --temperature 0)");
  command.add_option("--temperature", s.temperature, "below 1 sharper, above 1 flatter")->capture_default_str();
  command.add_option("--top-k", s.top_k, "only the k likeliest tokens; 0: all")->capture_default_str();
  command.add_option("--top-p", s.top_p, "only the fewest tokens that reach this probability together")->capture_default_str();
  command.add_option("--min-p", s.min_p, "only tokens with at least this share of the highest probability")->capture_default_str();
  command.add_option("--repetition-penalty", s.repetition_penalty, "above 1: tokens seen before become less likely")->capture_default_str();
  command.add_option("--seed", s.seed, "same seed, same text")->capture_default_str();
  command.add_flag("--ignore-eos", a->ignore_eos, "go on after an end-of-text token");
  add_dtype(command, a->dtype);
  add_json(command, a->json);
  command.callback([a, prompt] {
    a->prompt_given = prompt->count() > 0;
    run(*a);
  });
}

}  // namespace gamut
