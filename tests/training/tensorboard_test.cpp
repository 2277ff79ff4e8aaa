#include "training/tensorboard.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "temp_folder.h"

namespace gamut {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

TEST(Tensorboard, Crc32cVectorsOfRfc3720) {
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) {
    ascending += static_cast<char>(i);
    descending += static_cast<char>(31 - i);
  }
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(crc32c(descending), 0x113fdb5cu);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

// Golden bytes from TensorBoard's own EventFileWriter (tools/check_tensorboard.py prints them).
TEST(Tensorboard, ScalarsAreTheBytesTensorboardWrites) {
  const std::vector<Scalar> scalars{{"train/loss", 2.5f}, {"rate", 0.001f}};
  EXPECT_EQ(hex(tensorboard_record(tensorboard_scalars(1700000000.25, 300, scalars))), 
            "2e00000000000000c5cb57fa0900001040fc54d94110ac022a200a110a0a747261696e2f6c6f737315000020400a0b0a0472"
            "617465156f12833a49c47c42");
}

TEST(Tensorboard, FilesBeginWithTheirVersionAndAResumeHidesLaterSteps) {
  const TempFolder folder;
  const std::vector<Scalar> scalars{{"a", 1}};
  for (const int64_t resumed : {0, 7}) {
    TensorboardLog log(folder / "tensorboard", resumed);
    log.append(resumed + 1, scalars);
  }
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "tensorboard")) {
    ++files;
    const std::string text = read_file(entry.path());
    EXPECT_TRUE(entry.path().filename().string().starts_with("events.out.tfevents."));
    EXPECT_TRUE(contains(text, "brain.Event:2"));
    std::vector<std::string> events;
    for (size_t at = 0; at < text.size();) {
      uint64_t length = 0;
      std::memcpy(&length, text.data() + at, 8);
      events.push_back(text.substr(at + 12, length));
      EXPECT_EQ(text.substr(at, length + 16), tensorboard_record(events.back()));
      at += length + 16;
    }
    const bool resumed = entry.path().string().ends_with(".7");
    ASSERT_EQ(events.size(), resumed ? 3u : 2u);
    if (resumed) {
      EXPECT_EQ(hex(events[1].substr(9)), "10083a020801") << "step 8, session started";
    }
  }
  EXPECT_EQ(files, 2);
}

}  // namespace
}  // namespace gamut
