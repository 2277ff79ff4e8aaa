#include "lab/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gamut {
namespace {

// Multiples of a round step inside the range.
std::vector<double> round_steps(Range range, double step) {
  std::vector<double> values;
  for (double n = std::ceil(range.low / step - 1e-9); n * step <= range.high + 1e-9 * step; ++n) values.push_back(n * step);
  return values;
}

std::vector<double> decades(Range range, std::initializer_list<double> mantissas, int every) {
  std::vector<double> values;
  for (int exponent = static_cast<int>(std::floor(std::log10(range.low))); exponent <= std::log10(range.high); ++exponent) {
    if (exponent % every != 0) continue;
    for (const double m : mantissas) {
      // Parsed rather than computed, so that 0.3 is 0.3.
      const double value = std::stod(fmt::format("{}e{}", m, exponent));
      if (value >= range.low * (1 - 1e-9) && value <= range.high * (1 + 1e-9)) values.push_back(value);
    }
  }
  return values;
}

double significant(double value, int digits) { return std::stod(fmt::format("{:.{}g}", value, digits)); }

}  // namespace

double Axis::operator()(double value) const {
  const auto map = [&](double v) { return scale_ == Scale::log ? std::log(v) : v; };
  const double low = map(values_.low), high = map(values_.high);
  const double fraction = high == low ? 0.5 : (map(value) - low) / (high - low);
  return pixels_.low + fraction * (pixels_.high - pixels_.low);
}

std::vector<double> Axis::ticks(double gap, const std::function<double(double)>& extent) const {
  const Range range{std::min(values_.low, values_.high), std::max(values_.low, values_.high)};
  const auto fits = [&](const std::vector<double>& values) {
    for (size_t i = 1; i < values.size(); ++i) {
      const double distance = std::abs((*this)(values[i]) - (*this)(values[i - 1]));
      if (distance < gap + (extent(values[i]) + extent(values[i - 1])) / 2) return false;
    }
    return true;
  };
  if (scale_ == Scale::log && range.high >= 8 * range.low) {
    for (const int every : {1, 2, 3, 4}) {
      for (const auto mantissas : {std::initializer_list<double>{1, 2, 5}, std::initializer_list<double>{1}}) {
        if (every > 1 && mantissas.size() > 1) continue;
        const auto values = decades(range, mantissas, every);
        if (values.size() > 1 && fits(values)) return values;
      }
    }
  }
  const double magnitude = std::pow(10, std::floor(std::log10(std::max(range.high - range.low, 1e-300)) - 2));
  for (double power = magnitude; power < 1e4 * magnitude; power *= 10) {
    for (const double m : {1.0, 2.0, 5.0}) {
      const auto values = round_steps(range, m * power);
      if (values.size() <= 12 && fits(values)) return values;
    }
  }
  return {};
}

std::string tick_label(double value) {
  const double rounded = significant(value, 6);
  if (rounded == 0) return "0";
  std::string text =
      std::abs(rounded) >= 1e7 || std::abs(rounded) < 1e-4 ? fmt::format("{:.3g}", rounded) : fmt::format("{}", rounded);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  if (text.starts_with('-')) text.replace(0, 1, "−");
  return text;
}

Unit unit_for(const std::string& axis, double largest) {
  if (axis == "tokens") {
    if (largest >= 2e9) return {1e9, say(Say::unit_billion_tokens)};
    if (largest >= 2e6) return {1e6, say(Say::unit_million_tokens)};
    if (largest >= 2e3) return {1e3, say(Say::unit_thousand_tokens)};
    return {1, say(Say::unit_tokens)};
  }
  if (axis == "flops") {
    static constexpr const char* kDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    const int exponent = largest > 0 ? static_cast<int>(std::floor(std::log10(largest))) : 0;
    std::string power = "10";
    for (const char c : std::to_string(std::max(0, exponent))) power += kDigits[c - '0'];
    return {std::pow(10, std::max(0, exponent)), Text(power + " FLOP")};
  }
  if (axis == "seconds") {
    if (largest >= 7200) return {3600, say(Say::unit_hours)};
    if (largest >= 600) return {60, say(Say::unit_minutes)};
    return {1, say(Say::unit_seconds)};
  }
  if (axis == "gb_seconds") {
    if (largest >= 7200) return {3600, "GB·h"};
    if (largest >= 120) return {60, "GB·min"};
    return {1, "GB·s"};
  }
  return {1, ""};
}

