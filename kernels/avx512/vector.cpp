// The row kernels on this tier's vectors.
#define GAMUT_TIER avx512

#include "kernels/simd/activation.inl"
#include "kernels/simd/adamw.inl"
#include "kernels/simd/attention.inl"
#include "kernels/simd/cell.inl"
#include "kernels/simd/conv.inl"
#include "kernels/simd/cross_entropy.inl"
#include "kernels/simd/dplr.inl"
#include "kernels/simd/elementwise.inl"
#include "kernels/simd/map.inl"
#include "kernels/simd/norm.inl"
#include "kernels/simd/linear_attention.inl"
#include "kernels/simd/rotary.inl"
#include "kernels/simd/router.inl"
#include "kernels/simd/scan.inl"
#include "kernels/simd/wkv.inl"
