// Strict configuration: every key is taken or deliberately ignored; a key left over is an error naming it.
//
//   Config cfg(document.value, {.source = "model/config.json"});
//   const int width = cfg.take<int>("hidden_size");
//   const double theta = cfg.take<double>("rope_theta", 10000.0);   // with a default
//   cfg.ignore("torch_dtype", "the weights say it themselves");
//   cfg.finish();                                                   // left-over keys: one Error with the nearest name
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace gamut {

// Where a configuration came from: for messages only.
struct Origin {
  std::string source;                // file or "command line"
  std::map<std::string, int> lines;  // full key path → line, where known
};

class Config {
 public:
  explicit Config(Json object, Origin origin = {}, std::string prefix = "");

  bool has(const std::string& key) const;
  bool is_null(const std::string& key) const;

  // The value of `key`; Error when missing or of another type. A JSON null counts as missing.
  template <class T> T take(const std::string& key);
  template <class T> T take(const std::string& key, std::type_identity_t<T> fallback);

  // Nested table. `sub` of a missing key is an empty table, so that defaults apply.
  Config sub(const std::string& key);
  Json take_json(const std::string& key);                       // any value, unchecked
  void ignore(const std::string& key, const char* reason);      // present or not
  void finish();

  // An Error about `key` of this table, with its place in the file.
  [[noreturn]] void reject(const std::string& key, const std::string& what, const std::string& hint = "") const;
  // Takes a number and checks it lies in [low, high].
  template <class T> T take_in(const std::string& key, T fallback, T low, T high);
  template <class T> T take_in(const std::string& key, T low, T high);  // must be there
  // Takes a string that must be one of `choices`.
  std::string take_choice(const std::string& key, const std::string& fallback, const std::vector<std::string>& choices);

  const std::string& prefix() const { return prefix_; }
  const Origin& origin() const { return *origin_; }

 private:
  Json object_;
  std::shared_ptr<const Origin> origin_;
  std::string prefix_;
  mutable std::set<std::string> asked_;
  std::set<std::string> taken_;

  const Json* find(const std::string& key);
  [[noreturn]] void missing(const std::string& key) const;
  [[noreturn]] void wrong_type(const std::string& key, const Json& value, const char* expected) const;
  [[noreturn]] void out_of_range(const std::string& key, const Json& value) const;
  template <class T> T convert(const std::string& key, const Json& value) const;
  template <class T> T within(const std::string& key, T value, T low, T high) const;
  std::string full(const std::string& key) const { return prefix_.empty() ? key : prefix_ + "." + key; }
};

// ---- implementation of the templates ----

template <class T> struct is_vector : std::false_type {};
template <class T> struct is_vector<std::vector<T>> : std::true_type {};

template <class T> T Config::convert(const std::string& key, const Json& value) const {
  if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_boolean()) wrong_type(key, value, "true or false");
    return value.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    // 1e6 and 4.0 are whole numbers too: people write them.
    if (value.is_number_float()) {
      const double d = value.get<double>();
      if (d != std::floor(d)) wrong_type(key, value, "a whole number");  // also NaN
      constexpr double kEnd = 2.0 * static_cast<double>(std::numeric_limits<T>::max() / 2 + 1);  // one past the largest, exact
      if (!(d >= static_cast<double>(std::numeric_limits<T>::min()) && d < kEnd)) out_of_range(key, value);
      return static_cast<T>(d);
    }
    if (!value.is_number_integer()) wrong_type(key, value, "a whole number");
    if (value.is_number_unsigned() ? !std::in_range<T>(value.get<uint64_t>()) : !std::in_range<T>(value.get<int64_t>())) out_of_range(key, value);
    return value.get<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!value.is_number()) wrong_type(key, value, "a number");
    const double d = value.get<double>();
    if (!std::isfinite(d)) wrong_type(key, value, "a finite number");
    if (std::abs(d) > static_cast<double>(std::numeric_limits<T>::max())) out_of_range(key, value);
    return static_cast<T>(d);
  } else if constexpr (is_vector<T>::value) {
    if (!value.is_array()) wrong_type(key, value, "a list");
    T out;
    for (const Json& item : value) out.push_back(convert<typename T::value_type>(key, item));
    return out;
  } else {
    static_assert(std::is_same_v<T, std::string>, "Config::take: bool, integer, float, string or vector of these");
    if (!value.is_string()) wrong_type(key, value, "a string");
    return value.get<std::string>();
  }
}

template <class T> T Config::take(const std::string& key) {
  const Json* value = find(key);
  if (!value) missing(key);
  return convert<T>(key, *value);
}

template <class T> T Config::take(const std::string& key, std::type_identity_t<T> fallback) {
  const Json* value = find(key);
  return value ? convert<T>(key, *value) : fallback;
}

template <class T> T Config::take_in(const std::string& key, T fallback, T low, T high) {
  return within(key, take<T>(key, fallback), low, high);
}

template <class T> T Config::take_in(const std::string& key, T low, T high) { return within(key, take<T>(key), low, high); }

template <class T> T Config::within(const std::string& key, T value, T low, T high) const {
  if (!(value >= low && value <= high)) {
    Json l = low, h = high, v = value;
    reject(key, "must lie between " + l.dump() + " and " + h.dump() + ", not " + v.dump());
  }
  return value;
}

}  // namespace gamut
