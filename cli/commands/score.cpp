#include "generation/score.h"

#include <fmt/format.h>

#include <iostream>

#include "cli/command.h"
#include "families/routing_file.h"

namespace gamut {
namespace {

struct Arguments {
  std::string model, tokens, logits, grads, dtype, record, replay;
  ScoreOptions options;
  bool json = false, drafts = false;
};

void run(const Arguments& a) {
  if (!a.grads.empty() && a.options.loss.empty()) throw Error({.who = "score", .what = "--grads needs a loss to differentiate", .hint = "add --loss causal"});
  const Example input = read_example(read_json(a.tokens), a.tokens);
  ThreadPool pool;
  const Device device = Device::real(pool);
  LoadedModel loaded = load_model(a.model, device, {.dtype = a.dtype});
  ScoreOptions options = a.options;
  options.gradients = !a.grads.empty();
  std::vector<RouterChoices> made, given;
  if (!a.replay.empty()) options.choices_given = &(given = read_routing(a.replay));
  if (!a.record.empty()) options.choices_made = &made;
  const Scores scores = score(loaded.model, device, input, options);
  write_scores(scores, a.logits);
  if (!a.record.empty()) write_routing(made, a.record);
  if (options.gradients) write_gradients(loaded, a.grads);
  Json result = {{"logits", a.logits}};
  if (scores.loss) result["loss"] = *scores.loss;
  if (options.gradients) result["grads"] = a.grads;
  std::string drafted;
  if (a.drafts) {
    const std::vector<Drafts> counts = count_drafts(loaded.model, scores, input);
    if (counts.empty()) throw Error({.who = "score", .what = "the model has no head for tokens beyond the next, so it drafts none"});
    result["drafts"] = Json::array();
    for (const Drafts& d : counts) {
      const double rate = d.drafted > 0 ? static_cast<double>(d.accepted) / static_cast<double>(d.drafted) : 0;
      result["drafts"].push_back({{"depth", d.depth}, {"drafted", d.drafted}, {"accepted", d.accepted}, {"rate", rate}});
      drafted += fmt::format("drafts {} further: {} of {} accepted ({:.1f} %)\n", d.depth, d.accepted, d.drafted, 100 * rate);
    }
  }
  if (a.json) std::cout << result.dump() << '\n';
  else std::cout << drafted << (scores.loss ? fmt::format("loss {:.6f}\n", *scores.loss) : "") << a.logits << '\n' << (options.gradients ? a.grads + "\n" : "");
}

}  // namespace

void build_score(CLI::App& command, int&) {
  auto a = std::make_shared<Arguments>();
  command.add_option("model", a->model, "model folder or .gguf file")->required();
  command.add_option("--tokens", a->tokens, "JSON file: {\"input_ids\": [[…], …], \"attention_mask\"?, \"decoder_input_ids\"?, \"labels\"?, …}")->required();
  command.add_option("--logits", a->logits, "safetensors file to write: logits f32 [batch, length, vocabulary] or what the model's heads give, and what else is asked for")->required();
  command.add_option("--loss", a->options.loss, "also the loss of this objective, for example causal");
  command.add_option("--grads", a->grads, "safetensors file to write: the gradient of the loss for every parameter");
  command.add_flag("--hidden-states", a->options.hidden_states, "also hidden_states.N: the embedding, then after each layer");
  command.add_flag("--router-logits", a->options.router_logits, "also router_logits.N of each routing layer");
  command.add_flag("--drafts", a->drafts, "also how often greedy decoding would accept what heads for further tokens draft along this text");
  command.add_option("--record-routing", a->record, "safetensors file to write: the experts that each router chose");
  command.add_option("--replay-routing", a->replay, "such a file: its choices are enforced instead of the routers' own");
  add_dtype(command, a->dtype);
  add_json(command, a->json);
  command.callback([a] { run(*a); });
}

}  // namespace gamut
