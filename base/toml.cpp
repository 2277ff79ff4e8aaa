#include "base/toml.h"

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include <sstream>

#include "base/error.h"
#include "base/io.h"

namespace gamut {
namespace {

Json to_json(const toml::node& node, const std::string& path, Origin& origin) {
  origin.lines[path] = static_cast<int>(node.source().begin.line);
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      object[name] = to_json(value, path.empty() ? name : path + "." + name, origin);
    }
    return object;
  }
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (const toml::node& item : *array) list.push_back(to_json(item, path, origin));
    return list;
  }
  if (const auto* v = node.as_string()) return v->get();
  if (const auto* v = node.as_integer()) return v->get();
  if (const auto* v = node.as_floating_point()) return v->get();
  if (const auto* v = node.as_boolean()) return v->get();
  throw Error({.who = "recipe", .what = "dates and times have no meaning here", .where = origin.source + ":" + std::to_string(node.source().begin.line)});
}

toml::table to_table(const Json& object);
toml::array to_array(const Json& list);

// Calls `put` with the TOML value of `value`; null has none and is left out.
template <class Put> void with_value(const Json& value, Put put) {
  if (value.is_object()) {
    put(to_table(value));
  } else if (value.is_array()) {
    put(to_array(value));
  } else if (value.is_boolean()) {
    put(value.get<bool>());
  } else if (value.is_number_integer()) {
    put(value.get<int64_t>());
  } else if (value.is_number()) {
    put(value.get<double>());
  } else if (value.is_string()) {
    put(value.get<std::string>());
  }
}

toml::array to_array(const Json& list) {
  toml::array array;
  for (const Json& item : list) with_value(item, [&](auto&& v) { array.push_back(std::forward<decltype(v)>(v)); });
  return array;
}

toml::table to_table(const Json& object) {
  toml::table table;
  for (const auto& [key, value] : object.items())
    with_value(value, [&, name = key](auto&& v) { table.insert(name, std::forward<decltype(v)>(v)); });
  return table;
}

// Each dot of a key opens a table, and tables nested by the ten thousand overflow the stack when they are walked or freed.
bool has_endless_key(std::string_view text) {
  constexpr int kMostParts = 256;
  int dots = 0;
  for (const char c : text) {
    if (c == '.' && ++dots > kMostParts) return true;
    if (c == '=' || c == ',' || c == '\n' || c == '[' || c == '{') dots = 0;
  }
  return false;
}

}  // namespace

ConfigDocument parse_toml(std::string_view text, const std::string& source) {
  ConfigDocument document;
  document.origin.source = source;
  if (has_endless_key(text)) throw Error({.who = "recipe", .what = "tables are nested too deep", .where = source});
  try {
    const toml::table table = toml::parse(text, source);
    document.value = to_json(table, "", document.origin);
  } catch (const toml::parse_error& error) {
    throw Error({.who = "recipe",
                 .what = std::string("not valid TOML: ") + std::string(error.description()),
                 .where = source + ":" + std::to_string(error.source().begin.line)});
  }
  return document;
}

ConfigDocument read_toml(const std::filesystem::path& path) { return parse_toml(read_file(path), path.string()); }

std::string write_toml(const Json& table) {
  std::ostringstream out;
  out << to_table(table) << '\n';
  return out.str();
}

void apply_override(ConfigDocument& document, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    throw Error({.who = "recipe", .what = "'" + assignment + "' is not of the form section.key=value", .where = "command line"});
  const std::string path = assignment.substr(0, equals), text = assignment.substr(equals + 1);
  try {
    (void)Json(assignment).dump();
  } catch (const Json::type_error&) {
    throw Error({.who = "recipe", .what = "'" + assignment + "' is not UTF-8 text", .where = "command line"});
  }
  if (has_endless_key(path)) throw Error({.who = "recipe", .what = "tables are nested too deep", .where = "command line"});
  Json value = text;
  try {
    const toml::table parsed = has_endless_key(text) ? toml::table() : toml::parse("v = " + text + "\n");
    Origin unused;
    if (parsed.size() == 1) value = to_json(*parsed.get("v"), "", unused);
  } catch (const toml::parse_error&) {  // a word
  } catch (const Error&) {              // a date, such as a folder's name
  }
  Json* at = &document.value;
  size_t begin = 0;
  while (true) {
    const size_t dot = path.find('.', begin);
    const std::string key = path.substr(begin, dot - begin);
    if (key.empty()) throw Error({.who = "recipe", .what = "'" + path + "' has an empty part", .where = "command line"});
    if (!at->is_object() && !at->is_null())
      throw Error({.who = "recipe", .what = "'" + path.substr(0, begin ? begin - 1 : 0) + "' is a value, not a table", .where = "command line"});
    at = &(*at)[key];
    if (dot == std::string::npos) break;
    begin = dot + 1;
  }
  *at = std::move(value);
  document.origin.lines.erase(path);
}

}  // namespace gamut
