// The head of the page: question, answer, what equal loss costs, and what was held equal.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lab/report/sections.h"
#include "lab/report/verdict.h"

namespace gamut {
namespace {

Text facts_line(const Json& study) {
  std::vector<Text> facts;
  if (member(study, "example") == true) facts.push_back(say(Say::example_figures));
  if (const auto& tier = member(study, "tier"); tier.is_string()) facts.push_back(say(Say::tier_name, {tier.get<std::string>()}));
  if (const size_t seeds = member(study, "seeds").size()) {
    facts.push_back(seeds == 1 ? say(Say::one_seed_a_side) : say(Say::seeds_a_side, {std::to_string(seeds)}));
  }
  if (const Text budget = text_of(member(study, "budget")); !budget.empty()) facts.push_back(budget);
  if (const auto ratio = number(study, "tokens_per_active_weight")) {
    facts.push_back(say(Say::tokens_per_weight, {fixed(*ratio, *ratio < 10 ? 1 : 0)}));
  }
  const Json& machine = member(study, "machine");
  if (const auto elapsed = number(study, "elapsed")) {
    Text where = duration_text(*elapsed);
    if (const auto cores = number(machine, "cores")) where = say(Say::time_on_cores, {where, fixed(*cores, 0)});
    if (const auto& tier = member(machine, "tier"); tier.is_string()) where += Text(" (" + tier.get<std::string>() + ")");
    facts.push_back(where);
  }
  Text line;
  for (const Text& fact : facts) line += line.empty() ? fact : Text(" · ") + fact;
  return line;
}

std::string switches() {
  return "<nav class=\"switches\" aria-label=\"Language, theme\"><span class=\"group\">" +
         radio("lang", "lang-en", "English", true) + radio("lang", "lang-zh", "中文", false) + "</span><span class=\"group\">" +
         radio("theme", "theme-auto", say(Say::theme_auto), true) + radio("theme", "theme-light", say(Say::theme_light), false) +
         radio("theme", "theme-dark", say(Say::theme_dark), false) + "</span></nav>";
}

std::string headline(const Json& study) {
  std::string html = "<p class=\"answer\">";
  for (const Phrase& phrase : verdict_phrases(study)) {
    switch (phrase.kind) {
      case Phrase::plain:
        html += in_both(phrase.text);
        break;
      case Phrase::arm:
        [[fallthrough]];
      case Phrase::number:
        html += "<b class=\"ink " + arm_class(phrase.slot) + "\">" + in_both(phrase.text) + "</b>";
        break;
      case Phrase::interval:
        html += "<span class=\"interval\">" + in_both(phrase.text) + "</span>";
        break;
      case Phrase::unresolved:
        html += "<b class=\"grey\">" + in_both(phrase.text) + "</b>";
        break;
      case Phrase::warning:
        html += "<b class=\"amber\">" + in_both(phrase.text) + "</b>";
        break;
    }
  }
  return html + "</p>\n";
}

// Ratio and interval on a log axis around 1×, from ¼ to 4 unless the interval needs more.
std::string ratio_axis(const Json& ratio, int slot) {
  constexpr double kWidth = 200, kHeight = 44, kRule = 26;
  const double estimate = *number(ratio, "estimate");
  const double low = number(ratio, "low").value_or(estimate), high = number(ratio, "high").value_or(estimate);
  int reach = 2;
  while (reach < 4 && (estimate > std::exp2(reach) || estimate < std::exp2(-reach))) ++reach;
  const Axis axis(Scale::log, {std::exp2(-reach), std::exp2(reach)}, {12, kWidth - 12});
  Svg svg(kWidth, kHeight, "ratio", "");
  svg.line({axis(std::exp2(-reach)), kRule}, {axis(std::exp2(reach)), kRule}, "grid");
  for (int power = -reach; power <= reach; ++power) {
    static constexpr const char* kNames[] = {"1/16", "⅛", "¼", "½", "1×", "2", "4", "8", "16"};
    const double x = axis(std::exp2(power));
    svg.line({x, kRule - 3}, {x, kRule + 3}, "grid");
    svg.text(kNames[power + 4], {x, kRule + 15, Anchor::middle}, 10, "tick");
  }
  svg.line({axis(1), 2}, {axis(1), kRule}, "neutral");
  const std::string ink = member(ratio, "resolved") == true ? arm_class(slot) : "unresolved";
  const auto inside = [&](double v) { return std::clamp(axis(std::clamp(v, 1e-9, 1e9)), 4.0, kWidth - 4); };
  svg.line({inside(low), 12}, {inside(high), 12}, "whisker " + ink);
  svg.raw(fmt::format("<circle class=\"mark {}\" cx=\"{}\" cy=\"12\" r=\"4.5\"/>", ink, coordinate(inside(estimate))));
  std::string drawn = svg.finish();
  // The tile says the same in figures.
  const std::string described = "role=\"img\" aria-labelledby=\"\"";
  return drawn.replace(drawn.find(described), described.size(), "aria-hidden=\"true\"");
}

bool has_axis(const Json& study, const char* axis) {
  const Compared compared = compared_arms(study);
  return compared.baseline && compared.treatment && !mean_curve(*compared.baseline, axis).x.empty() &&
         !mean_curve(*compared.treatment, axis).x.empty();
}

std::string tile(const Page& page, const char* axis, const Text& title, const Text& kind) {
  const Json& ratio = member(member(page.comparison(), "ratios"), axis);
  const int slot = compared_arms(page.study).treatment_slot;
  std::string html = "<div class=\"tile\"><h3>" + in_both(title) + "</h3>";
  if (!number(ratio, "estimate")) {
    const Json& gap = member(page.comparison(), "gap");
    const double apart = number(gap, "estimate").value_or(0);
    const Text note = say(apart >= 0 ? Say::verdict_ends_higher : Say::verdict_ends_lower, {fixed(std::abs(apart), 3)});
    if (!has_axis(page.study, axis))
      return html + "<p class=\"big grey\">–</p><p class=\"note\">" + in_both(say(Say::not_measured)) + "</p></div>\n";
    return html + "<p class=\"big grey\">–</p><p class=\"note\">" + in_both(say(Say::tile_not_reached)) +
           "</p><p class=\"note\">" + in_both(note) + "</p></div>\n";
  }
  const bool resolved = member(ratio, "resolved") == true;
  html += fmt::format("<p class=\"big {}\">{}</p>{}", resolved ? "ink " + arm_class(slot) : "grey",
                      escape_html(ratio_text(*number(ratio, "estimate"))), ratio_axis(ratio, slot));
  const bool exact = number(ratio, "n").value_or(0) < 2 && std::string(axis) == "memory";
  Text note = exact ? kind : interval_text(ratio, 2) + Text(" ") + (resolved ? kind : say(Say::not_resolved));
  return html + "<p class=\"note\">" + in_both(note) + "</p></div>\n";
}

}  // namespace

std::string draw_verdict(Page& page) {
  const Json& study = page.study;
  std::string html = "<header><div class=\"top\"><h1>" + in_both(text_of(study.at("title"))) + "</h1>" + switches() + "</div>\n";
  html += "<p class=\"meta\">" + in_both(facts_line(study)) + "</p>\n" + headline(study) + "</header>\n";
  if (member(page.comparison(), "ratios").is_object()) {
    const auto seeds = static_cast<int>(number(page.comparison(), "seeds").value_or(0));
    const Json& memory = member(member(page.comparison(), "ratios"), "memory");
    const bool measured = string_or(memory, "source", "ram_measured") == "ram_measured";
    html += "<div class=\"tiles\">" +
            tile(page, "tokens", say(Say::tile_tokens), say(Say::tile_paired, {std::to_string(seeds)})) +
            tile(page, "flops", say(Say::tile_flops), say(Say::tile_counted)) +
            tile(page, "seconds", say(Say::tile_seconds), say(Say::tile_training_only));
    if (memory.is_object())
      html += tile(page, "memory", say(Say::tile_memory), say(measured ? Say::tile_peak_measured : Say::tile_peak_predicted));
    html += "</div>\n";
  }
  if (const Text question = text_of(member(study, "question")); !question.empty())
    html += "<p class=\"question\">" + in_both(question) + "</p>\n";
  return html;
}

std::string draw_held_equal(Page& page) {
  const Json& rows = member(page.study, "held_equal");
  if (rows.empty()) return "";
  std::vector<Fact> facts;
  for (const Json& row : rows)
    facts.push_back({text_of(row.at("what")), in_both(text_of(row.at("value"))), member(row, "mismatch") == true});
  return heading(say(Say::held_equal_title)) + fact_list(facts);
}

}  // namespace gamut
