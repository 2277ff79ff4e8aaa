// Debian packages as sources of text: downloaded and unpacked, never installed. Works for any user.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace gamut {

struct DebianPackage {
  std::string name, version;
  std::filesystem::path file;  // the .deb
};

// The package from cache/packages, or else downloaded there with apt-get, at need with package lists of our own in cache/apt.
// Error naming data.path when it cannot be had.
DebianPackage fetch_package(const std::string& name, const std::filesystem::path& cache);

// Unpacks the package in `scratch` (removed before return) and calls use(root).
void with_unpacked(const DebianPackage& package, const std::filesystem::path& scratch,
                   const std::function<void(const std::filesystem::path& root)>& use);

}  // namespace gamut
