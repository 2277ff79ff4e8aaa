#include "lab/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/io.h"
#include "lab/report/sections.h"

namespace gamut {
namespace {

constexpr const char* kStyle =
#include "lab/report/style.css.inl"
    ;
constexpr const char* kDark =
#include "lab/report/dark.css.inl"
    ;
constexpr const char* kScript =
#include "lab/report/script.js.inl"
    ;

// Of all heatmaps in the embedded figures, and steps of one; the raw metrics hold all.
constexpr size_t kLoadNumbers = 60000;
constexpr size_t kLoadSteps = 64;

void round_numbers(Json& value, int digits) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    value = std::isfinite(number) ? Json(std::stod(fmt::format("{:.{}g}", number, digits))) : Json(nullptr);
  } else if (value.is_structured()) {
    for (Json& part : value) round_numbers(part, digits);
  }
}

// The study as the page carries it: six digits, heatmaps thinned, so that the file stays small whatever the run's length.
Json embedded(const Json& study) {
  Json copy = study;
  for (const auto& [key, digits] :
       {std::pair{"arms", 6}, std::pair{"comparison", 6}, std::pair{"loads", 4}, std::pair{"specialisation", 4}}) {
    if (copy.contains(key)) round_numbers(copy[key], digits);
  }
  if (copy.contains("loads")) {
    size_t experts = 1;
    for (const Json& load : copy["loads"]) experts += load.at("share").empty() ? 0 : load.at("share")[0].size();
    const size_t most = std::clamp<size_t>(kLoadNumbers / experts, 2, kLoadSteps);
    for (Json& load : copy["loads"]) {
      const size_t n = std::min(load.at("steps").size(), load.at("share").size());
      if (n <= most) continue;
      Json steps = Json::array(), share = Json::array();
      for (size_t i = 0; i < most; ++i) {
        steps.push_back(load["steps"][i * (n - 1) / (most - 1)]);
        share.push_back(load["share"][i * (n - 1) / (most - 1)]);
      }
      load["steps"] = steps;
      load["share"] = share;
    }
  }
  return copy;
}

// JSON inside <script>: no "<" may appear, and none needs to.
std::string script_json(const std::string& id, const Json& value) {
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string safe;
  for (const char c : text) {
    if (c == '<')
      safe += "\\u003c";
    else if (c == '>')
      safe += "\\u003e";
    else if (c == '&')
      safe += "\\u0026";
    else
      safe += c;
  }
  return "<script type=\"application/json\" id=\"" + id + "\">" + safe + "</script>\n";
}

std::vector<const Section*> sections_of(const Json& study) {
  std::vector<const Section*> chosen;
  const auto& known = default_sections();
  if (const Json& names = member(study, "sections"); names.is_array()) {
    for (const Json& name : names) {
      const auto found = std::find_if(known.begin(), known.end(), [&](const Section& s) { return name == s.name; });
      if (found == known.end()) throw Error({.who = "report", .what = "unknown section " + name.dump(), .where = "sections"});
      chosen.push_back(&*found);
    }
  } else {
    for (const Section& section : known) chosen.push_back(&section);
  }
  return chosen;
}

// Halves that follow each other stand side by side.
std::string lay_out(Page& page) {
  struct Drawn {
    const Section* section;
    std::string html;
  };
  std::vector<Drawn> drawn;
  for (const Section* section : sections_of(page.study)) {
    std::string html = section->draw(page);
    if (!html.empty()) drawn.push_back({section, std::move(html)});
  }
  std::string body;
  const auto one = [&](const Drawn& d, const char* classes = "") {
    return fmt::format("<section class=\"{}{}\">\n{}</section>\n", d.section->name, classes, d.html);
  };
  for (size_t i = 0; i < drawn.size(); ++i) {
    if (drawn[i].section->half && i + 1 < drawn.size() && drawn[i + 1].section->half) {
      body += "<div class=\"halves\">\n" + one(drawn[i]) + one(drawn[i + 1]) + "</div>\n";
      ++i;
    } else {
      body += one(drawn[i], drawn[i].section->half ? " alone" : "");
    }
  }
  return body;
}

// Style of arms beyond the first of each hue.
std::string further_slots() {
  static constexpr const char* kDashes[] = {"2 4", "7 2 7 5"};
  std::string css;
  for (int slot = kHues; slot < kSlots; ++slot)
    css += fmt::format(".s{0} {{ --c: var(--s{1}) }} .line.s{0} {{ stroke-dasharray: {2} }} .prices:has(#show-s{0}:not(:checked)) svg .s{0} {{ display: none }}\n", slot, slot % kHues, kDashes[slot / kHues - 1]);
  return css;
}

}  // namespace

const std::vector<Section>& default_sections() {
  static const std::vector<Section> kSections{{"verdict", false, draw_verdict},
                                              {"held-equal", false, draw_held_equal},
                                              {"standings", false, draw_standings},
                                              {"prices", false, draw_prices},
                                              {"speed-up", true, draw_speed_up},
                                              {"plots", false, draw_plots},
                                              {"tables", false, draw_tables},
                                              {"loads", true, draw_loads},
                                              {"specialisation", false, draw_specialisation},
                                              {"controls", false, draw_controls},
                                              {"domains", false, draw_domains},
                                              {"rates", true, draw_rates},
                                              {"trust", true, draw_trust},
                                              {"literature", false, draw_literature},
                                              {"cost", false, draw_cost},
                                              {"limits", false, draw_limits},
                                              {"provenance", false, draw_provenance}};
  return kSections;
}

std::string render_report(const Json& study) {
  try {
    Page page{study};
    const std::string body = lay_out(page);
    const Text title = text_of(study.at("title"));
    // The policy forbids every request, whatever a study's strings may hold.
    return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src "
           "'unsafe-inline'\"/>\n"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"color-scheme\" "
           "content=\"light dark\"/>\n"
           "<title>" +
           escape_html(title.en) + "</title>\n<style>\n" + kStyle + further_slots() +
           "@media screen and (prefers-color-scheme: dark) {\n  html:not(:has(#theme-light:checked)) {" + kDark +
           "}\n}\n@media screen {\n  html:has(#theme-dark:checked) {" + kDark + "}\n}\n</style>\n</head>\n<body>\n<main>\n" +
           body + "</main>\n" + script_json("study", embedded(study)) + script_json("charts", page.charts) +
           script_json("page", {{"title", {{"en", title.en}, {"zh", title.zh}}},
                                {"copied", {{"en", say(Say::copied).en}, {"zh", say(Say::copied).zh}}}}) +
           "<script>\n//<![CDATA[\n" + kScript + "\n//]]>\n</script>\n</body>\n</html>\n";
  } catch (const Json::exception& error) {
    throw Error(
        {.who = "report", .what = std::string("the study lacks a value or holds one of the wrong type: ") + error.what()});
  }
}

void write_report(const std::filesystem::path& path, const Json& study) { write_file(path, render_report(study)); }

}  // namespace gamut
