// The tree of commands: examples parse, names are hinted at, the glossary covers what files hold.
#include "cli/app.h"

#include <CLI/CLI.hpp>
#include <set>

#include "cli/command.h"
#include "cli/glossary.h"
#include "temp_folder.h"
#include "training/recipe.h"

namespace gamut {
namespace {

// A command's callback owns the variables its options write to: it is put aside, not dropped.
struct Silenced : CLI::App {
  static void silence(CLI::App& command) {
    static std::vector<std::function<void()>> aside;
    aside.push_back(std::exchange(command.*(&Silenced::final_callback_), {}));
    for (CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) silence(*sub);
  }
};

// A tree whose commands do nothing.
std::unique_ptr<CLI::App> idle_app() {
  static int code = 0;
  auto app = make_app(code);
  Silenced::silence(*app);
  return app;
}

std::string complaint_about(const std::string& line) {
  const auto app = idle_app();
  try {
    app->parse(line, true);
  } catch (const CLI::ParseError& error) {
    return explain_parse_error(*app, error);
  }
  return "";
}

TEST(App, EveryCommandHasExamplesThatParse) {
  for (const Command& command : commands()) {
    EXPECT_GE(command.examples.size(), 2u) << command.name;
    for (const std::string& example : command.examples) {
      const size_t begin = example.find("gamut " + command.name), end = example.find(" > ");  // what stands before and after is the shell's
      ASSERT_NE(begin, std::string::npos) << example;
      const std::string line = example.substr(begin, end == std::string::npos ? end : end - begin);
      EXPECT_EQ(complaint_about(line), "") << example;
    }
  }
}

TEST(App, EveryCommandAndOptionSaysWhatItIs) {
  const auto app = idle_app();
  for (const CLI::App* sub : std::as_const(*app).get_subcommands([](const CLI::App*) { return true; })) {
    EXPECT_FALSE(sub->get_description().empty()) << sub->get_name();
    for (const CLI::Option* option : sub->get_options()) EXPECT_FALSE(option->get_description().empty()) << sub->get_name() << " " << option->get_name();
  }
}

TEST(App, NamesAreHintedAt) {
  EXPECT_EQ(complaint_about("gamut trian x"), "gamut: unknown command 'trian'. Hint: did you mean 'train'?");
  EXPECT_EQ(complaint_about("gamut score m --lgits x"), "gamut score: unknown option '--lgits'. Hint: did you mean '--logits'?");
  EXPECT_EQ(complaint_about("gamut doctor --thread=2"), "gamut doctor: unknown option '--thread'. Hint: did you mean '--threads'?");
  EXPECT_EQ(complaint_about("gamut doctor now"), "gamut doctor: 'now' is one argument too many. Hint: see gamut doctor --help");
  EXPECT_TRUE(contains(complaint_about("gamut zzzzzzzzzzzz"), "known: lab, train"));
  EXPECT_TRUE(contains(complaint_about("gamut score"), "model is required"));
}

TEST(App, ThreadsMayStandAnywhere) {
  EXPECT_EQ(complaint_about("gamut doctor --threads 2"), "");
  EXPECT_EQ(available_threads().threads, 2);
  EXPECT_EQ(complaint_about("gamut --threads 3 doctor"), "");
  EXPECT_EQ(available_threads().threads, 3);
  EXPECT_ERROR(complaint_about("gamut doctor --threads 0"), "from 1 to 4096, not 0");
}

TEST(Glossary, HoldsEverySettingOnce) {
  const Recipe recipe = read_recipe(GAMUT_SOURCE_DIR "/recipes/tiny-dense.toml", {});
  std::set<std::string> names;
  for (const GlossaryEntry& entry : glossary()) EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
  for (const auto& [table, keys] : recipe.resolved.items()) {
    if (table == "model") continue;  // components explain their own options
    for (const auto& [key, value] : keys.items()) EXPECT_TRUE(names.contains(table + "." + key)) << table << "." << key;
  }
}

}  // namespace
}  // namespace gamut
