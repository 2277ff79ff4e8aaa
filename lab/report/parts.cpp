#include "lab/report/parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "lab/report/study.h"

namespace gamut {

std::string fixed(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  std::string text = fmt::format("{:.{}f}", value, digits);
  if (text.find_first_not_of("-0.") == std::string::npos && text[0] == '-') text.erase(0, 1);  // no −0.00
  if (text[0] == '-') text.replace(0, 1, "−");
  return text;
}

std::string signed_fixed(double value, int digits) {
  const std::string text = fixed(value, digits);
  return value > 0 && text.find_first_not_of("0.") != std::string::npos ? "+" + text : text;
}

std::string ratio_text(double ratio) { return fixed(ratio, std::abs(ratio) < 9.995 ? 2 : 1) + "×"; }

Text interval_text(const Json& ratio, int digits, bool sign) {
  const auto low = number(ratio, "low"), high = number(ratio, "high");
  if (!low || !high) return say(Say::one_seed_interval);
  const auto show = [&](double v) { return sign ? signed_fixed(v, digits) : fixed(v, digits); };
  return "[" + show(*low) + ", " + show(*high) + "]";
}

Text count_text(double n) {
  const std::string compact = human_count(n);
  const size_t unit = compact.find_first_not_of("0123456789.-");
  return unit == std::string::npos ? compact : compact.substr(0, unit) + " " + compact.substr(unit);
}

Text bytes_text(double bytes) { return human_bytes(bytes); }

Text duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (seconds < 9.95) return say(Say::duration_s, {fixed(seconds, 1)});
  if (whole < 60) return say(Say::duration_s, {std::to_string(whole)});
  if (whole < 3600) return say(Say::duration_min_s, {std::to_string(whole / 60), fmt::format("{:02}", whole % 60)});
  return say(Say::duration_h_min, {std::to_string(whole / 3600), fmt::format("{:02}", whole % 3600 / 60)});
}

Text power_text(double value) {
  if (!(value > 0) || !std::isfinite(value)) return fixed(value, 0);
  const Unit unit = unit_for("flops", value);
  std::string power = unit.name.en;
  power.resize(power.find(' '));
  return fixed(value / unit.divisor, 2) + "·" + power;
}

std::string heading(const Text& title, const Text& caption, const std::string& tools) {
  std::string html = "<div class=\"head\"><h2>" + in_both(title) + "</h2>";
  if (!tools.empty()) html += "<div class=\"tools\">" + tools + "</div>";
  html += "</div>";
  if (!caption.empty()) html += "<p class=\"caption\">" + in_both(caption) + "</p>";
  return html + "\n";
}

std::string radio(const std::string& group, const std::string& id, const Text& label, bool checked) {
  return fmt::format("<label class=\"switch\"><input type=\"radio\" name=\"{}\" id=\"{}\"{}/><span>{}</span></label>", group, id,
                     checked ? " checked=\"checked\"" : "", in_both(label));
}

std::string checkbox(const std::string& id, const Text& label, bool checked, const std::string& classes) {
  return fmt::format("<label class=\"switch {}\"><input type=\"checkbox\" id=\"{}\"{}/><span>{}</span></label>", classes, id,
                     checked ? " checked=\"checked\"" : "", in_both(label));
}

void Table::row(const std::vector<std::string>& cells, const std::string& classes) {
  rows_ += classes.empty() ? "<tr>" : "<tr class=\"" + classes + "\">";
  for (size_t i = 0; i < cells.size(); ++i) {
    const Column& column = columns_.at(i);
    std::string kind = column.figures ? "figures" : "";
    if (!column.classes.empty()) kind += (kind.empty() ? "" : " ") + column.classes;
    const std::string attributes = kind.empty() ? "" : " class=\"" + kind + "\"";
    rows_ += i == 0 && !column.figures ? fmt::format("<th scope=\"row\"{}>{}</th>", attributes, cells[i])
                                       : fmt::format("<td{}>{}</td>", attributes, cells[i]);
  }
  rows_ += "</tr>\n";
}

