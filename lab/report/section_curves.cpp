// Loss against what it costs, and what equal loss costs all along the way.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lab/report/sections.h"

namespace gamut {
namespace {

constexpr double kShownSpan = 64;   // a log axis shows the last six doublings of cost,
constexpr double kJudgedSpan = 16;  // the loss axis the last four: there the question is decided, and a small gap stays visible

struct ShownArm {
  const Json* arm;
  int slot;
  bool main;  // sets the ranges and is visible at first
};

std::vector<ShownArm> shown_arms(const Json& study) {
  std::vector<ShownArm> arms;
  for (const Json& arm : study.at("arms")) {
    if (mean_curve(arm, "tokens").x.size() < 2) continue;
    const std::string role = string_or(arm, "role", "");
    const int slot = slot_of(study, arm);
    arms.push_back({&arm, slot, role != "control" && slot < kHues});
  }
  // Drawn last is drawn on top.
  std::stable_sort(arms.begin(), arms.end(), [](const ShownArm& a, const ShownArm& b) { return a.main < b.main; });
  return arms;
}

// The losses worth looking at: from where the main arms stand early on the token axis to the best final loss.
Range shown_losses(const std::vector<ShownArm>& arms) {
  double low = std::numeric_limits<double>::infinity(), high = -low, longest = 0;
  for (const ShownArm& shown : arms) {
    if (shown.main) longest = std::max(longest, mean_curve(*shown.arm, "tokens").x.back());
  }
  for (const ShownArm& shown : arms) {
    if (!shown.main) continue;
    const Curve curve = mean_curve(*shown.arm, "tokens");
    low = std::min(low, *std::min_element(curve.y.begin(), curve.y.end()));
    high = std::max(high, value_at(curve, std::max(curve.x.front(), longest / kJudgedSpan)).value_or(curve.y.front()));
  }
  if (!(high > low)) high = low + 0.1;
  return {low - 0.16 * (high - low), high};
}

Curve divided(Curve curve, double divisor) {
  for (double& x : curve.x) x /= divisor;
  return curve;
}

Text axis_name(const std::string& axis) {
  if (axis == "tokens") return say(Say::axis_tokens);
  if (axis == "flops") return say(Say::axis_flops);
  if (axis == "seconds") return say(Say::axis_seconds);
  return say(Say::axis_memory);
}

struct PanelKind {
  bool large;
  Scale scale;
  bool first;
};

// The two costs of the baseline's final loss, joined and marked with their ratio.
void mark_ratio(Plot& plot, const Page& page, const std::string& axis, const Curve& baseline, const Curve& treatment,
                double font) {
  const Compared compared = compared_arms(page.study);
  const Json& ratio = member(member(page.comparison(), "ratios"), axis);
  const auto level = number(page.comparison(), "loss");
  if (!level || baseline.x.empty()) return;
  const Point end = plot.at(first_crossing(baseline, *level, Scale::log).value_or(baseline.x.back()), *level);
  const auto cost = first_crossing(treatment, *level, Scale::log);
  if (cost && number(ratio, "estimate")) {
    const Point reached = plot.at(*cost, *level);
    plot.svg().line(reached, end, "equal-loss");
    plot.svg().marker(reached, compared.treatment_slot, 3.4, "");
    plot.svg().marker(end, compared.baseline_slot, 3.4, "");
    const double middle = (reached.x + end.x) / 2, below = end.y + font + 8;
    const std::string ink = member(ratio, "resolved") == true ? "strong" : "muted";
    std::vector<Place> places{{middle, below, Anchor::middle}};
    for (const double far : {8.0, 16.0, 28.0, 40.0}) {
      places.push_back({std::min(reached.x, end.x) - far, end.y + 0.5 * font + far / 2, Anchor::end});
      places.push_back({std::min(reached.x, end.x), end.y + font + far, Anchor::end});
      places.push_back({middle, end.y - far, Anchor::middle});
      places.push_back({std::max(reached.x, end.x) + 4, end.y - far, Anchor::start});
      places.push_back({std::max(reached.x, end.x) + 4, end.y - far, Anchor::end});
    }
    plot.svg().label(ratio_text(*number(ratio, "estimate")), places, plot.area(), font + 0.8, ink);
    return;
  }
  plot.svg().marker(end, compared.baseline_slot, 3.4, "");
  if (!treatment.x.empty()) plot.svg().marker(plot.at(treatment.x.back(), treatment.y.back()), compared.treatment_slot, 3.4, "");
}

void mark_crossing(Plot& plot, const Page& page, double divisor, double font) {
  const Json& crossing = member(page.comparison(), "crossing");
  const auto tokens = number(crossing, "tokens"), loss = number(crossing, "loss");
  if (!tokens || !loss) return;
  const Point p = plot.at(*tokens / divisor, *loss);
  const Box box = plot.area();
  if (p.x < box.left || p.x > box.right || p.y < box.top || p.y > box.bottom) return;
  plot.svg().raw(fmt::format("<circle class=\"crossing\" cx=\"{}\" cy=\"{}\" r=\"5\"/>", coordinate(p.x), coordinate(p.y)));
  plot.svg().occupy({p.x - 5, p.y - 5, p.x + 5, p.y + 5});
  std::vector<Place> places;
  for (const double far : {9.0, 16.0, 26.0, 38.0}) {
    places.push_back({p.x - far, p.y + font * 0.4 + far / 3, Anchor::end});
    places.push_back({p.x + far, p.y - far / 3, Anchor::start});
    places.push_back({p.x, p.y + font + far, Anchor::end});
    places.push_back({p.x, p.y - far, Anchor::start});
  }
  for (const double far : {26.0, 38.0, 52.0, 68.0}) places.push_back({box.right, p.y - far, Anchor::end});  // above falling curves it is empty
  plot.svg().label(say(Say::curves_cross), places, box, font, "muted", false);
}

std::string price_panel(Page& page, const std::vector<ShownArm>& arms, const std::string& axis, Range losses, PanelKind kind) {
  double longest = 0;
  for (const ShownArm& shown : arms) {
    const Curve curve = mean_curve(*shown.arm, axis);
    if (shown.main && !curve.x.empty()) longest = std::max(longest, curve.x.back());
  }
  if (longest == 0) return "";
  const Unit unit = unit_for(axis, longest);
  const bool log = kind.scale == Scale::log;
  PlotFrame frame{.id = fmt::format("price-{}-{}{}", axis, log ? "log" : "lin", kind.large ? "-large" : ""),
                  .classes = log ? "x-log" : "x-lin",
                  .described_by = alternative_id("prices"),
                  .width = kind.large ? 1000.0 : 244.0,
                  .height = kind.large ? 420.0 : 236.0,
                  .left = kind.large ? 40.0 : 32.0,
                  .right = kind.large ? 14.0 : 9.0,
                  .top = kind.large ? 12.0 : 26.0,
                  .bottom = kind.large ? 42.0 : 38.0,
                  .x_scale = kind.scale,
                  .x = {log ? longest / unit.divisor / kShownSpan : 0, longest / unit.divisor},
                  .y = losses,
                  .font = kind.large ? 12.0 : 10.5};
  Plot plot(frame);
  if (!kind.large) plot.svg().text(axis_name(axis), {frame.left, 13}, 12, "strong", true);
  plot.y_grid(tick_label, kind.first || kind.large ? "tick" : "tick inner");
  plot.x_ticks(tick_label, unit.name);

  const auto level = number(page.comparison(), "loss"), noise = number(member(page.comparison(), "noise"), "bpb");
  if (level && noise) {
    const Box box = plot.area();
    const double top = std::max(box.top, plot.y()(*level + *noise)), bottom = std::min(box.bottom, plot.y()(*level - *noise));
    plot.svg().rectangle({box.left, top, box.right, std::max(bottom, top + 1)}, "floor");
    plot.svg().occupy({box.left, top, box.right, std::max(bottom, top + 1)});
  }
  for (const ShownArm& shown : arms) {
    const Curve curve = divided(mean_curve(*shown.arm, axis), unit.divisor);
    if (curve.x.empty()) continue;
    const Band band = seed_band(*shown.arm, axis);
    plot.band(curve.x, band.low, band.high, arm_class(shown.slot));
    plot.line(curve.x, curve.y, arm_class(shown.slot), shown.main || kind.large);
    plot.read_out(short_name(*shown.arm), arm_class(shown.slot), curve.x, curve.y);
  }
  const Compared compared = compared_arms(page.study);
  if (compared.baseline && compared.treatment) {
    mark_ratio(plot, page, axis, divided(mean_curve(*compared.baseline, axis), unit.divisor),
               divided(mean_curve(*compared.treatment, axis), unit.divisor), frame.font);
    if (axis == "tokens") mark_crossing(plot, page, unit.divisor, frame.font);
  }
  if (kind.first || kind.large) {
    double along = 0.25;
    for (const ShownArm& shown : arms) {
      if (shown.main) along += 0.15;
      const Curve curve = divided(mean_curve(*shown.arm, axis), unit.divisor);
      plot.direct_label(short_name(*shown.arm), curve.x, curve.y, shown.main ? along : 0.7, arm_class(shown.slot));
    }
  }
  page.charts.push_back(plot.script_data(unit.name));
  return plot.finish();
}

Table price_table(const std::vector<ShownArm>& arms) {
  Table table({{say(Say::column_arm)},
               {say(Say::axis_tokens), true},
               {"FLOP", true},
               {say(Say::unit_seconds), true},
               {"GB·s", true},
               {say(Say::bits_per_byte), true},
               {say(Say::column_lowest_seed), true},
               {say(Say::column_highest_seed), true}});
  for (const ShownArm& shown : arms) {
    const Curve tokens = mean_curve(*shown.arm, "tokens");
    const Band band = seed_band(*shown.arm, "tokens");
    std::vector<Curve> costs;
    for (const char* axis : {"flops", "seconds", "gb_seconds"}) costs.push_back(mean_curve(*shown.arm, axis));
    for (size_t i = 0; i < tokens.x.size(); ++i) {
      std::vector<std::string> cells{in_both(short_name(*shown.arm)), fixed(tokens.x[i], 0)};
      for (size_t c = 0; c < costs.size(); ++c) {
        const bool known = i < costs[c].x.size();
        cells.push_back(!known ? "–" : c == 0 ? fmt::format("{:.4g}", costs[c].x[i]) : fixed(costs[c].x[i], 2));
      }
      cells.push_back(fixed(tokens.y[i], 4));
      cells.push_back(fixed(band.low[i], 4));
      cells.push_back(fixed(band.high[i], 4));
      table.row(cells);
    }
  }
  return table;
}

Text price_words(const Page& page, const std::vector<ShownArm>& arms) {
  Text words = say(Say::prices_words);
  for (auto shown = arms.rbegin(); shown != arms.rend(); ++shown) {
    const Curve curve = mean_curve(*shown->arm, "tokens");
    words +=
        Text(" ") + say(Say::prices_words_arm, {full_name(*shown->arm), fixed(curve.y.back(), 3), count_text(curve.x.back())});
  }
  for (const char* axis : kCostAxes) {
    const Json& ratio = member(member(page.comparison(), "ratios"), axis);
    if (number(ratio, "estimate")) {
      words += Text(" ") +
               say(Say::prices_words_ratio, {axis_name(axis), ratio_text(*number(ratio, "estimate")), interval_text(ratio, 2)});
    }
  }
  return words;
}

}  // namespace

std::string draw_prices(Page& page) {
  const std::vector<ShownArm> arms = shown_arms(page.study);
  if (arms.empty() || std::none_of(arms.begin(), arms.end(), [](const ShownArm& a) { return a.main; })) return "";
  const Range losses = shown_losses(arms);

  std::string small, large, axis_switch = radio("axis", "axis-all", say(Say::all_axes), true);
  bool first = true;
  for (const char* axis : kCostAxes) {
    std::string panels, enlarged;
    for (const Scale scale : {Scale::log, Scale::linear}) {
      panels += price_panel(page, arms, axis, losses, {false, scale, first});
      enlarged += price_panel(page, arms, axis, losses, {true, scale, first});
    }
    if (panels.empty()) continue;
    small += fmt::format("<div class=\"panel{}\">{}</div>", first ? " first" : "", panels);
    large += fmt::format("<div class=\"large large-{}\">{}</div>", axis, enlarged);
    axis_switch += radio("axis", fmt::format("axis-{}", axis), axis_name(axis), false);
    first = false;
  }
  std::string arm_switches;
  for (auto shown = arms.rbegin(); shown != arms.rend(); ++shown) {
    arm_switches +=
        checkbox("show-" + arm_class(shown->slot), short_name(*shown->arm), shown->main, "swatch " + arm_class(shown->slot));
  }
  const std::string tools = "<span class=\"group wide\">" + axis_switch + "</span><span class=\"group\">" +
                            radio("scale", "x-log", say(Say::scale_log), true) +
                            radio("scale", "x-lin", say(Say::scale_linear), false) + "</span><span class=\"group\">" +
                            arm_switches + checkbox("bands", say(Say::seed_bands), true) + "</span>";
  const Text caption =
      say(number(member(member(page.comparison(), "ratios"), "tokens"), "estimate") ? Say::prices_caption
                                                                                    : Say::prices_caption_unreached);
  return heading(say(Say::prices_title), caption) + "<div class=\"tools\">" + tools + "</div>\n<p class=\"unit\">" +
         in_both(say(Say::validation_bits_per_byte)) + "</p>\n" +
         figure("prices", "<div class=\"panels\">" + small + "</div>" + large, price_words(page, arms), price_table(arms));
}

namespace {

struct Ratios {  // of one cost, at falling losses
  const char* axis;
  Text name;
  double noise;
  std::vector<double> level, ratio, low, high;
};

Ratios read_ratios(const Page& page, const char* axis, const Text& name, double highest_loss) {
  Ratios ratios{axis, name, number(member(member(page.comparison(), "noise"), "ratio"), axis).value_or(0)};
  const Json& curve = member(member(page.comparison(), "curve"), axis);
  const auto value = [](const Json& v) { return v.is_number() ? v.get<double>() : std::numeric_limits<double>::quiet_NaN(); };
  for (size_t i = 0; i < member(curve, "loss").size(); ++i) {
    if (curve.at("loss")[i] > highest_loss) continue;
    ratios.level.push_back(curve.at("loss")[i]);
    ratios.ratio.push_back(value(curve.at("ratio")[i]));
    ratios.low.push_back(value(curve.at("low")[i]));
    ratios.high.push_back(value(curve.at("high")[i]));
  }
  return ratios;
}

std::string ratio_panel(Page& page, const Ratios& ratios, Range levels, Range shown, bool first) {
  PlotFrame frame{.id = std::string("speed-up-") + ratios.axis,
                  .classes = "",
                  .described_by = alternative_id("speed-up"),
                  .width = 226,
                  .height = 248,
                  .left = 36,
                  .right = 8,
                  .top = 26,
                  .bottom = 38,
                  .x_scale = Scale::linear,
                  .x = levels,
                  .y_scale = Scale::log,
                  .y = shown,
                  .font = 10.5};
  Plot plot(frame);
  const Box box = plot.area();
  plot.svg().text(ratios.name, {frame.left, 13}, 12, "strong", true);
  plot.y_grid([](double v) { return tick_label(v) + "×"; }, first ? "tick" : "tick inner");
  plot.x_ticks(tick_label, say(Say::speed_up_axis));
  if (ratios.noise > 0) {
    const double top = plot.y()(std::exp(ratios.noise)), bottom = plot.y()(std::exp(-ratios.noise));
    plot.svg().rectangle({box.left, top, box.right, bottom}, "floor");
  }
  plot.svg().line({box.left, plot.y()(1)}, {box.right, plot.y()(1)}, "neutral");
  plot.svg().occupy({box.left, plot.y()(1) - 2, box.right, plot.y()(1) + 2});

  // Hue where the interval excludes 1, grey where it does not; neighbours share a point so that the line is whole.
  const std::string arm = arm_class(compared_arms(page.study).treatment_slot);
  const auto resolved = [&](size_t i) { return ratios.low[i] > 1 || ratios.high[i] < 1; };
  std::vector<double> certain = ratios.ratio, uncertain = ratios.ratio;
  for (size_t i = 0; i < ratios.ratio.size(); ++i) {
    const bool beside_grey = (i > 0 && !resolved(i - 1)) || (i + 1 < ratios.ratio.size() && !resolved(i + 1));
    if (!resolved(i)) certain[i] = std::numeric_limits<double>::quiet_NaN();
    if (resolved(i) && !beside_grey) uncertain[i] = std::numeric_limits<double>::quiet_NaN();
  }
  plot.band(ratios.level, ratios.low, ratios.high, arm);
  plot.line(ratios.level, certain, arm + " plain");
  plot.line(ratios.level, uncertain, "unresolved");
  plot.read_out(ratios.name, arm, ratios.level, ratios.ratio);

  const bool certain_at_end = resolved(ratios.ratio.size() - 1);
  const Point end = plot.at(ratios.level.back(), ratios.ratio.back());
  plot.svg().raw(fmt::format("<circle class=\"mark {}\" cx=\"{}\" cy=\"{}\" r=\"3.4\"/>", certain_at_end ? arm : "unresolved",
                             coordinate(end.x), coordinate(end.y)));
  std::vector<Place> places;
  // Where there is a headline ratio (each seed at its own end) a second figure, at the lowest loss all seeds share, would only
  // puzzle.
  if (!number(member(member(page.comparison(), "ratios"), ratios.axis), "estimate")) {
    for (const double far : {8.0, 14.0, 22.0, 32.0}) {
      places.push_back({end.x + 2, end.y + 8 + far, Anchor::end});
      places.push_back({end.x + 2, end.y - far, Anchor::end});
    }
    plot.svg().label(ratio_text(ratios.ratio.back()), places, box, 11.3, certain_at_end ? "strong" : "muted");
  }
  if (first && ratios.noise > 0) {
    const double below = plot.y()(std::exp(-ratios.noise)) + 12, above = plot.y()(std::exp(ratios.noise)) - 5;
    places.clear();
    for (const double far : {0.0, 8.0, 16.0, 28.0, 44.0}) {
      for (const double y : {above - far, below + far}) {
        places.push_back({box.left + 4, y});
        places.push_back({box.right - 2, y, Anchor::end});
      }
    }
    plot.svg().label(say(Say::noise_floor), places, box, 10, "muted", false);
  }
  page.charts.push_back(plot.script_data(say(Say::bits_per_byte)));
  return "<div class=\"panel" + std::string(first ? " first" : "") + "\">" + plot.finish() + "</div>";
}

}  // namespace

std::string draw_speed_up(Page& page) {
  const Compared compared = compared_arms(page.study);
  if (!compared.treatment || !compared.baseline) return "";
  const Range losses = shown_losses(shown_arms(page.study));
  std::vector<Ratios> all;
  Range shown{1 / 1.06, 1.06}, levels{losses.low, losses.high};
  for (const auto& [axis, name] : {std::pair{"tokens", Say::axis_tokens}, std::pair{"seconds", Say::axis_seconds}}) {
    Ratios ratios = read_ratios(page, axis, say(name), losses.high);
    if (ratios.level.size() < 2) continue;
    shown = {std::min(shown.low, std::exp(-1.5 * ratios.noise)), std::max(shown.high, std::exp(1.5 * ratios.noise))};
    for (size_t i = 0; i < ratios.ratio.size(); ++i) {
      // Wide intervals of two seeds run off the picture; the estimates decide what is shown.
      shown.low = std::min({shown.low, ratios.ratio[i] / 1.08, std::max(ratios.low[i], ratios.ratio[i] / 1.4)});
      shown.high = std::max({shown.high, ratios.ratio[i] * 1.08, std::min(ratios.high[i], ratios.ratio[i] * 1.4)});
    }
    levels = {ratios.level.front(), ratios.level.back()};
    all.push_back(std::move(ratios));
  }
  if (all.empty()) return "";

  std::string panels;
  const Text who = short_name(*compared.treatment), whom = short_name(*compared.baseline);
  Text words = say(Say::speed_up_words, {who, whom, fixed(levels.low, 2), fixed(levels.high, 2)});
  Table table({{say(Say::column_cost)},
               {say(Say::bits_per_byte), true},
               {say(Say::column_ratio), true},
               {say(Say::column_interval), true}});
  for (const Ratios& ratios : all) {
    panels += ratio_panel(page, ratios, levels, shown, panels.empty());
    words += Text(" ") +
             say(Say::speed_up_words_axis, {ratios.name, ratio_text(ratios.ratio.front()), ratio_text(ratios.ratio.back())});
    for (size_t i = 0; i < ratios.level.size(); ++i) {
      table.row({in_both(ratios.name), fixed(ratios.level[i], 3), fixed(ratios.ratio[i], 3),
                 "[" + fixed(ratios.low[i], 3) + ", " + fixed(ratios.high[i], 3) + "]"});
    }
  }
  Text caption = say(Say::speed_up_caption, {who, whom});
  const auto per_token_a = number(*compared.baseline, "flops_per_token"),
             per_token_b = number(*compared.treatment, "flops_per_token");
  if (per_token_a && per_token_b) caption += Text(" ") + say(Say::speed_up_compute, {fixed(*per_token_b / *per_token_a, 3)});
  return heading(say(Say::speed_up_title), caption) +
         figure("speed-up", "<div class=\"panels pair\">" + panels + "</div>", words, table);
}

}  // namespace gamut
