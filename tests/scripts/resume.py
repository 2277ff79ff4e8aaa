#!/usr/bin/env python3
"""What stops a run, and what is left of it: kill -9, Ctrl-C, SIGTERM, a number that is not finite, a full disk.

    resume.py GAMUT

Tiny models on made-up text, f32 and bf16, dense and mixture of experts. A disturbed run, started again until it is done, must end with
the same bytes of weights, moments and metrics as an undisturbed one.
"""
import glob
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time

from checks import expect, report

GAMUT = os.path.abspath(sys.argv[1])
STEPS = 60
RECIPE = """
[data]
path = "{folder}/texts"
cache = "{folder}/cache"
vocab_size = 300
[model]
width = 32
layers = 2
max_positions = 32
dtype = "{dtype}"
mixer = {{ kind = "attention", heads = 2, kv_heads = 1 }}
channel = {channel}
[train]
length = 32
batch_tokens = 256
micro_tokens = 128
tokens = {tokens}
[validation]
points = 4
bytes = 2000
[checkpoint]
steps = 5
"""
CHANNELS = {
    "dense": '{ kind = "ffn", hidden = 64 }',
    "moe": '{ kind = "moe", experts = 4, top_k = 2, hidden = 32, router = { score = "sigmoid", balance = "bias", scale = 2.0 } }',
}


def check(what, good, detail=""):
    expect(good, what, detail)


def write_texts(folder):
    words = [a + b for a in ("ka", "lo", "mi", "nu", "re", "so") for b in ("da", "fe", "gi", "ho", "tu", "")]
    rng = random.Random(1)
    os.makedirs(f"{folder}/texts/prose")
    for i in range(12):
        with open(f"{folder}/texts/prose/{i:02}.txt", "w") as file:
            for _ in range(120):
                file.write(" ".join(rng.choice(words) for _ in range(9)) + ".\n")


def start(folder, recipe, run, *settings, **more):
    return subprocess.Popen([GAMUT, "train", f"{folder}/{recipe}.toml", f"run.dir={folder}/{run}", *settings], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "GAMUT_THREADS": "1"}, **more)


def finish(folder, recipe, run, *settings, **more):
    process = start(folder, recipe, run, *settings, **more)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def read(path):
    with open(path, "rb") as file:
        return file.read()


