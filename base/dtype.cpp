#include "base/dtype.h"

#include <array>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace gamut {
namespace {
struct Row {
  DType type;
  std::string_view name;
  size_t bytes;
};
constexpr std::array kRows{Row{DType::f32, "f32", 4}, Row{DType::bf16, "bf16", 2}, Row{DType::f64, "f64", 8},
                           Row{DType::i32, "i32", 4}, Row{DType::i64, "i64", 8},   Row{DType::u8, "u8", 1},
                           Row{DType::u16, "u16", 2}, Row{DType::f16, "f16", 2},   Row{DType::i8, "i8", 1},
                           Row{DType::i16, "i16", 2}, Row{DType::u32, "u32", 4},   Row{DType::u64, "u64", 8},
                           Row{DType::boolean, "bool", 1}};
const Row& row(DType type) {
  for (const Row& r : kRows)
    if (r.type == type) return r;
  return kRows[0];
}
}  // namespace

size_t size_of(DType type) { return row(type).bytes; }
std::string_view name_of(DType type) { return row(type).name; }

DType dtype_named(std::string_view name) {
  std::vector<std::string> known;
  for (const Row& r : kRows) {
    if (r.name == name) return r.type;
    known.emplace_back(r.name);
  }
  throw Error({.who = "dtype", .what = "unknown element type '" + std::string(name) + "'", .hint = did_you_mean(name, known)});
}

}  // namespace gamut
