// What `gamut upcycle` and `gamut downcycle` share: a parent is loaded, a child made of it, compared with it, and written.
#pragma once

#include "base/toml.h"
#include "cli/command.h"
#include "families/family.h"
#include "generation/comparison.h"
#include "modules/conversions/conversion.h"

namespace gamut {

struct ConversionArguments {
  std::string model, out;
  std::vector<std::string> settings;
  bool json = false;
};
void take_conversion(CLI::App& command, ConversionArguments& a);

// The settings as a document of origin "command line".
ConfigDocument settings_document(const std::vector<std::string>& settings);

// In f32, whatever the folder's type: the child is written in that.
struct Parent {
  Parent(const ConversionArguments& a, const char* who);
  std::string dtype;
  ThreadPool pool;
  Device device;
  LoadedModel loaded;
  std::shared_ptr<const Tokenizer> tokenizer;  // null: the folder has none
};

// What is printed of a conversion that is done.
Json summary(const ConversionArguments& a, const Conversion& conversion, const Model& child);
// Largest difference that counts as rounding, as a share of the parent's largest result (at least of 1).
constexpr double kRounding = 1e-5;

}  // namespace gamut
