// A chart with two axes: ticks that do not crowd, bands, lines, direct labels, and the points a script needs for its read-out.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "lab/report/svg.h"
#include "lab/statistics.h"

namespace gamut {

struct Range {
  double low, high;
};

class Axis {
 public:
  Axis(Scale scale, Range values, Range pixels) : scale_(scale), values_(values), pixels_(pixels) {}
  double operator()(double value) const;
  Scale scale() const { return scale_; }
  Range values() const { return values_; }
  Range pixels() const { return pixels_; }
  // Round values inside the range (1, 2, 5 × 10ⁿ on a log axis of a decade or more), the most whose labels keep `gap` pixels
  // apart; `extent` gives a label's size along the axis.
  std::vector<double> ticks(double gap, const std::function<double(double)>& extent) const;

 private:
  Scale scale_;
  Range values_, pixels_;
};

// 0.05, 1.8, 20, 1000: as few digits as tell ticks apart.
std::string tick_label(double value);

// A unit that keeps tick labels short: values are shown divided by `divisor`.
struct Unit {
  double divisor;
  Text name;
};
Unit unit_for(const std::string& axis, double largest);

struct PlotFrame {
  std::string id;       // of the chart; unique in the page
  std::string classes;  // of the <svg>
  std::string described_by;
  double width, height;
  double left, right, top, bottom;  // margins
  Scale x_scale = Scale::log;
  Range x;
  Scale y_scale = Scale::linear;
  Range y;
  double font = 10.5;
};

class Plot {
 public:
  explicit Plot(const PlotFrame& frame);

  Svg& svg() { return svg_; }
  const Axis& x() const { return x_; }
  const Axis& y() const { return y_; }
  Box area() const;
  Point at(double x_value, double y_value) const { return {x_(x_value), y_(y_value)}; }

  void y_grid(const std::function<std::string(double)>& format, const std::string& label_classes = "tick");
  // Round ticks, or the values given.
  void x_ticks(const std::function<std::string(double)>& format, const Text& unit, const std::vector<double>& values = {});
  // Lines and bands are clipped to the area; values that are not finite break them.
  void band(const std::vector<double>& xs, const std::vector<double>& low, const std::vector<double>& high,
            const std::string& classes);
  void line(const std::vector<double>& xs, const std::vector<double>& ys, const std::string& classes, bool occupies = true);
  // Adds a series to the read-out.
  void read_out(const Text& name, const std::string& classes, const std::vector<double>& xs, const std::vector<double>& ys);
  // A label beside an arm's line: a free place near the fraction `along` of its visible part, where no other line is nearer.
  void direct_label(const Text& text, const std::vector<double>& xs, const std::vector<double>& ys, double along,
                    const std::string& arm);

  std::string finish();
  Json script_data(const Text& x_unit) const;  // of one chart: scales, pixels, series

 private:
  std::vector<Point> visible(const std::vector<double>& xs, const std::vector<double>& ys) const;

  PlotFrame frame_;
  Axis x_, y_;
  Svg svg_;
  std::string clip_;
  Json series_ = Json::array();
  std::vector<std::pair<std::string, std::vector<Point>>> lines_;  // classes, visible points
};

}  // namespace gamut
