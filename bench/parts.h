// The kinds of measurement, one file each. Each prints its table as it goes, unless `json`, and returns it as JSON.
#pragma once

#include "base/config.h"
#include "base/threads.h"

namespace gamut {

struct BenchRun {
  ThreadPool& pool;
  std::string model;  // config.json or model folder; empty where none was given
  Config settings;    // every key is taken; the caller finishes
  bool json = false;
  bool disagreed = false;  // a kernel gave another result than the reference
};

Json bench_peak(BenchRun& run);       // arithmetic of every tier, read bandwidth
Json bench_gemm(BenchRun& run);       // products of matrices: Y = X·Wᵀ, dX = dY·W, dW = dYᵀ·X
Json bench_ffn(BenchRun& run);        // gated feed-forward layers
Json bench_experts(BenchRun& run);    // mixtures of experts
Json bench_attention(BenchRun& run);
Json bench_optimizer(BenchRun& run);  // AdamW and the norm of the gradient
Json bench_norm(BenchRun& run);       // norms with residual
Json bench_loss(BenchRun& run);       // head and cross-entropy
Json bench_train(BenchRun& run);      // one training step of `model`, random weights
Json bench_mixers(BenchRun& run);   // training cost of a token by mixer and length
Json bench_prefill(BenchRun& run);    // a prompt through `model`, random weights
Json bench_decode(BenchRun& run);     // one token at a time after a prompt

}  // namespace gamut
