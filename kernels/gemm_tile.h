// What an instruction tier supplies to the tiled matrix products (gemm_driver.cpp): functions that compute one small block
// of C in registers, and the layouts they read.
//
// Only plain data crosses this border, and tier files define only functions of internal linkage beside their one entry:
// they are compiled for instructions that the rest of the program must not use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gamut::kernels {

constexpr int kPanel = 16;  // columns of a packed panel

// A stretch of the summed axis, in steps. A step is one k, or for bf16 a pair of k.
struct TileSegment {
  const std::byte* a;              // row r, step s at a + r·row_stride + s·step_stride (bytes)
  int64_t row_stride, step_stride;
  const std::byte* b;              // panel p at b + p·panel_stride, its steps one behind the other
  int64_t panel_stride;
  int64_t steps;
  // For packed_block, a hint: lines that will be read soon, ahead_stride bytes apart, of which it fetches one every kAheadEvery steps.
  const std::byte* ahead = nullptr;
  int64_t ahead_stride = 0;
};
constexpr int kAheadEvery = 4;

// Where a block goes. With carry_out the bare sums go there, and a later call takes them up as carry_in, so that cutting a
// long sum in two changes no bit. Carried sums lie as [rows][16·panels] of the block.
struct TileOutput {
  std::byte* c;                    // first element of the block
  int64_t row_bytes;               // from one row of C to the next
  int64_t rows;
  int64_t columns;                 // valid ones, 16·(panels − 1) + 1 to 16·panels
  const void* bias;                // of the block's first column, or null
  bool half;                       // C is bf16
  bool accumulate;                 // C = C + (sum + bias)
  const void* carry_in;
  void* carry_out;
};

using TileFn = void (*)(const TileSegment* segments, int count, const TileOutput& out);

struct TileKernel {
  int step_k;                      // 2 for bf16 pairs, else 1
  int element_bytes;               // of A and B as the caller gives them
  int sum_bytes;
  int step_multiple;               // a segment's steps are a multiple of this, padded with zeros
  int row_multiple;                // rows are cut between threads and blocks at multiples of this
  int a_step_bytes;                // a step of one row of A as the block functions read it
  int b_step_bytes;                // a step of a panel

  int (*rows_for)(int panels);                // most rows a block of 1, 2, 4 or 8 panels may have; 0: no such block
  TileFn (*block)(int rows, int panels);
  int panels;                                 // width of the blocks for many rows
  int pass_steps;                             // most steps before sums are put aside: a block's part of A and B stays in the nearest cache

  // Copies `k` values of a row of A to `steps` steps, zero padded. Called when A cannot be read in place.
  void (*stage)(const std::byte* row, int64_t k, std::byte* out, int64_t steps);
  bool in_place;                              // A's own memory has the layout of steps

  // For Aᵀ·B: packs `columns` ≤ 16 columns of `k` rows, `stride` bytes apart, to `steps` steps, zero padded: to a panel of
  // B, and to 16 rows of A.
  void (*pack_panel)(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t steps);
  void (*pack_rows)(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t steps);
  // Twice `twos` whole panels, `panel_bytes` apart, where that is faster than pack_panel for one after the other; else null.
  void (*pack_panels)(const std::byte* src, int64_t stride, int64_t k, int64_t twos, std::byte* out, int64_t panel_bytes, int64_t steps);
  // The same from the other side, where the tier has it (else null): `columns` ≤ 16 rows of `k` elements, `stride` bytes apart, become the columns of a panel.
  void (*pack_transposed)(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t steps);
  int64_t (*packed_row_stride)(int64_t steps);   // of A there
  int64_t (*packed_step_stride)(int64_t steps);
  int packed_rows, packed_panels;             // block size there
  TileFn (*packed_block)(int rows, int panels);  // the same as `block` up to that size, fetching ahead between steps where the tier gains by it
  int packed_steps;                           // most steps at once there, a step_multiple: the block's panels of B take half of the nearest cache

  int64_t (*spin)(int64_t rounds);            // multiply-adds on registers alone; returns the FLOP done
};

}  // namespace gamut::kernels
