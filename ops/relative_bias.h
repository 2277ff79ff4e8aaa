// Biases of attention scores that depend on the distance from query to key alone.
#pragma once

#include "ops/attention.h"

namespace gamut::ops {

// The bucket of a distance d = key − query among `buckets` [Raffel et al., T5, 2020]. Both ways: half of them for keys ahead; one way: keys ahead
// share bucket 0. Of each half the first half counts exactly, the others widen geometrically up to `max_distance`, beyond which all share the last.
int64_t relative_bucket(int64_t d, int64_t buckets, int64_t max_distance, bool both_ways);

// table [buckets, H] f32 (f64), learnt: each distance takes its bucket's row.
DistanceBias relative_bias(Tape& tape, const Tensor& table, const Distances& distances, int64_t max_distance, bool both_ways);

// −scale·slope_h·|d| with slopes 2^(−exponent·(h+1)/H) for a power of two H; otherwise those of the power below, then every other of the power
// above [Press et al., ALiBi, 2021]. No gradient.
std::vector<double> alibi_slopes(int64_t heads, double exponent = 8);
DistanceBias alibi(Tape& tape, int64_t heads, const Distances& distances, DType dtype, double exponent = 8, double scale = 1);

}  // namespace gamut::ops
