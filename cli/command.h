// Commands of `gamut`: each is one file in cli/commands/ and one row in cli/registry.cpp.
#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace gamut {

struct Command {
  std::string name;
  std::string meaning;   // one line
  std::vector<std::string> examples;  // two or more that run as they stand
  // Adds options to the subcommand and a callback, which prints the result on stdout and sets the exit code if it is not 0.
  void (*build)(CLI::App& command, int& code);
};
const std::vector<Command>& commands();

// What most commands take: one name, key=value settings, --json.
struct NamedArguments {
  std::string name;
  std::vector<std::string> settings;
  bool json = false;
};
void take_named(CLI::App& command, NamedArguments& a, const char* what, const char* help, bool required = true);

// Options of the same name mean the same everywhere.
void add_json(CLI::App& command, bool& json);
DataOptions take_data_settings(const std::vector<std::string>& settings);  // data.recipe=…, data.path=… and the other keys of [data]
void add_dtype(CLI::App& command, std::string& dtype);  // type of activations: f32, bf16, f64; empty: as the model says

void build_bench(CLI::App& command, int& code);
void build_completion(CLI::App& command, int& code);
void build_data(CLI::App& command, int& code);
void build_diff(CLI::App& command, int& code);
void build_doctor(CLI::App& command, int& code);
void build_downcycle(CLI::App& command, int& code);
void build_embed(CLI::App& command, int& code);
void build_explain(CLI::App& command, int& code);
void build_generate(CLI::App& command, int& code);
void build_inspect(CLI::App& command, int& code);
void build_lab(CLI::App& command, int& code);
void build_routing(CLI::App& command, int& code);
void build_score(CLI::App& command, int& code);
void build_tokenizer(CLI::App& command, int& code);
void build_train(CLI::App& command, int& code);
void build_upcycle(CLI::App& command, int& code);

}  // namespace gamut
