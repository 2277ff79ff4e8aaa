// Results on disk that are made once: complete or absent, also when the maker is killed or two run at the same time.
#pragma once

#include <filesystem>
#include <functional>

namespace gamut {

// Calls make(aside) with an empty folder beside `folder` and renames it to `folder`; does nothing when `folder` exists.
// Makers of one folder wait for each other. Returns whether it was made now.
bool make_once(const std::filesystem::path& folder, const std::function<void(const std::filesystem::path& aside)>& make);

}  // namespace gamut
