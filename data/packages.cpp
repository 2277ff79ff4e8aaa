#include "data/packages.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "data/cache.h"
#include "data/process.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

constexpr const char* kOwnText = "use your own text with data.path=FOLDER (plain text, Markdown or JSONL), or check the network";

void stop_if_interrupted() {
  if (const int signal = interrupted())
    throw Error({.who = "data", .what = "interrupted", .exit = static_cast<Exit>(128 + signal)});
}

// apt-get's own complaint, in one line.
std::string complaint(const Finished& run) {
  if (run.status == 127) return run.output;
  std::string last;
  for (const std::string& line : split(run.output, '\n'))
    if (line.starts_with("E: ") && last.size() < 160) last += (last.empty() ? "" : "; ") + line.substr(3);
  return last.empty() ? "exit status " + std::to_string(run.status) : last;
}

std::optional<DebianPackage> in_folder(const std::string& name, const fs::path& folder) {
  std::vector<fs::path> found;  // NAME_VERSION_ARCHITECTURE.deb
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().filename().string().starts_with(name + "_") && entry.path().extension() == ".deb") found.push_back(entry.path());
  if (found.empty()) return std::nullopt;
  const fs::path file = *std::max_element(found.begin(), found.end());
  std::string version = split(file.filename().string(), '_').at(1);
  if (const size_t colon = version.find("%3a"); colon != std::string::npos) version.replace(colon, 3, ":");
  return DebianPackage{name, version, file};
}

std::optional<DebianPackage> find_package(const std::string& name, const fs::path& packages) {
  std::optional<DebianPackage> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(packages, error))
    if (entry.is_directory() && entry.path().filename() == name) found = in_folder(name, entry.path());
  return found;
}

}  // namespace

DebianPackage fetch_package(const std::string& name, const fs::path& cache) {
  const fs::path packages = cache / "packages";
  if (const auto found = find_package(name, packages)) return *found;
  const std::vector<std::string> apt = {"apt-get", "-q", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=20",
                                        "-o", "APT::Sandbox::User=root"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = apt;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  make_once(packages / name, [&](const fs::path& aside) {
    log::info("data: downloading Debian package {}", name);
    Finished run = run_program(with({"download", name}), aside);
    stop_if_interrupted();
    if (run.status != 0 && run.status != 127) {
      // The machine's package lists are missing or old. Lists of our own need no rights.
      const fs::path own = fs::absolute(cache) / "apt";
      make_folder(own / "lists" / "partial");
      make_folder(own / "archives" / "partial");
      const std::vector<std::string> places = {"-o", "Dir::State::Lists=" + (own / "lists").string(), "-o", "Dir::Cache=" + own.string()};
      const auto placed = [&](std::vector<std::string> command) {
        command.insert(command.end(), places.begin(), places.end());
        return with(command);
      };
      log::info("data: reading package lists");
      run_program(placed({"update"}), aside);
      stop_if_interrupted();
      run = run_program(placed({"download", name}), aside);
      stop_if_interrupted();
    }
    if (run.status != 0 || !in_folder(name, aside))
      throw Error({.who = "data", .what = "cannot download Debian package '" + name + "': " + complaint(run), .hint = kOwnText});
  });
  const auto found = find_package(name, packages);
  if (!found) throw Error({.who = "data", .what = "holds no package", .where = (packages / name).string(), .hint = "delete that folder"});
  return *found;
}

void with_unpacked(const DebianPackage& package, const fs::path& scratch, const std::function<void(const fs::path& root)>& use) {
  const fs::path root = scratch / package.name;
  make_folder(root);
  const Finished run = run_program({"dpkg-deb", "-x", fs::absolute(package.file).string(), "."}, root);
  stop_if_interrupted();
  if (run.status != 0)
    throw Error({.who = "data", .what = "cannot unpack: " + (run.status == 127 ? run.output : std::string(trim(run.output))),
                 .where = package.file.string(), .hint = "delete that file's folder to download it again"});
  use(root);
  std::error_code ignored;
  fs::remove_all(root, ignored);
}

}  // namespace gamut
