#include "base/config.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace gamut {

Config::Config(Json object, Origin origin, std::string prefix)
    : object_(std::move(object)), origin_(std::make_shared<const Origin>(std::move(origin))), prefix_(std::move(prefix)) {
  if (object_.is_null()) object_ = Json::object();
  if (!object_.is_object())
    throw Error({.who = "config",
                 .what = (prefix_.empty() ? std::string("the document") : "'" + prefix_ + "'") + " must be a table, not " + object_.type_name(),
                 .where = origin_->source});
}

bool Config::has(const std::string& key) const {
  asked_.insert(key);
  return object_.contains(key) && !object_.at(key).is_null();
}
bool Config::is_null(const std::string& key) const { return object_.contains(key) && object_.at(key).is_null(); }

const Json* Config::find(const std::string& key) {
  asked_.insert(key);
  taken_.insert(key);
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

Config Config::sub(const std::string& key) {
  const Json* value = find(key);
  Config inner(value ? *value : Json::object(), {.source = origin_->source, .lines = origin_->lines}, full(key));
  return inner;
}

Json Config::take_json(const std::string& key) {
  const Json* value = find(key);
  return value ? *value : Json();
}

void Config::ignore(const std::string& key, const char*) { taken_.insert(key); }

void Config::finish() {
  std::vector<std::string> known(asked_.begin(), asked_.end());
  for (const auto& [key, value] : object_.items()) {
    if (value.is_null() && asked_.contains(key)) continue;  // counts as missing
    if (!taken_.contains(key)) reject(key, "is not a known key", did_you_mean(key, known));
  }
}

void Config::reject(const std::string& key, const std::string& what, const std::string& hint) const {
  std::string where = origin_->source;
  const auto line = origin_->lines.find(full(key));
  if (line != origin_->lines.end()) where += ":" + std::to_string(line->second);
  throw Error({.who = "config", .what = "'" + full(key) + "' " + what, .where = where, .hint = hint});
}

void Config::missing(const std::string& key) const {
  std::vector<std::string> others;  // a misspelt one explains it
  for (const auto& [name, value] : object_.items())
    if (!taken_.contains(name)) others.push_back(name);
  const std::string near = nearest(key, others);
  if (!near.empty()) reject(near, "is not a known key", "did you mean '" + key + "'?");
  throw Error({.who = "config", .what = "key '" + full(key) + "' is missing", .where = origin_->source});
}

void Config::wrong_type(const std::string& key, const Json& value, const char* expected) const {
  std::string shown = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (value.is_number_float() && !std::isfinite(value.get<double>())) shown = std::isnan(value.get<double>()) ? "nan" : "inf";
  if (shown.size() > 40) shown = shown.substr(0, 37) + "...";
  reject(key, std::string("must be ") + expected + ", not " + shown);
}

void Config::out_of_range(const std::string& key, const Json& value) const { reject(key, "is out of range: " + value.dump()); }

std::string Config::take_choice(const std::string& key, const std::string& fallback, const std::vector<std::string>& choices) {
  std::string value = take<std::string>(key, fallback);
  if (std::find(choices.begin(), choices.end(), value) == choices.end())
    reject(key, "is '" + value + "'; expected one of: " + join(choices, ", "), nearest(value, choices).empty() ? "" : did_you_mean(value, choices));
  return value;
}

}  // namespace gamut
