#include <CLI/CLI.hpp>

#include "base/toml.h"
#include "cli/command.h"

namespace gamut {

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {"lab", "A controlled comparison that ends with a report.",
       {"gamut lab dense-vs-moe tier=smoke out=reports/first", "gamut lab dense-vs-moe data.path=my-texts"},
       build_lab},
      {"train", "Train a model as a recipe says; a stopped run goes on by itself.",
       {"gamut train recipes/tiny-dense.toml run.dir=runs/a", "gamut train recipes/tiny-moe.toml run.dir=runs/b optimizer.lr=2e-3"},
       build_train},
      {"upcycle", "Make a mixture of experts from a dense model; says how far its logits are from the parent's.",
       {"gamut upcycle runs/a/model runs/a/moe experts=8 top_k=2", "gamut upcycle runs/a/model runs/a/fine experts=16 granularity=2 top_k=4 every=2 --json"},
       build_upcycle},
      {"downcycle", "Make a dense model, or one with fewer experts, from a mixture, by what its experts do on some text.",
       {"gamut downcycle runs/b/model runs/b/dense --text book.txt method=merge", "gamut downcycle runs/b/model runs/b/half --text book.txt method=prune experts=4"},
       build_downcycle},
      {"generate", "Let a model go on from a text.",
       {"gamut generate runs/a/model --prompt \"It is a truth\"", "gamut generate runs/a/model --prompt \"It is a truth\" --greedy --max-new-tokens 40 --json"},
       build_generate},
      {"score", "Logits, loss and gradients of a model on given tokens, for comparing with any other implementation.",
       {"gamut score runs/a/model --tokens tokens.json --logits logits.safetensors --dtype f32",
        "gamut score runs/a/model --tokens tokens.json --logits logits.safetensors --loss causal --grads grads.safetensors --json"},
       build_score},
      {"routing", "Which experts take which tokens: balance, experts that go together, specialisation by domain and token against chance, what changed since a checkpoint.",
       {"gamut routing runs/b/model --text novels=novels.txt --text code=code.txt", "gamut routing runs/b/model --text book.txt --against runs/b/checkpoints/step-1000 --json"},
       build_routing},
      {"embed", "One vector for each text: the model's last hidden states, pooled as its folder says.",
       {"gamut embed all-MiniLM-L6-v2 --text \"A cat sat on the mat.\" --text \"A dog lay on the rug.\" --json", "cat sentences.txt | gamut embed all-MiniLM-L6-v2 --out vectors.safetensors"},
       build_embed},
      {"inspect", "Parameters, FLOPs and memory of a model or recipe.",
       {"gamut inspect recipes/tiny-moe.toml", "gamut inspect recipes/tiny-dense.toml model.layers=8 --json", "gamut inspect runs/a/model --rows 16 --context 512"},
       build_inspect},
      {"tokenizer", "Train a tokenizer, turn text into token ids and back.",
       {"gamut tokenizer train my-tokenizer data.path=my-texts data.vocab_size=8192", "echo '\"Hello there\"' | gamut tokenizer encode my-tokenizer --no-special",
        "echo '[72, 101]' | gamut tokenizer decode my-tokenizer"},
       build_tokenizer},
      {"data", "Text for training: recipes, prepared datasets and what they hold.",
       {"gamut data", "gamut data prepare my-data data.recipe=tiny data.vocab_size=4096", "gamut data stats my-texts --json"},
       build_data},
      {"bench", "Kernels, training and generation against the limits of this machine.",
       {"gamut bench peak", "gamut bench attention --threads 1", "gamut bench train config.json tokens=8192 seq=256 --json"},
       build_bench},
      {"diff", "Where two models, checkpoints or runs first disagree, and by how much at most. Exit code 1 when they differ.",
       {"gamut diff runs/a runs/b", "gamut diff runs/a/model runs/b/model --tolerance 1e-6 --json"},
       build_diff},
      {"explain", "What a component, metric or setting means: equation, options, source.",
       {"gamut explain", "gamut explain moe", "gamut explain bits_per_byte"},
       build_explain},
      {"doctor", "What this machine offers and what Gamut uses of it.",
       {"gamut doctor", "gamut doctor --json"},
       build_doctor},
      {"completion", "A script that lets a shell complete Gamut's commands and options.",
       {"gamut completion bash > ~/.local/share/bash-completion/completions/gamut", "gamut completion zsh > ~/.zfunc/_gamut", "gamut completion fish > ~/.config/fish/completions/gamut.fish"},
       build_completion},
  };
  return all;
}

void take_named(CLI::App& command, NamedArguments& a, const char* what, const char* help, bool required) {
  command.add_option(what, a.name, help)->required(required);
  command.add_option("settings", a.settings, "key=value …");
  add_json(command, a.json);
}

DataOptions take_data_settings(const std::vector<std::string>& settings) {
  ConfigDocument document{Json::object(), {.source = "command line"}};
  for (const std::string& setting : settings) apply_override(document, setting);
  Config all(document.value, document.origin), data = all.sub("data");
  const DataOptions options = DataOptions::take(data);
  data.finish();
  all.finish();
  return options;
}

void add_json(CLI::App& command, bool& json) { command.add_flag("--json", json, "machine-readable result on stdout"); }

void add_dtype(CLI::App& command, std::string& dtype) {
  command.add_option("--dtype", dtype, "type of activations: f32, bf16 or f64; default: as the model says")->check(CLI::IsMember({"f32", "bf16", "f64"}));
}

}  // namespace gamut