std::string Table::html() const {
  std::string head;
  for (const Column& column : columns_) {
    const std::string kind = (column.figures ? "figures " : "") + column.classes;
    head += fmt::format("<th scope=\"col\" class=\"{}\">{}</th>", kind, in_both(column.head));
  }
  return fmt::format("<div class=\"scroll\"><table class=\"{}\"><thead><tr>{}</tr></thead><tbody>\n{}</tbody></table></div>\n",
                     classes_, head, rows_);
}

std::string alternative_id(const std::string& figure_id) { return figure_id + "-words"; }

std::string figure(const std::string& id, const std::string& charts, const Text& alternative, const Table& data) {
  return fmt::format(
      "<figure id=\"{0}\">{1}<details class=\"data\"><summary>{2}</summary><p id=\"{3}\">{4}</p>{5}"
      "<button type=\"button\" class=\"copy\" data-copy=\"{0}\">{6}</button></details></figure>\n",
      id, charts, in_both(say(Say::words_and_numbers)), alternative_id(id), in_both(alternative), data.html(),
      in_both(say(Say::copy_csv)));
}

std::string fact_list(const std::vector<Fact>& facts, const std::string& classes) {
  std::string html = "<dl class=\"facts " + classes + "\">";
  for (const Fact& fact : facts) {
    html += fmt::format("<div{}><dt>{}</dt><dd>{}</dd></div>\n", fact.warns ? " class=\"warns\"" : "", in_both(fact.name),
                        fact.value);
  }
  return html + "</dl>\n";
}

Forest forest_of(const std::vector<const Json*>& ratios, double noise) {
  double low = -1.5 * noise, high = 1.5 * noise;
  for (const Json* ratio : ratios) {
    const double estimate = number(*ratio, "estimate").value_or(0);
    // A wild interval of two seeds must not squeeze every other row into a point; it is cut at the edge instead.
    const double far = 3 * std::abs(estimate) + 4 * noise;
    low = std::min({low, estimate, std::max(number(*ratio, "low").value_or(estimate), estimate - far)});
    high = std::max({high, estimate, std::min(number(*ratio, "high").value_or(estimate), estimate + far)});
  }
  if (!(high > low)) return {{-1, 1}, noise};
  const double margin = 0.07 * (high - low);
  return {{low - margin, high + margin}, noise};
}

std::string forest_row(const Forest& forest, const Json& ratio, int slot) {
  constexpr double kWidth = 240, kHeight = 20, kMiddle = kHeight / 2;
  const Axis axis(Scale::linear, forest.range, {2, kWidth - 2});
  std::string body;
  if (forest.noise > 0) {
    body += fmt::format("<rect class=\"floor\" x=\"{}\" y=\"0\" width=\"{}\" height=\"{}\"/>", coordinate(axis(-forest.noise)),
                        coordinate(axis(forest.noise) - axis(-forest.noise)), kHeight);
  }
  body += fmt::format("<line class=\"neutral\" x1=\"{0}\" y1=\"2\" x2=\"{0}\" y2=\"{1}\"/>", coordinate(axis(0)), kHeight - 2);
  const bool resolved = member(ratio, "resolved") == true;
  const std::string ink = resolved ? arm_class(slot) : "unresolved";
  const double estimate = number(ratio, "estimate").value_or(0);
  const double low = std::max(number(ratio, "low").value_or(estimate), forest.range.low);
  const double high = std::min(number(ratio, "high").value_or(estimate), forest.range.high);
  body += fmt::format(
      "<line class=\"whisker {0}\" x1=\"{1}\" y1=\"{3}\" x2=\"{2}\" y2=\"{3}\"/><circle class=\"mark {0}\" cx=\"{4}\" cy=\"{3}\" "
      "r=\"4\"/>",
      ink, coordinate(axis(low)), coordinate(axis(high)), kMiddle, coordinate(axis(estimate)));
  return fmt::format("<svg class=\"forest\" viewBox=\"0 0 {} {}\" aria-hidden=\"true\">{}</svg>", kWidth, kHeight, body);
}

Text better_or_worse(const Json& ratio, const Text& who) {
  if (member(ratio, "resolved") != true) return say(Say::not_resolved);
  return say(number(ratio, "estimate").value_or(0) < 0 ? Say::is_better : Say::is_worse, {who});
}

}  // namespace gamut
