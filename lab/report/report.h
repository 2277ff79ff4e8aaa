// Turns a study (one JSON value) into one HTML file and one sentence.
//
// The file is self-contained: no network, charts drawn here as inline SVG and readable without script, English and 中文, light
// and dark, below 3 MB. A page is a list of sections (sections.h); a section draws itself from the keys it needs and is left out
// when they are absent, so other studies reuse the page by giving other keys or another list.
//
// clang-format off
// The study document. `Text` is a string, or {"en": string, "zh": string}. Lists are in display order. Only `id`, `title` and
// `arms` are required; everything else is shown when present. Unknown keys are kept in the embedded JSON and ignored.
//
//   id        string                 "dense-vs-moe"
//   title     Text                   "Dense or mixture of experts?"
//   question  Text                   one line under the tiles
//   tier      string                 "smoke" | "quick" | "full"
//   example   bool                   true marks invented figures
//   sections  [string]               names from sections.h; default: the order of default_sections()
//   seeds     [int]                  seeds that were reported
//   elapsed   number                 seconds of the whole study
//   machine   {cores, tier, peak_flops}   tier: "AVX-512 BF16"; peak_flops: measured peak of matrix products, FLOP/s
//   budget    Text                   "7.7 M tokens a run"
//   tokens_per_active_weight number  of the treatment at the end
//   domains   [{id, name: Text}]     ids used in `bpb`; "all" (by bytes) is implied
//
//   arms      [{id, name: Text, short: Text, role, slot,
//               params_total, params_active, flops_per_token,      numbers; FLOPs of training
//               ram_predicted, ram_measured,                       bytes, peak
//               seconds, flops, tokens, tokens_per_second, mfu,    one run, mean over seeds; mfu: share of the peak, 0…1
//               curves: [{seed, tokens: [], flops: [], seconds: [], gb_seconds: [],
//                         bpb: {all: [], <domain>: []},            costs ascending; one entry an evaluation
//                         final: {all: x, <domain>: x}}]}]         bpb after cooling down; default: the last entries of bpb
//             role: "baseline" | "treatment" | "control" | "total" (dense of equal total size). The first baseline and the
//             first treatment are compared; controls, and slots beyond 6, start hidden in the charts. slot 0…20 chooses hue,
//             dash and marker (default: position). All points of a curve must belong to one phase of the learning-rate
//             schedule: a constant-rate trunk, or the ends of cooled-down branches.
//   failed    [{arm, seed, reason: Text}]     failed or diverged seeds
//
//   comparison  what compare_arms() (comparison.h) computes from the curves:
//     {baseline, treatment,                   ids
//      loss, confidence,                      the baseline's final loss ℓ, mean over seeds; 0.95
//      seeds, reached,                        pairs; in how many the treatment reaches ℓ
//      ratios: {tokens|flops|seconds|gb_seconds|memory: Ratio},   treatment ÷ baseline at ℓ, by seed; memory: of the peaks
//      reverse: {the same axes},              baseline ÷ treatment at the treatment's final loss, if ℓ is not reached
//      gap: Ratio,                            final bpb, treatment − baseline
//      crossing: {tokens, loss, seeds, per_active_weight, leader} | null,   last crossing of the mean curves on the token
//                                             axis; seeds: in how many the two cross; leader: arm id after it
//      curve: {tokens|seconds|…: {loss: [], ratio: [], low: [], high: []}},   equal loss all along, loss descending
//      domains: [{id, baseline, treatment, difference: Ratio, p}],   of `final`; p and `resolved` Holm-corrected over the
//                                             domains, "all" not corrected and left out when there is one domain
//      noise: {bpb, final, ratio: {tokens: x, seconds: y}, pairs}}   same arm, other seed (root mean square): at the end of the
//                                             curves, of `final`; ratio: of |log|
//     Ratio = {estimate, low, high, resolved, n}; low and high are null for one seed
//
//   standings   [{arm, bpb, difference: Ratio, state_bytes}]      of more than two arms: final bpb, arm − baseline; the baseline
//                                             has no difference. With standings the verdict is about all arms
//   tables      [{id, title: Text, caption: Text, columns: [Text], rows: [{arm: id or Text, cells: [Text | null]}]}]
//                                             what else was measured, arm by arm; the first column is the arm
//   plots       [{id, title: Text, caption: Text, x: {name: Text, scale: "log" | "linear", low, high}, y: {the same},
//                 series: [{arm, x: [], y: []}]}]                 low and high, when given, are the axis's range
//   held_equal  [{what: Text, value: Text, mismatch: bool}]       a mismatch is shown in amber
//   loads       [{arm, layer, steps: [], share: [[per expert] per step]}]      share of assignments, sums to 1
//   specialisation  [{arm, layer, domains: [ids], share: [[per expert] per domain],
//                     information, chance}]                       bits, I(domain; expert), Miller–Madow corrected; what chance stays below
//   rates       {skipped: Text} or {arms: [{arm, rate: [], bpb: [], best: index, interior: bool}], seeds: [int]}
//   null_twin   {losses, equal, first_difference}   losses compared, bit-equal, step of the first that is not (absent if none)
//   controls    [{arm, name: Text, bpb, difference: Ratio}]       difference: control − treatment, final bpb
//   literature  [{claim: Text, source: Text, expected: Text, measured: Text, verdict: "agrees" | "differs" | "unresolved"}]
//   load        {tainted: bool, other: share of the cores used by other work, 0…1}
//   limits      [Text]
//   provenance  {config: object or string, data: [{name, hash, bytes, tokens}], git: {hash, dirty}, flops, peak_flops,
//                rerun: "exact command"} and any other key (seeds, version, build, cpu, tier, threads, numa, os, started,
//                ended, steal, loadavg, joules, metrics_checksum have translated names), shown in the order given
// clang-format on
#pragma once

#include <filesystem>
#include <string>

#include "base/json.h"
#include "lab/report/strings.h"

namespace gamut {

// The whole page. Error (who "report") when `study` lacks what every study needs or a value has the wrong type.
std::string render_report(const Json& study);
// render_report to a file, atomically.
void write_report(const std::filesystem::path& path, const Json& study);

// The answer in one or two sentences, from the intervals in `study.comparison`: plain text for a terminal; the page's headline is
// the same.
std::string verdict_sentence(const Json& study, Language language = Language::english);

}  // namespace gamut
