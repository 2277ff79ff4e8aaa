// What a study measured beside its curves: charts it describes itself, and the standings of more than two arms.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lab/report/sections.h"

namespace gamut {
namespace {

std::vector<double> numbers(const Json& values) {
  std::vector<double> out;
  for (const Json& v : values) out.push_back(v.is_number() ? v.get<double>() : std::numeric_limits<double>::quiet_NaN());
  return out;
}

struct Drawn {
  const Json* arm;
  int slot;
  std::vector<double> x, y;
};

// The axis's own range, else that of the data with a margin.
Range range_of(const Json& axis, const std::vector<Drawn>& series, bool of_x) {
  const bool log = string_or(axis, "scale", "linear") == "log";
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Drawn& s : series)
    for (const double v : of_x ? s.x : s.y)
      if (std::isfinite(v) && (!log || v > 0)) {
        low = std::min(low, v);
        high = std::max(high, v);
      }
  if (!(low <= high)) return {1, 2};
  if (log) {
    const double margin = std::max(1.15, std::pow(high / low, 0.06));
    low /= margin;
    high *= margin;
  } else {
    const double margin = std::max(0.06 * (high - low), 1e-9 + 0.02 * std::abs(high));
    low -= margin;
    high += margin;
  }
  return {number(axis, "low").value_or(low), number(axis, "high").value_or(high)};
}

std::string draw_plot(Page& page, const Json& plot_json) {
  const Json &x_axis = plot_json.at("x"), &y_axis = plot_json.at("y");
  const auto scale = [](const Json& axis) { return string_or(axis, "scale", "linear") == "log" ? Scale::log : Scale::linear; };
  const std::string id = plot_json.at("id");
  std::vector<Drawn> series;
  for (const Json& s : plot_json.at("series"))
    if (const Json* arm = arm_with_id(page.study, s.at("arm"))) series.push_back({arm, slot_of(page.study, *arm), numbers(s.at("x")), numbers(s.at("y"))});
  Plot plot({.id = "plot-" + id, .classes = "", .described_by = alternative_id("plot-" + id), .width = 500, .height = 320, .left = 44, .right = 12, .top = 12, .bottom = 42, .x_scale = scale(x_axis),
             .x = range_of(x_axis, series, true), .y_scale = scale(y_axis), .y = range_of(y_axis, series, false), .font = 11});
  plot.y_grid(tick_label);
  plot.x_ticks(tick_label, text_of(x_axis.at("name")));
  Table table({{say(Say::column_arm)}, {text_of(x_axis.at("name")), true}, {text_of(y_axis.at("name")), true}});
  Text words = text_of(plot_json.at("title")) + Text(".", "。");
  double along = 0.2;
  for (const Drawn& s : series) {
    const std::string arm = arm_class(s.slot);
    plot.line(s.x, s.y, arm);
    plot.read_out(short_name(*s.arm), arm, s.x, s.y);
    for (size_t i = 0; i < std::min(s.x.size(), s.y.size()); ++i) {
      if (std::isfinite(s.x[i]) && std::isfinite(s.y[i])) plot.svg().marker(plot.at(s.x[i], s.y[i]), s.slot, 3.2, "");
      table.row({in_both(short_name(*s.arm)), fmt::format("{:.4g}", s.x[i]), fmt::format("{:.4g}", s.y[i])});
    }
    if (!s.y.empty()) words += Text(" ") + say(Say::plot_words_arm, {short_name(*s.arm), fmt::format("{:.3g}", s.y.front()), fmt::format("{:.3g}", s.x.front()), fmt::format("{:.3g}", s.y.back()), fmt::format("{:.3g}", s.x.back())});
  }
  for (const Drawn& s : series) plot.direct_label(short_name(*s.arm), s.x, s.y, along = along > 0.8 ? 0.2 : along + 0.14, arm_class(s.slot));
  page.charts.push_back(plot.script_data(text_of(x_axis.at("name"))));
  return "<section class=\"plots\">\n" + heading(text_of(plot_json.at("title")), text_of(member(plot_json, "caption"))) + "<p class=\"unit\">" + in_both(text_of(y_axis.at("name"))) + "</p>\n" +
         figure("plot-" + id, plot.finish(), words, table) + "</section>\n";
}

}  // namespace

std::string draw_plots(Page& page) {
  const Json& plots = member(page.study, "plots");
  std::string html;
  for (size_t i = 0; i < plots.size(); i += 2) {  // two stand side by side
    const bool pair = i + 1 < plots.size();
    const std::string first = draw_plot(page, plots[i]);
    html += pair ? "<div class=\"halves\">\n" + first + draw_plot(page, plots[i + 1]) + "</div>\n" : first;
  }
  return html;
}

std::string draw_tables(Page& page) {
  std::string html;
  for (const Json& described : member(page.study, "tables")) {
    std::vector<Table::Column> columns;
    for (const Json& column : described.at("columns")) columns.push_back({text_of(column), !columns.empty()});
    Table table(columns);
    for (const Json& row : described.at("rows")) {
      std::vector<std::string> cells;
      const Json& who = row.at("arm");
      if (const Json* arm = who.is_string() ? arm_with_id(page.study, who) : nullptr) cells.push_back(fmt::format("<span class=\"dot {}\"></span>{}", arm_class(slot_of(page.study, *arm)), in_both(full_name(*arm))));
      else cells.push_back(in_both(text_of(who)));
      for (const Json& cell : row.at("cells")) cells.push_back(cell.is_null() ? "–" : in_both(text_of(cell)));
      table.row(cells);
    }
    const std::string id = described.at("id");
    html += heading(text_of(described.at("title")), text_of(member(described, "caption"))) + "<div id=\"" + id + "\">" + table.html() + "<button type=\"button\" class=\"copy\" data-copy=\"" + id + "\">" +
            in_both(say(Say::copy_csv)) + "</button></div>";
  }
  return html;
}

std::string draw_standings(Page& page) {
  const Json& rows = member(page.study, "standings");
  if (rows.empty()) return "";
  std::vector<const Json*> differences;
  for (const Json& row : rows)
    if (row.contains("difference")) differences.push_back(&row.at("difference"));
  const Forest forest = forest_of(differences, final_noise(page));
  Table table({{say(Say::column_arm)}, {say(Say::bits_per_byte), true}, {say(Say::standings_difference)}, {say(Say::column_interval), true}, {"", false, "drawn"}, {say(Say::standings_state), true, "roomy"}}, "forests");
  for (const Json& row : rows) {
    const Json* arm = arm_with_id(page.study, row.at("arm"));
    if (!arm) continue;
    const int slot = slot_of(page.study, *arm);
    const bool differs = row.contains("difference");
    const auto state = number(row, "state_bytes");
    table.row({fmt::format("<span class=\"dot {}\"></span>{}", arm_class(slot), in_both(full_name(*arm))), fixed(number(row, "bpb").value_or(NAN), 4),
               differs ? in_both(better_or_worse(row.at("difference"), short_name(*arm))) : in_both(say(Say::standings_baseline)),
               differs ? escape_html(signed_fixed(number(row.at("difference"), "estimate").value_or(NAN), 4)) + " " + in_both(interval_text(row.at("difference"), 4, true)) : "",
               differs ? forest_row(forest, row.at("difference"), slot) : "", state ? in_both(bytes_text(*state)) : "–"});
  }
  return heading(say(Say::standings_title), say(Say::standings_caption)) + table.html();
}

}  // namespace gamut
