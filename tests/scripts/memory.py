#!/usr/bin/env python3
"""Memory to train, predicted on shapes alone, against what the system measures: within 10 %.

    memory.py GAMUT SOURCE

For the models of both tiny recipes and a larger one: the process's highest resident memory since training began must lie within 10 % of
(tensors predicted) + (what the process held before the model was made: code, text, tokenizer). What is not predicted is the scratch memory
of matrix products and the tensors of the final model while they are written. `gamut inspect` must predict the same tensors.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

GAMUT, SOURCE = map(os.path.abspath, sys.argv[1:3])
LARGER = ["model.width=256", "model.layers=5", "model.mixer.heads=8", "model.mixer.kv_heads=8", "train.batch_tokens=16384", "train.micro_tokens=8192"]
failed = 0


def run(*arguments):
    done = subprocess.run([GAMUT, *arguments], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"FAILED: gamut {' '.join(arguments)} exited {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


with tempfile.TemporaryDirectory() as folder:
    rng = random.Random(1)
    os.makedirs(f"{folder}/texts/prose")
    words = [a + b for a in ("ka", "lo", "mi", "nu", "re", "so") for b in ("da", "fe", "gi", "ho", "tu", "")]
    for i in range(20):
        with open(f"{folder}/texts/prose/{i:02}.txt", "w") as file:
            file.write("".join(" ".join(rng.choice(words) for _ in range(9)) + ".\n" for _ in range(300)))
    common = [f"data.path={folder}/texts", f"data.cache={folder}/cache", "data.vocab_size=300", "validation.points=0", "model.vocab=2048"]
    for name, recipe, more in (("tiny-dense", "tiny-dense", []), ("tiny-moe", "tiny-moe", []), ("tiny-dense f32", "tiny-dense", ["model.dtype=f32"]),
                               ("tiny-moe f32", "tiny-moe", ["model.dtype=f32"]), ("larger dense", "tiny-dense", LARGER + ["model.channel.hidden=768"]),
                               ("larger moe", "tiny-moe", LARGER + ["model.channel.hidden=384"])):
        settings = [f"{SOURCE}/recipes/{recipe}.toml", *common, *more]
        steps = 3 * (16384 if more and "larger" in name else 8192)
        r = run("train", *settings, f"run.dir={folder}/{name}", f"train.tokens={steps}", "--json")
        told = run("inspect", *settings, "--json")["training"]["ram_tensors"]
        predicted, measured, fixed = r["ram_predicted"], r["ram_peak"], r["ram_predicted"] - r["ram_tensors_predicted"]
        added = (measured - fixed) / r["ram_tensors_predicted"]
        good = abs(predicted / measured - 1) <= 0.1 and told == r["ram_tensors_predicted"]
        failed += not good
        print(f"{'ok' if good else 'FAILED'}: {name}: process {measured / 2**20:.1f} MiB, predicted {predicted / 2**20:.1f} ({predicted / measured - 1:+.1%}); "
              f"tensors predicted {r['ram_tensors_predicted'] / 2**20:.1f}, inspect {told / 2**20:.1f}, training added {added:.3f} of it", flush=True)
sys.exit(1 if failed else 0)
