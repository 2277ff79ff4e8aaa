// Matrix products on packed weights: C = A·B, several products at once, and weight gradients Aᵀ·B.
//
// Types: f32 and bf16 inputs are summed in float32, f64 in double. Letters: M rows (tokens), K summed, N columns.
//
// What every tier guarantees, bit for bit: a row of C depends on that row of A, on B and on the bias alone, not on M, on
// the rows beside it, on how rows are divided into problems, or on the number of threads. Tiers differ from each other
// by rounding: relative to Σ|a·b|, at most K·2⁻²⁴ for f32 and bf16 inputs and K·2⁻⁵³ for f64 (gemm_test).
//
// These calls use slots 4 to 7 of the pool's scratch memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/dtype.h"
#include "base/threads.h"

namespace gamut::kernels {

// B[K,N] in panels of 16 columns, zero padded, 64-byte aligned, so that a kernel reads it in one straight line:
//   bf16      [⌈N/16⌉][⌈K/32⌉][16 pairs][16 columns][2]   the tiles of AMX, and the operand order of vdpbf16ps
//   f32, f64  [⌈N/16⌉][K][16]
struct PackedMatrix {
  DType dtype = DType::f32;
  int64_t k = 0, n = 0;
  const std::byte* data = nullptr;
};

// Bytes of the packed form; a multiple of 64.
int64_t packed_bytes(DType dtype, int64_t k, int64_t n);

// Packs B[k,n] = src[k·row_stride + n·col_stride] (strides in elements), converting to `dtype` (bf16: round to nearest even).
// src is f32, or f64 when dtype is f64. dst: packed_bytes(dtype, k, n), 64-byte aligned. The same bytes on every tier.
void pack(ThreadPool& pool, DType dtype, const void* src, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
          std::byte* dst);

// A[M,K]·B: A row major in b.dtype, rows `lda` elements apart; M is the problem's.
struct GemmTerm {
  const void* a = nullptr;
  int64_t lda = 0;
  PackedMatrix b;
};

// What becomes of C next (an activation, a gated product), while a task's part of it lies in that thread's caches: called once for every
// element that is final, by the thread that made it. What it does with an element may not depend on the block around it.
struct Block {
  int64_t row, rows, column, columns;
};
using Epilogue = std::function<void(const Block&)>;

// C[M,N] = Σ terms A·B (+ bias_N) (+ C). The terms add up in registers before C is written, so dX = dQ·Wqᵀ + dK·Wkᵀ + dV·Wvᵀ
// is one problem. c: `c_dtype` f32 or bf16 (f64 when the inputs are f64), rows `ldc` elements apart; bias: f32 (f64 for f64).
struct Gemm {
  GemmTerm terms[4];
  int term_count = 1;
  int64_t m = 0, n = 0;
  void* c = nullptr;
  int64_t ldc = 0;
  DType c_dtype = DType::f32;
  const void* bias_N = nullptr;
  bool accumulate = false;
  const Epilogue* epilogue = nullptr;  // ?
  int64_t epilogue_row = 0;            // of C's first row as the epilogue counts them: several problems may share one
};

// All tiles of all problems in one parallel loop: grouped products (one problem per expert) cost no extra barrier.
// The problems share one input type and do not overlap in C; m may be 0.
void gemm(ThreadPool& pool, std::span<const Gemm> problems);

// Weight gradient C[P,Q] = Σ_m A[m,P]·B[m,Q] (+ C): a, b row major of `dtype` (bf16, f32, f64); c f32 (f64 for f64).
// The sum over m is cut into slices by (m, p, q) alone and the slices are added in order.
struct GemmAtB {
  DType dtype = DType::f32;
  const void* a = nullptr;
  int64_t lda = 0;
  const void* b = nullptr;
  int64_t ldb = 0;
  int64_t m = 0, p = 0, q = 0;
  void* c = nullptr;
  int64_t ldc = 0;
  bool accumulate = true;
};
void gemm_at_b(ThreadPool& pool, std::span<const GemmAtB> problems);

// Name of the implementation that gemm() uses for inputs of `dtype` on the tier in use: "avx512_bf16".
std::string gemm_candidate_name(DType dtype);

}  // namespace gamut::kernels
