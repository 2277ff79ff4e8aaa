// Generation on random weights: the prompt at once (bound by arithmetic), then token by token (bound by memory).
#include <fmt/format.h>

#include <filesystem>
#include <iostream>

#include "base/rng.h"
#include "bench/measure.h"
#include "bench/parts.h"
#include "families/family.h"
#include "generation/decoder.h"
#include "kernels/cpu.h"
#include "training/memory.h"

namespace gamut {
namespace {

struct Setup {
  ModelSpec spec;
  int64_t prompt, fresh, batch;
  double seconds;
};

Setup setup_of(BenchRun& run, const char* who) {
  if (run.model.empty()) throw Error({.who = std::string("bench ") + who, .what = "needs a model", .hint = std::string("for example gamut bench ") + who + " config.json prompt=512 new=128"});
  Setup s{read_model_config(run.model).spec, 0, 0, 0, 0};
  s.prompt = run.settings.take_in<int64_t>("prompt", std::min<int64_t>(512, s.spec.max_positions - 1), 1, s.spec.max_positions - 1);
  s.fresh = run.settings.take_in<int64_t>("new", std::min<int64_t>(128, s.spec.max_positions - s.prompt), 1, s.spec.max_positions - s.prompt);
  s.batch = run.settings.take_in<int64_t>("batch", 1, 1, 1 << 16);
  s.spec.dtype = run.settings.take_choice("dtype", s.spec.dtype, {"f32", "bf16"});
  s.seconds = run.settings.take_in<double>("seconds", 3.0, 0.0, 1e5);
  run.settings.finish();
  return s;
}

std::vector<int32_t> random_tokens(int64_t n, int64_t vocab) {
  const RandomStream stream(1, "bench", "prompt");
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>(stream.below(static_cast<uint64_t>(i), static_cast<uint64_t>(vocab))));
  return ids;
}

Json result_of(BenchRun& run, const Setup& s, const Timing& time, double tokens, const char* limit_name, double used, double limit) {
  const double rate = tokens / time.median;
  const Json result = {{"model", std::filesystem::path(run.model).stem().string()}, {"prompt", s.prompt}, {"new", s.fresh}, {"batch", s.batch}, {"dtype", s.spec.dtype}, {"tokens_per_s", rate},
                       {limit_name, used / time.median}, {"limit", limit}, {"share", used / time.median / limit}, {"seconds", time.to_json()}, {"peak_rss_bytes", peak_resident_bytes()},
                       {"tier", std::string(kernels::name_of(kernels::best_tier()))}, {"threads", run.pool.threads()}};
  if (!run.json)
    std::cout << fmt::format("{}: {:.1f} tokens/s (half of {} runs within {:.0f} %), {:.1f} % of the machine's {}\n", result["model"].get<std::string>(), rate, time.runs, 100 * time.spread(),
                             100 * used / time.median / limit, limit_name);
  return result;
}

}  // namespace

Json bench_prefill(BenchRun& run) {
  const Setup s = setup_of(run, "prefill");
  const Device device = Device::real(run.pool);
  Model model(s.spec, device);
  model.parameters().initialise(1, run.pool);
  const std::vector<int32_t> ids = random_tokens(s.batch * s.prompt, s.spec.vocab);
  const Limits limits = measure_limits(run.pool);
  const Timing time = measure(s.seconds, 3, [&] { Decoder(model, device, s.batch, s.prompt).take(ids, 512); });
  const double tokens = static_cast<double>(s.batch * s.prompt);
  return result_of(run, s, time, tokens, "flops", 2 * model.parameters().active_matrix() * tokens, s.spec.dtype == "bf16" ? limits.bf16 : limits.f32);
}

Json bench_decode(BenchRun& run) {
  const Setup s = setup_of(run, "decode");
  const Device device = Device::real(run.pool);
  Model model(s.spec, device);
  model.parameters().initialise(1, run.pool);
  const std::vector<int32_t> prompt = random_tokens(s.batch * s.prompt, s.spec.vocab), next = random_tokens(s.batch, s.spec.vocab);
  const double read = measure_limits(run.pool).read;
  const auto answer = [&](int64_t fresh) {
    Decoder decoder(model, device, s.batch, s.prompt + fresh);
    decoder.take(prompt, 512);
    std::vector<double> steps;
    for (int64_t i = 0; i < fresh; ++i) steps.push_back(measure_once([&] { decoder.take(next, 1); }));
    return steps;
  };
  answer(1);  // packs weights
  std::vector<double> steps;
  for (double total = 0; total < s.seconds || steps.empty();)
    for (const double t : answer(s.fresh)) {
      steps.push_back(t);
      total += t;
    }
  // A step reads the weights a token is multiplied by once for the batch, and each row's state.
  const double element = s.spec.dtype == "bf16" ? 2 : 4;
  return result_of(run, s, timing_of(steps), static_cast<double>(s.batch), "bytes_per_s", model.parameters().active_matrix() * element, read);
}

}  // namespace gamut
