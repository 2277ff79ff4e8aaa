#include "data/corpus.h"

#include <fstream>
#include <set>

#include "data/dataset.h"
#include "data/readers/inflate.h"
#include "data/readers/markup.h"
#include "data/readers/r_data.h"
#include "temp_folder.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

void put(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::string paragraph(int i) {
  return "Paragraph " + std::to_string(i) + " tells of matter number " + std::to_string(i * 7919 % 1000) + ".\nIt goes on for line " + std::to_string(i * 31) + " and then it ends.\n\n";
}

TEST(Readers, Html) {
  const std::string text = tidy(text_of_html("<html><head><title>t</title><style>p{}</style></head><body><nav>Home</nav><h1>Head &amp; line</h1><p>One<br>two &#x4e2d;&eacute;</p>"
                                             "<script>var x = '<p>';</script><!-- gone --><pre>  a\n    b</pre><ul><li>item</li></ul></body></html>"));
  EXPECT_TRUE(contains(text, "Head & line\n")) << text;
  EXPECT_TRUE(contains(text, "One\ntwo 中é")) << text;
  EXPECT_TRUE(contains(text, "  a\n    b")) << text;
  EXPECT_TRUE(contains(text, "item"));
  for (const char* gone : {"Home", "var x", "gone", "p{}", "<"}) EXPECT_FALSE(contains(text, gone)) << gone;
}

TEST(Readers, Markdown) {
  const std::string text = tidy(text_of_markdown("# Title\n\nSome *stress* and **more** with [a link](http://x.y) and `code`.\n\n---\n\n```\nx = 1\n```\n"));
  EXPECT_TRUE(contains(text, "Title"));
  EXPECT_TRUE(contains(text, "Some stress and more with a link and code.")) << text;
  EXPECT_TRUE(contains(text, "x = 1"));
  for (const char* gone : {"#", "**", "http", "```", "---"}) EXPECT_FALSE(contains(text, gone)) << gone << " in " << text;
}

TEST(Readers, ManualPages) {
  const std::string text = tidy(text_of_roff(".TH LS 1\n.SH NAME\nls \\- list \\fBdirectory\\fR contents\n.\\\" a comment\n.PP\nMore text.\n"));
  EXPECT_TRUE(contains(text, "NAME"));
  EXPECT_TRUE(contains(text, "list directory contents")) << text;
  EXPECT_TRUE(contains(text, "More text."));
  for (const char* gone : {"\\f", ".SH", "comment"}) EXPECT_FALSE(contains(text, gone)) << gone << " in " << text;
}

TEST(Readers, TidyText) { EXPECT_EQ(tidy("a  \r\nb\rc\x01\x1b[31md\n\n\n\ne\n\n"), "a\nb\ncd\n\ne\n"); }

TEST(Readers, DamagedDataIsAnError) {
  EXPECT_ERROR(inflate("not gzip at all", "x.gz"), "x.gz");
  EXPECT_ERROR(read_r_strings(std::string("\0\0\0\5garbage", 11), "x.rdb"), "x.rdb");
}

RawDomain numbered(int documents) {
  RawDomain raw;
  for (int d = 0; d < documents; ++d) {
    std::string text;
    for (int i = 0; i < 30; ++i) text += paragraph(d * 30 + i);
    raw.documents.push_back({"doc " + std::to_string(d), text});
  }
  return raw;
}

TEST(Corpus, RepeatedLinesAndDocumentsGo) {
  RawDomain raw = numbered(40);
  const std::string banner = "This banner stands at the top of every single page.\n";
  for (TextDocument& document : raw.documents) document.text = banner + document.text + "short\n";
  raw.documents.push_back(raw.documents[3]);
  const Corpus corpus = make_corpus({{"text", raw}});
  size_t banners = 0, shorts = 0;
  for (const auto* split : {&corpus.domains.at("text").train, &corpus.domains.at("text").validation})
    for (const TextDocument& document : *split) {
      banners += contains(document.text, banner.substr(0, 30));
      shorts += contains(document.text, "short");
    }
  EXPECT_EQ(banners, 1u);
  EXPECT_EQ(shorts, 40u) << "short lines repeat for good reasons";
  EXPECT_EQ(corpus.manifest.at("cleaning").at("text").at("repeated_documents"), 1);
  EXPECT_EQ(corpus.manifest.at("cleaning").at("text").at("repeated_lines"), 39);
}

TEST(Corpus, NoDocumentIsInBothSplits) {
  const Corpus corpus = make_corpus({{"text", numbered(200)}});
  const Domain& domain = corpus.domains.at("text");
  std::set<std::string> train, both;
  for (const TextDocument& document : domain.train) train.insert(document.source.substr(0, document.source.find(" #")));
  for (const TextDocument& document : domain.validation)
    if (train.contains(document.source.substr(0, document.source.find(" #")))) both.insert(document.source);
  EXPECT_TRUE(both.empty());
  EXPECT_GT(domain.validation.size(), 5u);
  EXPECT_EQ(train.size() + domain.validation.size(), 200u) << "nothing is lost";
}

TEST(Corpus, ReadsTheUsersText) {
  TempFolder folder;
  put(folder / "a.txt", "Top text.\n");
  put(folder / "code/b.md", "# Inner");
  put(folder / "code/c.jsonl", "{\"text\": \"one\"}\n\n{\"text\": \"two\", \"more\": 1}\n");
  put(folder / ".hidden", std::string("\0", 1));
  const auto raw = read_own_text(folder.path());
  ASSERT_EQ(raw.size(), 2u);
  EXPECT_EQ(raw.at("text").documents.at(0).text, "Top text.\n");
  EXPECT_EQ(raw.at("code").documents.size(), 3u);
  EXPECT_EQ(raw.at("code").documents.at(2).text, "two\n");
}

TEST(Corpus, BadTextIsAnErrorNamingTheFile) {
  TempFolder folder;
  EXPECT_ERROR(read_own_text(folder.path()), "empty corpus");
  EXPECT_ERROR(read_own_text(folder / "nothing"), "no such file or folder");
  put(folder / "image.txt", std::string("\x89PNG\0\0", 6));
  EXPECT_ERROR(read_own_text(folder.path()), "binary file as text");
  put(folder / "image.txt", "caf\xe9 in Latin-1");
  EXPECT_ERROR(read_own_text(folder.path()), "not UTF-8 at offset 3");
  put(folder / "image.txt", "fine");
  put(folder / "x.jsonl", "{\"text\": \"one\"}\n{\"txt\": 1}\n");
  EXPECT_ERROR(read_own_text(folder.path()), "x.jsonl:2");
  EXPECT_ERROR(make_corpus(read_own_text(folder / "image.txt")), "too little to train and validate");
}

DataOptions own(const TempFolder& folder) {
  for (int d = 0; d < 40; ++d) {
    std::string text;
    for (int i = 0; i < 30; ++i) text += paragraph(d * 30 + i);
    put(folder / ("texts/doc" + std::to_string(d) + ".txt"), text);
  }
  return {.path = folder / "texts", .vocab_size = 400, .cache = folder / "cache"};
}

TEST(Dataset, IsPreparedOnceAndReopened) {
  TempFolder folder;
  const DataOptions options = own(folder);
  ThreadPool pool(2);
  const Dataset first = prepare_dataset(options, pool), again = prepare_dataset(options, pool);
  EXPECT_EQ(first.folder, again.folder);
  EXPECT_EQ(first.hash, again.hash);
  EXPECT_EQ(first.tokenizer->vocab_size(), 400);
  const Json& about = first.manifest.at("domains").at("text");
  EXPECT_EQ(about.at("train_tokens").get<int64_t>(), first.train.at(0)->tokens());
  EXPECT_EQ(about.at("validation_bytes").get<int64_t>(), first.validation.at(0)->text_bytes());
  EXPECT_EQ(about.at("train_documents").get<int64_t>(), first.train.at(0)->documents());

  export_dataset(first, folder / "out");
  fs::remove_all(folder / "cache");
  const Dataset copy = prepare_dataset({.path = folder / "out", .cache = folder / "elsewhere"}, pool);
  EXPECT_EQ(copy.hash, first.hash);
  EXPECT_FALSE(fs::exists(folder / "elsewhere"));
  EXPECT_ERROR(export_dataset(copy, folder / "out"), "exists already");
}

TEST(Dataset, HoldsTheTextOfItsDocuments) {
  TempFolder folder;
  ThreadPool pool(1);
  const Dataset data = prepare_dataset(own(folder), pool);
  const TokenShard& shard = *data.train.at(0);
  std::vector<int32_t> ids(static_cast<size_t>(shard.document_start(1) - shard.document_start(0)));
  shard.read(shard.document_start(0), ids);
  EXPECT_EQ(ids.at(0), data.tokenizer->eos());
  const std::string text = data.tokenizer->decode(ids);
  EXPECT_EQ(static_cast<int64_t>(text.size()), shard.document_bytes(0));
  EXPECT_TRUE(text.starts_with("Paragraph "));
}

TEST(Dataset, MixedUpFilesAreRefused) {
  TempFolder folder;
  ThreadPool pool(1);
  const DataOptions options = own(folder);
  DataOptions larger = options;
  larger.vocab_size = 450;
  export_dataset(prepare_dataset(options, pool), folder / "a");
  export_dataset(prepare_dataset(larger, pool), folder / "b");
  const auto mix = [&](const char* file) {
    fs::remove_all(folder / "c");
    fs::copy(folder / "a", folder / "c", fs::copy_options::recursive);
    fs::copy_file(folder / "b" / file, folder / "c" / file, fs::copy_options::overwrite_existing);
  };
  mix("text.train.tokens");
  EXPECT_ERROR(open_dataset(folder / "c"), "do not belong together");
  mix("tokenizer.json");
  EXPECT_ERROR(open_dataset(folder / "c"), "do not belong together");
  mix("manifest.json");
  EXPECT_ERROR(open_dataset(folder / "c"), "the manifest says hash");
  EXPECT_ERROR(prepare_dataset({.path = folder / "texts", .vocab_size = 1 << 20, .cache = folder / "cache"}, pool), "ask for a smaller vocabulary");
}

TEST(Dataset, UnknownRecipesAreErrorsWithTheNearestName) {
  ThreadPool pool(1);
  EXPECT_ERROR(prepare_dataset({.recipe = "tinny"}, pool), "tiny");
}

}  // namespace
}  // namespace gamut
