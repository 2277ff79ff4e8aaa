// Inline SVG in C++: shapes styled by CSS classes, text in both languages, labels that look for a free place.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/report/strings.h"

namespace gamut {

// Text for HTML and SVG, attributes included. Control characters, which neither may hold, become spaces.
std::string escape_html(std::string_view text);
// Both languages as siblings of which the style sheet shows one: <span lang="en">…</span><span lang="zh">…</span>.
std::string in_both(const Text& text, const char* element = "span");
// A coordinate with one decimal at most.
std::string coordinate(double value);

struct Point {
  double x, y;
};
struct Box {
  double left, top, right, bottom;
};
double overlap(const Box& a, const Box& b);  // area

// Estimated width of a text in pixels: enough for the wide system fonts, full width for Chinese.
double text_width(std::string_view text, double size, bool bold = false);

enum class Anchor { start, middle, end };
struct Place {  // where a text's baseline begins, is centred, or ends
  double x, y;
  Anchor anchor = Anchor::start;
};

// Arms differ in hue (class s0 … s6), in dash (style sheet) and in the shape of their marker; further ones have the same hues with other dashes.
constexpr int kHues = 7, kSlots = 21;
std::string arm_class(int slot);

class Svg {
 public:
  // `described_by` is the id of the element that says in words what is drawn.
  Svg(double width, double height, std::string classes, std::string described_by);

  double width() const { return width_; }
  double height() const { return height_; }

  void raw(const std::string& markup) { body_ += markup; }
  void open_group(const std::string& attributes) { body_ += "<g " + attributes + ">"; }
  void close_group() { body_ += "</g>"; }
  void line(Point a, Point b, const std::string& classes);
  void path(std::span<const Point> points, const std::string& classes, const std::string& attributes = "");
  void area(std::span<const Point> top, std::span<const Point> bottom, const std::string& classes,
            const std::string& attributes = "");
  void rectangle(const Box& box, const std::string& classes);
  void marker(Point at, int slot, double radius, const std::string& classes);
  void text(const Text& text, Place place, double size, const std::string& classes, bool bold = false);

  // Space that label() avoids.
  void occupy(const Box& box) { taken_.push_back(box); }
  void occupy_path(std::span<const Point> points, double margin = 2);
  // Writes the text at the candidate that overlaps least with what is taken or lies outside `within`; the first free one wins.
  void label(const Text& text, std::span<const Place> candidates, const Box& within, double size, const std::string& classes,
             bool bold = true);

  std::string finish(const std::string& attributes = "") const;

 private:
  double width_, height_;
  std::string classes_, described_by_, body_;
  std::vector<Box> taken_;
};

}  // namespace gamut
