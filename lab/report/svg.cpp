#include "lab/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gamut {
namespace {

Box box_of(const Text& text, Place place, double size, bool bold) {
  const double width = std::max(text_width(text.en, size, bold), text_width(text.zh, size, bold));
  const double left = place.anchor == Anchor::start    ? place.x
                      : place.anchor == Anchor::middle ? place.x - width / 2
                                                       : place.x - width;
  return {left, place.y - 0.82 * size, left + width, place.y + 0.24 * size};
}

std::string points_of(std::span<const Point> points, char first) {
  std::string d;
  for (const Point& p : points) {
    d += d.empty() ? first : 'L';
    d += coordinate(p.x) + " " + coordinate(p.y);
  }
  return d;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return safe;
}

std::string in_both(const Text& text, const char* element) {
  if (text.en == text.zh) return escape_html(text.en);
  return fmt::format("<{0} lang=\"en\">{1}</{0}><{0} lang=\"zh\">{2}</{0}>", element, escape_html(text.en), escape_html(text.zh));
}

std::string coordinate(double value) {
  std::string text = fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

double overlap(const Box& a, const Box& b) {
  const double width = std::min(a.right, b.right) - std::max(a.left, b.left);
  const double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}

double text_width(std::string_view text, double size, bool bold) {
  double em = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) == 0x80) continue;  // inside a character
    if (byte >= 0xE3)
      em += 1;  // Chinese
    else if (c == ' ' || c == '.' || c == ',' || c == 'i' || c == 'l' || c == ':' || c == '\'')
      em += 0.33;
    else if (c == 'm' || c == 'w' || c == 'M' || c == 'W')
      em += 0.95;
    else if (c >= 'A' && c <= 'Z')
      em += 0.7;
    else
      em += 0.61;
  }
  return em * size * (bold ? 1.08 : 1);
}

std::string arm_class(int slot) { return fmt::format("s{}", slot); }

Svg::Svg(double width, double height, std::string classes, std::string described_by)
    : width_(width), height_(height), classes_(std::move(classes)), described_by_(std::move(described_by)) {}

void Svg::line(Point a, Point b, const std::string& classes) {
  body_ += fmt::format("<line class=\"{}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>", classes, coordinate(a.x), coordinate(a.y),
                       coordinate(b.x), coordinate(b.y));
}

void Svg::path(std::span<const Point> points, const std::string& classes, const std::string& attributes) {
  if (points.size() < 2) return;
  body_ += fmt::format("<path class=\"{}\" d=\"{}\" {}/>", classes, points_of(points, 'M'), attributes);
}

void Svg::area(std::span<const Point> top, std::span<const Point> bottom, const std::string& classes,
               const std::string& attributes) {
  if (top.size() < 2) return;
  const std::vector<Point> back(bottom.rbegin(), bottom.rend());
  body_ += fmt::format("<path class=\"{}\" d=\"{}{}Z\" {}/>", classes, points_of(top, 'M'), points_of(back, 'L'), attributes);
}

void Svg::rectangle(const Box& box, const std::string& classes) {
  body_ += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>", classes, coordinate(box.left),
                       coordinate(box.top), coordinate(box.right - box.left), coordinate(box.bottom - box.top));
}

void Svg::marker(Point at, int slot, double radius, const std::string& classes) {
  const std::string arm = fmt::format("mark {} {}", arm_class(slot), classes);
  const double r = radius;
  occupy({at.x - r, at.y - r, at.x + r, at.y + r});
  const auto polygon = [&](std::initializer_list<Point> corners) {
    std::vector<Point> moved;
    for (const Point& c : corners) moved.push_back({at.x + c.x * r, at.y + c.y * r});
    body_ += fmt::format("<path class=\"{}\" d=\"{}Z\"/>", arm, points_of(moved, 'M'));
  };
  switch ((slot + slot / kHues) % 4) {
    case 0:
      body_ += fmt::format("<circle class=\"{}\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>", arm, coordinate(at.x), coordinate(at.y),
                           coordinate(r));
      break;
    case 1:
      polygon({{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}});
      break;
    case 2:
      polygon({{-0.95, -0.95}, {0.95, -0.95}, {0.95, 0.95}, {-0.95, 0.95}});
      break;
    default:
      polygon({{0, -1.25}, {1.15, 0.9}, {-1.15, 0.9}});
      break;
  }
}

void Svg::text(const Text& text, Place place, double size, const std::string& classes, bool bold) {
  static constexpr const char* kAnchors[] = {"", " middle", " end"};
  occupy(box_of(text, place, size, bold));
  body_ += fmt::format("<text class=\"{}{}{}\" x=\"{}\" y=\"{}\" font-size=\"{}\">{}</text>", classes, bold ? " bold" : "",
                       kAnchors[static_cast<int>(place.anchor)], coordinate(place.x), coordinate(place.y), coordinate(size),
                       in_both(text, "tspan"));
}

void Svg::occupy_path(std::span<const Point> points, double margin) {
  for (size_t i = 1; i < points.size(); ++i) {
    const Point a = points[i - 1], b = points[i];
    const int steps = std::max(1, static_cast<int>(std::hypot(b.x - a.x, b.y - a.y) / 4));
    for (int s = 0; s <= steps; ++s) {
      const double x = a.x + (b.x - a.x) * s / steps, y = a.y + (b.y - a.y) * s / steps;
      occupy({x - margin, y - margin, x + margin, y + margin});
    }
  }
}

void Svg::label(const Text& text, std::span<const Place> candidates, const Box& within, double size, const std::string& classes,
                bool bold) {
  const Place* best = nullptr;
  double least = 0;
  for (const Place& place : candidates) {
    const Box box = box_of(text, place, size, bold);
    const double area = (box.right - box.left) * (box.bottom - box.top);
    double cost = 3 * (area - overlap(box, within));
    for (const Box& other : taken_) cost += overlap(box, other);
    if (!best || cost < least - 1e-9) {
      best = &place;
      least = cost;
    }
    if (least <= 0) break;
  }
  if (best) this->text(text, *best, size, classes, bold);
}

std::string Svg::finish(const std::string& attributes) const {
  return fmt::format("<svg class=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{}\" {}>{}</svg>\n", classes_,
                     coordinate(width_), coordinate(height_), described_by_, attributes, body_);
}

}  // namespace gamut
