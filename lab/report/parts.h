// Pieces that sections are made of: numbers as words, headings, tables, figures.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "lab/report/plot.h"
#include "lab/report/svg.h"

namespace gamut {

// Numbers for people; a minus is U+2212, what is not finite is "–".
std::string fixed(double value, int digits);
std::string signed_fixed(double value, int digits);                    // +0.009, −0.051
std::string ratio_text(double ratio);                                  // 0.61×, 12.3×
Text interval_text(const Json& ratio, int digits, bool sign = false);  // "[0.55, 0.68]", or "[one seed]"
Text count_text(double n);                                             // 1.2 M
Text bytes_text(double bytes);                                         // 410 MiB
Text duration_text(double seconds);                                    // 12 min 41 s
Text power_text(double value);                                         // 3.1·10¹³

// A section's heading, what it shows in one or two lines, and its switches (HTML, may be empty).
std::string heading(const Text& title, const Text& caption = {}, const std::string& tools = "");
// A switch of the page: an input that style sheet and script read by its id. Works without script.
std::string radio(const std::string& group, const std::string& id, const Text& label, bool checked);
std::string checkbox(const std::string& id, const Text& label, bool checked, const std::string& classes = "");

class Table {
 public:
  struct Column {
    Text head;
    bool figures = false;      // right-aligned, tabular digits
    std::string classes = "";  // "roomy": hidden on a narrow screen
  };
  explicit Table(std::vector<Column> columns, std::string classes = "")
      : columns_(std::move(columns)), classes_(std::move(classes)) {}
  void row(const std::vector<std::string>& cells, const std::string& classes = "");  // cells are HTML
  std::string html() const;
  bool empty() const { return rows_.empty(); }

 private:
  std::vector<Column> columns_;
  std::string classes_, rows_;
};

// Charts with their words and numbers below: `alternative` says what is seen and carries the id the charts are described by.
std::string figure(const std::string& id, const std::string& charts, const Text& alternative, const Table& data);
std::string alternative_id(const std::string& figure_id);

// What is known, as pairs of a name and a value, in two columns.
struct Fact {
  Text name;
  std::string value;  // HTML
  bool warns = false;
};
std::string fact_list(const std::vector<Fact>& facts, const std::string& classes = "");

// One row of a forest plot: estimate and interval on a common scale, the noise floor behind it, grey unless resolved.
struct Forest {
  Range range;
  double noise = 0;
};
Forest forest_of(const std::vector<const Json*>& ratios, double noise);
std::string forest_row(const Forest& forest, const Json& ratio, int slot);
// "MoE better", "MoE worse", "not resolved" for a difference where lower is better.
Text better_or_worse(const Json& ratio, const Text& who);

}  // namespace gamut