Plot::Plot(const PlotFrame& frame)
    : frame_(frame),
      x_(frame.x_scale, frame.x, {frame.left, frame.width - frame.right}),
      y_(frame.y_scale, frame.y, {frame.height - frame.bottom, frame.top}),
      svg_(frame.width, frame.height, "plot " + frame.classes, frame.described_by),
      clip_(frame.id + "-area") {
  const Box box = area();
  svg_.raw(fmt::format("<clipPath id=\"{}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>", clip_,
                       coordinate(box.left), coordinate(box.top - 2), coordinate(box.right - box.left + 2),
                       coordinate(box.bottom - box.top + 4)));
}

Box Plot::area() const { return {frame_.left, frame_.top, frame_.width - frame_.right, frame_.height - frame_.bottom}; }

void Plot::y_grid(const std::function<std::string(double)>& format, const std::string& label_classes) {
  const Box box = area();
  for (const double value : y_.ticks(14, [&](double) { return frame_.font; })) {
    const double y = y_(value);
    svg_.line({box.left, y}, {box.right, y}, "grid");
    svg_.text(format(value), {box.left - 6, y + 0.35 * frame_.font, Anchor::end}, frame_.font, label_classes);
  }
}

void Plot::x_ticks(const std::function<std::string(double)>& format, const Text& unit, const std::vector<double>& values) {
  const Box box = area();
  const double baseline = box.bottom + 1.7 * frame_.font;
  const auto round = [&] { return x_.ticks(9, [&](double v) { return text_width(format(v), frame_.font); }); };
  for (const double value : values.empty() ? round() : values) {
    const std::string label = format(value);
    // A label may hang over the ends of the axis but not over those of the picture.
    const double half = text_width(label, frame_.font) / 2;
    const double x = std::clamp(x_(value), half, frame_.width - half);
    svg_.line({x_(value), box.bottom}, {x_(value), box.bottom + 3}, "stub");
    svg_.text(label, {x, baseline, Anchor::middle}, frame_.font, "tick");
  }
  svg_.text(unit, {box.right, baseline + 1.35 * frame_.font, Anchor::end}, frame_.font, "tick");
}

std::vector<Point> Plot::visible(const std::vector<double>& xs, const std::vector<double>& ys) const {
  const Box box = area();
  std::vector<Point> points;
  for (size_t i = 0; i < std::min(xs.size(), ys.size()); ++i) {
    if (!std::isfinite(xs[i]) || !std::isfinite(ys[i])) continue;
    const Point p = at(xs[i], ys[i]);
    if (p.x >= box.left - 1 && p.x <= box.right + 1 && p.y >= box.top - 1 && p.y <= box.bottom + 1) points.push_back(p);
  }
  return points;
}

void Plot::band(const std::vector<double>& xs, const std::vector<double>& low, const std::vector<double>& high,
                const std::string& classes) {
  std::vector<Point> top, bottom;
  for (size_t i = 0; i < std::min({xs.size(), low.size(), high.size()}); ++i) {
    if (!std::isfinite(low[i]) || !std::isfinite(high[i])) continue;
    // Kept near the area: a band far outside would only make the file long.
    const double margin = 4 * frame_.height;
    top.push_back({x_(xs[i]), std::clamp(y_(high[i]), -margin, margin)});
    bottom.push_back({x_(xs[i]), std::clamp(y_(low[i]), -margin, margin)});
  }
  svg_.area(top, bottom, "band " + classes, fmt::format("clip-path=\"url(#{})\"", clip_));
}

