#include "ops/cross_entropy.h"

#include "ops/cases/families.h"

namespace gamut::ops::cases {
namespace {

enum class With : uint8_t { plain, bias_and_weights, softcap };

Case head_case(std::string name, Shape hidden, int64_t vocab, std::vector<double> targets, double z = 0, With with = With::plain) {
  const auto counted = std::count_if(targets.begin(), targets.end(), [](double t) { return t >= 0; });
  const double scale = 1.0 / static_cast<double>(std::max<int64_t>(1, counted));
  Case c{.name = "cross_entropy/" + name,
         .inputs = {activation("hidden", hidden), weight("w", {vocab, hidden.width()}), ids("target", {hidden.rows()}, std::move(targets))}};
  if (with == With::bias_and_weights) {
    c.inputs.push_back(vector("bias", vocab));
    std::vector<double> weights;
    for (int64_t i = 0; i < hidden.rows(); ++i) weights.push_back(0.25 + 0.5 * static_cast<double>(i % 4));
    c.inputs.push_back({.name = "weight", .kind = Kind::constant, .shape = {hidden.rows()}, .values = weights});
  }
  c.apply = [=](Tape& tape, Inputs in) {
    const bool more = with == With::bias_and_weights;
    const HeadLoss r = ops::cross_entropy(tape, in[0], {in[1], more ? in[3] : Tensor()}, in[2], scale, z, more ? in[4] : Tensor(), with == With::softcap ? 1.5 : 0);
    return std::vector{r.loss, r.token_N};
  };
  return c;
}

// Every third target is ignored.
std::vector<double> targets_with_gaps(int64_t n, int64_t vocab, std::string_view name) {
  std::vector<double> out = random_ids(n, vocab, name);
  for (size_t i = 0; i < out.size(); i += 3) out[i] = -1;
  return out;
}

}  // namespace

void cross_entropy(Size size, Add add) {
  if (size == Size::lab) {
    add(head_case("head", {Lab::tokens, Lab::d}, Lab::vocab, random_ids(Lab::tokens, Lab::vocab, "lab")));
    return;
  }
  if (size == Size::model || size == Size::model_sample) {
    struct Sizes {
      int64_t tokens, d, vocab;
    };
    for (const Sizes& s : {Sizes{8192, 128, 2048}, Sizes{8192, 256, 4096}, Sizes{2048, 768, 50304}}) {
      const int64_t tokens = size == Size::model ? s.tokens : 64;
      const std::string name = "d" + std::to_string(s.d) + "_vocab" + std::to_string(s.vocab);
      add(head_case(name, {tokens, s.d}, s.vocab, random_ids(tokens, s.vocab, name)));
    }
    return;
  }
  add(head_case("one", {1, 1}, 2, {1}));
  add(head_case("odd", {2, 3, 5}, 7, random_ids(6, 7, "odd")));
  add(head_case("ignored", {8, 4}, 9, targets_with_gaps(8, 9, "ignored")));
  add(head_case("all_ignored", {3, 4}, 5, {-1, -1, -1}));
  add(head_case("z", {6, 4}, 11, random_ids(6, 11, "z"), 0.05));
  add(head_case("z_ignored", {6, 4}, 11, targets_with_gaps(6, 11, "z"), 0.05));
  add(head_case("bias_weights", {7, 4}, 9, targets_with_gaps(7, 9, "ignored"), 0.05, With::bias_and_weights));
  add(head_case("bias_slices", {2100, 3}, 5, targets_with_gaps(2100, 5, "slices"), 0, With::bias_and_weights));
  add(head_case("softcap", {7, 4}, 9, targets_with_gaps(7, 9, "ignored"), 0.05, With::softcap));
  add(head_case("softcap_slices", {2100, 3}, 5, targets_with_gaps(2100, 5, "slices"), 0, With::softcap));
  add(head_case("slices", {2100, 3}, 5, targets_with_gaps(2100, 5, "slices"), 0.01));
}

}  // namespace gamut::ops::cases
