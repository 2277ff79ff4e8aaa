// Small helpers for people: nearest names, sizes, durations.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gamut {

// The known name nearest to `name` in edits, or "" if none is near.
std::string nearest(std::string_view name, std::span<const std::string> known);
// "did you mean 'width'?" or "known: a, b, c".
std::string did_you_mean(std::string_view name, std::span<const std::string> known);

std::string human_count(double n);       // 1.2M, 950, 3.4k
std::string human_bytes(double bytes);   // 1.5 GiB
std::string human_seconds(double s);     // 0.4 s, 12 s, 3 min 20 s, 1 h 5 min

std::vector<std::string> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);
std::string_view trim(std::string_view text);

}  // namespace gamut