void Plot::line(const std::vector<double>& xs, const std::vector<double>& ys, const std::string& classes, bool occupies) {
  std::vector<Point> points;
  const auto flush = [&] {
    svg_.path(points, "line " + classes, fmt::format("clip-path=\"url(#{})\"", clip_));
    points.clear();
  };
  for (size_t i = 0; i < std::min(xs.size(), ys.size()); ++i) {
    if (std::isfinite(ys[i]) && std::isfinite(xs[i])) {
      points.push_back(at(xs[i], ys[i]));
    } else {
      flush();
    }
  }
  flush();
  if (!occupies) return;
  svg_.occupy_path(visible(xs, ys));
  lines_.push_back({classes, visible(xs, ys)});
}

void Plot::read_out(const Text& name, const std::string& classes, const std::vector<double>& xs, const std::vector<double>& ys) {
  Json points_x = Json::array(), points_y = Json::array();
  for (size_t i = 0; i < std::min(xs.size(), ys.size()); ++i) {
    if (!std::isfinite(xs[i]) || !std::isfinite(ys[i])) continue;
    points_x.push_back(significant(xs[i], 5));
    points_y.push_back(significant(ys[i], 5));
  }
  series_.push_back({{"en", name.en}, {"zh", name.zh}, {"class", classes}, {"x", points_x}, {"y", points_y}});
}

void Plot::direct_label(const Text& text, const std::vector<double>& xs, const std::vector<double>& ys, double along,
                        const std::string& arm) {
  const std::vector<Point> points = visible(xs, ys);
  if (points.empty()) return;
  const auto nearest = [](const std::vector<Point>& line, Point p) {
    double least = 1e9;
    for (const Point& q : line) least = std::min(least, std::hypot(p.x - q.x, p.y - q.y));
    return least;
  };
  // 0 where the line stands alone, 1 where another lies nearer to the label than its own.
  const double half_width = std::max(text_width(text.en, frame_.font, true), text_width(text.zh, frame_.font, true)) / 2;
  const auto doubt = [&](const Place& place) {
    const double shift = place.anchor == Anchor::start ? half_width : place.anchor == Anchor::end ? -half_width : 0;
    const Point middle{place.x + shift, place.y - 0.3 * frame_.font};
    const double own = nearest(points, middle);
    double other = 1e9;
    for (const auto& [classes, line] : lines_) {
      if (classes != arm) other = std::min(other, nearest(line, middle));
    }
    return std::clamp(1.5 - 0.5 * other / std::max(own, 1.0), 0.0, 1.0);
  };
  std::vector<std::pair<double, Place>> candidates;
  const double size = frame_.font;
  for (size_t i = 0; i < points.size(); ++i) {
    const double distance =
        std::abs(static_cast<double>(i) / static_cast<double>(std::max<size_t>(1, points.size() - 1)) - along);
    for (const double away : {7.0, 12.0, 18.0}) {
      const double cost = distance + away / 60;
      candidates.push_back({cost, {points[i].x + away, points[i].y - away * 0.4, Anchor::start}});
      candidates.push_back({cost, {points[i].x - away, points[i].y + size * 0.6 + away * 0.4, Anchor::end}});
      candidates.push_back({cost + 0.1, {points[i].x, points[i].y - away, Anchor::middle}});
      candidates.push_back({cost + 0.1, {points[i].x, points[i].y + size * 0.8 + away, Anchor::middle}});
    }
  }
  for (auto& [cost, place] : candidates) cost += doubt(place);
  std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Place> places;
  for (const auto& candidate : candidates) places.push_back(candidate.second);
  svg_.label(text, places, area(), size, "ink " + arm);
}

std::string Plot::finish() { return svg_.finish(fmt::format("data-chart=\"{}\"", frame_.id)); }

Json Plot::script_data(const Text& x_unit) const {
  const auto axis = [](const Axis& a) {
    return Json{{"log", a.scale() == Scale::log},
                {"values", {a.values().low, a.values().high}},
                {"pixels", {a.pixels().low, a.pixels().high}}};
  };
  return {
      {"id", frame_.id}, {"x", axis(x_)}, {"y", axis(y_)}, {"unit", {{"en", x_unit.en}, {"zh", x_unit.zh}}}, {"series", series_}};
}

}  // namespace gamut