def metrics(run):
    """Lines without what the clock says."""
    lines = [json.loads(line) for line in read(f"{run}/metrics.jsonl").splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second", "share_of_peak")} for line in lines]


def same(name, folder, run):
    for file in (f"checkpoints/step-{STEPS}/tensors.safetensors", "model/model.safetensors", "model/config.json", "model/tokenizer.json"):
        check(f"{name}: {file} equals the undisturbed run's", read(f"{folder}/plain/{file}") == read(f"{folder}/{run}/{file}"))
    check(f"{name}: metrics equal the undisturbed run's", metrics(f"{folder}/plain") == metrics(f"{folder}/{run}"))


def steps_logged(run):
    try:
        return read(f"{run}/metrics.jsonl").count(b'"kind":"train"')
    except FileNotFoundError:
        return 0


def wait_for(process, run, step):
    """Until the run has logged `step`, or has ended."""
    while process.poll() is None and steps_logged(run) < step:
        time.sleep(0.001)


def after_kills(name, folder, recipe, rng):
    moments = sorted(rng.sample(range(2, STEPS - 2), 3))
    for moment in moments:
        process = start(folder, recipe, "killed")
        wait_for(process, f"{folder}/killed", moment)
        time.sleep(rng.random() * 0.003)  # anywhere within a step, a validation or a save
        process.kill()
        process.communicate()
        check(f"{name}: killed at step {moment}", process.returncode == -signal.SIGKILL, f"ended with {process.returncode} before it could be killed")
    code, _, err = finish(folder, recipe, "killed")
    check(f"{name}: the last start finishes", code == 0, err)
    check(f"{name}: it says where it goes on", "resumed at step" in err, err)
    same(f"{name} after kill -9 at {moments}", folder, "killed")


def after_signals(name, folder, recipe):
    for number, expected, moment in ((signal.SIGINT, 130, 13), (signal.SIGTERM, 143, 32)):
        process = start(folder, recipe, "stopped")
        wait_for(process, f"{folder}/stopped", moment)
        process.send_signal(number)
        _, err = process.communicate(timeout=300)
        check(f"{name}: {number.name} exits {expected}", process.returncode == expected, f"{process.returncode} {err}")
        saved = sorted(int(path.rsplit("-", 1)[1]) for path in glob.glob(f"{folder}/stopped/checkpoints/step-*"))
        check(f"{name}: {number.name} saves the step it came in", saved and saved[-1] >= moment and steps_logged(f"{folder}/stopped") == saved[-1], f"{saved}")
    code, _, err = finish(folder, recipe, "stopped")
    check(f"{name}: goes on after signals", code == 0, err)
    same(f"{name} after SIGINT and SIGTERM", folder, "stopped")


def finished_run_again(folder, recipe):
    before = {file: read(f"{folder}/plain/{file}") for file in ("metrics.jsonl", "model/model.safetensors", f"checkpoints/step-{STEPS}/tensors.safetensors")}
    code, _, err = finish(folder, recipe, "plain")
    check("a finished run ends at once", code == 0, err)
    for file, content in before.items():
        check(f"a finished run leaves {file} as it was", read(f"{folder}/plain/{file}") == content)


def not_finite(folder, recipe):
    code, _, err = finish(folder, recipe, "diverged", "optimizer.lr=1000", "optimizer.weight_decay=100", "optimizer.clip=0", "schedule.kind=constant", "schedule.warmup=0")
    last = err.strip().splitlines()[-1]
    check("divergence exits 1", code == 1, f"{code} {err}")
    check("divergence names step and tensor", "step" in last and any(part in last for part in ("embedding", "layers.", "head", "final_norm")) and "not finite" in last, last)


def full_disk(folder, recipe):
    """A limit on file sizes stands for a full disk: the write of a checkpoint fails half way."""
    process = start(folder, recipe, "full")
    wait_for(process, f"{folder}/full", 12)
    process.send_signal(signal.SIGINT)
    process.communicate()
    kept = sorted(glob.glob(f"{folder}/full/checkpoints/step-*"))
    before = [read(f"{path}/tensors.safetensors") for path in kept]
    size = len(before[-1])

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    code, _, err = finish(folder, recipe, "full", preexec_fn=limit)
    last = err.strip().splitlines()[-1]
    check("a full disk is one clear error", code in (1, 2) and "cannot write" in last and "tensors.safetensors" in last, f"{code} {err}")
    check("a full disk leaves the checkpoints before", [read(f"{path}/tensors.safetensors") for path in kept] == before)
    left = [os.path.basename(path) for path in glob.glob(f"{folder}/full/checkpoints/*") + glob.glob(f"{folder}/full/checkpoints/.*")]
    check("a full disk leaves nothing half-written that counts", sorted(name for name in left if name.startswith("step-")) == [os.path.basename(path) for path in kept], f"{left}")
    code, _, err = finish(folder, recipe, "full")
    check("with room again it goes on", code == 0, err)
    same("after a full disk", folder, "full")


def other_recipe(folder, recipe):
    code, _, err = finish(folder, recipe, "plain", "optimizer.lr=0.5")
    check("another recipe in the same folder is refused", code == 2 and "optimizer.lr" in err, err)
    open(f"{folder}/broken.toml", "w").write(read(f"{folder}/{recipe}.toml").decode().replace("batch_tokens", "batch_tokns"))
    code, _, err = finish(folder, "broken", "never")
    check("an unknown key is refused with the nearest name", code == 2 and "batch_tokens" in err and not os.path.exists(f"{folder}/never"), err)


def truncated(folder, recipe):
    newest = f"{folder}/plain/checkpoints/step-{STEPS}/tensors.safetensors"
    content = read(newest)
    with open(newest, "wb") as file:
        file.write(content[: len(content) // 2])
    code, _, err = finish(folder, recipe, "plain")
    check("a truncated checkpoint is passed over for the one before", code == 0 and "truncated" in err and f"resumed at step {STEPS - 5}" in err, err)
    check("and the run ends with the same bytes", read(newest) == content)


def main():
    rng = random.Random(os.environ.get("GAMUT_TEST_SEED") or time.time_ns())
    for dtype in ("f32", "bf16"):
        for kind, channel in CHANNELS.items():
            name = f"{kind} {dtype}"
            with tempfile.TemporaryDirectory() as folder:
                write_texts(folder)
                with open(f"{folder}/recipe.toml", "w") as file:
                    file.write(RECIPE.format(folder=folder, dtype=dtype, channel=channel, tokens=STEPS * 256))
                code, _, err = finish(folder, "recipe", "plain")
                check(f"{name}: the undisturbed run finishes", code == 0, err)
                if code != 0:
                    continue
                after_kills(name, folder, "recipe", rng)
                after_signals(name, folder, "recipe")
                if name == "moe bf16":
                    finished_run_again(folder, "recipe")
                    not_finite(folder, "recipe")
                    full_disk(folder, "recipe")
                    other_recipe(folder, "recipe")
                    truncated(folder, "recipe")
    report()


main()
