#!/usr/bin/env python3
"""Bad input and hostile circumstances: each gives one clear line on stderr and exit code 2 (failed runs: 1), and leaves nothing half-written.

usage: bad_input.py GAMUT FIXTURES      FIXTURES: tests/families/fixtures
"""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from checks import expect, report

GAMUT, FIXTURES = sys.argv[1], pathlib.Path(sys.argv[2])
ENVIRONMENT = dict(os.environ, GAMUT_LOG="error")



def listing(folder):
    return sorted((str(p.relative_to(folder)), p.stat().st_size) for p in folder.rglob("*") if p.is_file())


def refused(what, arguments, *parts, code=2, lines=1, keeps=None, environment=None, limit=None):
    """Runs gamut: exit `code`; the last line of stderr (the only one, unless lines is None) holds all `parts`; folder `keeps` stays as it was."""
    before = listing(keeps) if keeps else None

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run([GAMUT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", timeout=300,
                          env=dict(ENVIRONMENT, **(environment or {})), preexec_fn=limited if limit else None)
    errors = done.stderr.splitlines()
    expect(done.returncode == code, f"{what}: exit code", f"{done.returncode}, {done.stderr[-300:]!r}")
    expect(errors and errors[-1].startswith("gamut") and (lines is None or len(errors) == lines), f"{what}: one line", done.stderr[-600:])
    for part in parts:
        expect(errors and part in errors[-1], f"{what}: says {part!r}", done.stderr[-400:])
    expect(not done.stdout, f"{what}: no result on stdout", done.stdout[:200])
    if keeps:
        expect(listing(keeps) == before, f"{what}: leaves the folder as it was", f"{before} became {listing(keeps)}")


RECIPE = """
[run]
dir = "{work}/run"
[data]
path = "{work}/texts"
vocab_size = 300
cache = "{work}/cache"
[model]
width = 16
layers = 1
max_positions = 64
mixer = {{ kind = "attention", heads = 2 }}
channel = {{ kind = "ffn", hidden = 24 }}
[train]
length = 32
batch_tokens = 128
tokens = 1280
[validation]
points = 2
bytes = 1000
"""


def command_line(work):
    refused("no such command", ["trian"], "unknown command 'trian'", "did you mean 'train'?")
    refused("no such option", ["doctor", "--jsn"], "unknown option '--jsn'", "did you mean '--json'?")
    refused("one argument too many", ["doctor", "now"], "'now'")
    refused("nothing asked", [], "--help")
    refused("0 threads", ["doctor", "--threads", "0"], "threads", "from 1 to 4096, not 0")
    refused("0 threads of the environment", ["doctor"], "GAMUT_THREADS", environment={"GAMUT_THREADS": "0"})
    refused("threads that are no number", ["doctor", "--threads", "two"], "--threads", "two")
    refused("nothing to explain", ["explain", "mixtrol"], "did you mean 'mixtral'?")
    refused("no such experiment", ["lab", "dense-vs-mo"], "did you mean 'dense-vs-moe'?")
    refused("experts that no part fits", ["upcycle", FIXTURES / "llama", work / "moe", "experts=6", "granularity=4"], "granularity", "must divide the 6 experts", keeps=work)
    refused("no such method", ["upcycle", FIXTURES / "llama", work / "moe", "method=drip"], "did you mean 'drop'?", keeps=work)
    refused("a mixture has no layer to copy", ["upcycle", FIXTURES / "mixtral", work / "moe"], "feed-forward layer", keeps=work)
    refused("a dense model has nothing to reduce", ["downcycle", FIXTURES / "llama", work / "dense", "--tokens", FIXTURES / "llama" / "input.json"], "no mixture", keeps=work)
    refused("no such recipe", ["train", work / "none.toml"], "none.toml")


def recipes(work):
    recipe = work / "recipe.toml"
    train = lambda *more: ["train", recipe, *more]
    here = dict(keeps=work)
    refused("unknown key", train("optimizer.lrr=1"), "'optimizer.lrr' is not a known key", "did you mean 'lr'?", **here)
    refused("unknown table", train("optimiser.lr=1"), "optimiser", "did you mean 'optimizer'?", **here)
    refused("wrong type", train("train.length=long"), "'train.length' must be a whole number, not \"long\"", **here)
    refused("out of range", train("schedule.warmup=3"), "schedule.warmup", "between 0", **here)
    refused("impossible shape", train("model.mixer.heads=3"), "heads", "16", **here)
    refused("batch that is no multiple", train("train.batch_tokens=100"), "batch_tokens", "multiple", **here)
    refused("rows longer than positions", train("train.length=128"), "128", "max_positions", **here)
    refused("unknown component", train("model.mixer.kind=atention"), "atention", "did you mean 'attention'?", **here)
    refused("more experts chosen than there are", ["inspect", recipe, "model.channel.kind=moe", "model.channel.experts=2", "model.channel.top_k=3"], "top_k", "3", "2 experts", **here)
    (work / "broken.toml").write_text("[model\nwidth = 3\n")
    refused("broken TOML", ["train", work / "broken.toml"], "broken.toml", **here)
    (work / "lines.toml").write_text(recipe.read_text().replace("width = 16", "widht = 16"))
    refused("unknown key with its line", ["train", work / "lines.toml"], "widht", "lines.toml:8", "did you mean 'width'?", **here)


def corpora(work):
    recipe = work / "recipe.toml"
    run = work / "corpus-run"
    for name, content, part in [("empty folder", None, ""), ("empty file", b"", ""), ("binary file", bytes(range(256)) * 40, "")]:
        folder = work / "corpora" / name.replace(" ", "-")
        folder.mkdir(parents=True)
        if content is not None:
            (folder / "a.txt").write_bytes(content)
        refused(name, ["train", recipe, f"data.path={folder}", f"run.dir={run}"], folder.name, lines=None)
        expect(not (run / "model").exists() and not (run / "checkpoints").exists(), f"{name}: no run begins")
    refused("no such corpus", ["train", recipe, f"data.path={work / 'nowhere'}", f"run.dir={run}"], "nowhere", lines=None)
    refused("broken JSONL", ["train", recipe, f"data.path={broken_jsonl(work)}", f"run.dir={run}"], "b.jsonl", lines=None)


def broken_jsonl(work):
    folder = work / "corpora" / "jsonl"
    folder.mkdir(parents=True)
    (folder / "b.jsonl").write_text('{"text": "good"}\n{"text": \n')
    return folder


def types(work):
    file = work / "types.json"
    file.write_text('{"input_ids": [[5, 6]], "token_type_ids": [[0, 5]]}')
    return file


def models(work):
    model = work / "model"
    out = work / "out"
    out.mkdir()
    tokens = work / "tokens.json"
    tokens.write_text('{"input_ids": [[5, 6, 7]]}')
    score = ["score", model, "--tokens", tokens, "--logits", out / "logits.safetensors"]

    def fresh():
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(FIXTURES / "llama", model)

    fresh()
    weights = (model / "model.safetensors").read_bytes()
    for kept, name in [(len(weights) - 100, "truncated weights"), (100, "truncated header"), (3, "truncated length"), (0, "empty weights")]:
        (model / "model.safetensors").write_bytes(weights[:kept])
        refused(name, score, "model.safetensors", keeps=out)
    (model / "model.safetensors").write_bytes(b"\xff" * 64)
    refused("absurd header length", score, "model.safetensors", keeps=out)
    (model / "model.safetensors").unlink()
    refused("no weights", score, str(model), keeps=out)
    fresh()
    config = json.loads((model / "config.json").read_text())
    for change, part in [({"hidden_size": 24}, "num_attention_heads" if 24 % config["num_attention_heads"] else "instead of"), ({"num_hidden_layers": 3}, "missing"), ({"hidden_act": "sulu"}, "did you mean 'silu'?"),
                         ({"hidden_size": "16"}, "whole number"), ({"model_type": "lama"}, "did you mean 'llama'?"), ({"rope_parametres": {}}, "rope_parametres")]:
        (model / "config.json").write_text(json.dumps(dict(config, **change)))
        refused(f"config.json with {change}", score, part, keeps=out)
    (model / "config.json").write_text(json.dumps(config)[:200])
    refused("truncated config.json", score, "config.json", keeps=out)
    fresh()
    for text, part in [("{", "tokens.json"), ("[]", "table"), ('{"input_ids": [[5, 99]]}', "token id 99"), ('{"input_ids": [[5, -1]]}', "token id -1"), ('{"input_ids": [[5]], "lables": [[5]]}', "did you mean 'labels'?")]:
        tokens.write_text(text)
        refused(f"tokens {text}", score, part, keeps=out)
    tokens.write_text('{"input_ids": [[5, 6, 7]]}')
    refused("gradients of nothing", [*score, "--grads", out / "g.safetensors"], "--loss", keeps=out)
    refused("unknown loss", [*score, "--loss", "casual"], "did you mean 'causal'?", keeps=out)
    refused("unknown dtype", [*score, "--dtype", "f23"], "--dtype", keeps=out)
    for change, part in [({"position_embedding_type": "relative_key"}, "absolute"), ({"is_decoder": True}, "is_decoder"), ({"architectures": ["BertForTokenClassification"]}, "BertForMaskedLM"),
                         ({"problem_type": "regression"}, "problem_type"), ({"type_vocab_size": 1}, "token_type_embeddings")]:
        encoder = work / "encoder"
        shutil.rmtree(encoder, ignore_errors=True)
        shutil.copytree(FIXTURES / "bert-classes", encoder)
        (encoder / "config.json").write_text(json.dumps(dict(json.loads((encoder / "config.json").read_text()), **change)))
        refused(f"an encoder's config.json with {change}", ["score", encoder, *score[2:]], part, keeps=out)
    refused("token types that the model lacks", ["score", FIXTURES / "bert-classes", "--tokens", types(work), "--logits", out / "logits.safetensors"], "token type 5", keeps=out)
    refused("masked words without a head for them", ["score", FIXTURES / "bert-bare", *score[2:], "--loss", "mlm"], "'logits'", keeps=out)
    refused("classes of a model whose rows have none", ["score", FIXTURES / "bert-classes", *score[2:], "--loss", "classification"], "class for every row", keeps=out)
    refused("vectors of a folder without a tokenizer", ["embed", FIXTURES / "bert-bare", "--text", "a"], "tokenizer", keeps=out)
    refused("result into a read-only folder", [*score[:-1], "/proc/logits.safetensors"], "/proc")
    (work / "file").write_text("a file")
    refused("result below a file", [*score[:-1], work / "file" / "logits.safetensors"], "file", keeps=work)
    refused("result too large for the disk", score, "logits.safetensors", keeps=out, limit=256)
    generate = ["generate", model, "--tokens", tokens]
    refused("no prompt", ["generate", model], "--prompt", keeps=out)
    refused("temperature below 0", [*generate, "--temperature", "-1"], "temperature", keeps=out)
    refused("no tokenizer", ["generate", model, "--prompt", "a"], "tokenizer.json", keeps=out)
    shutil.copy(work / "run" / "model" / "tokenizer.json", model)
    refused("wrong tokenizer", ["generate", model, "--prompt", "a"], "300", "40", "tokenizer", keeps=out)
    refused("no such model", ["generate", work / "nothing", "--prompt", "a"], "nothing")
    refused("folder without a model", ["inspect", out], "config.json")
    refused("runs and models do not compare", ["diff", work / "run", model], "run")
    refused("settings of a model", ["inspect", model, "model.width=3"], "model.width=3")


def runs(work):
    recipe, run = work / "recipe.toml", work / "run"
    newest = sorted((run / "checkpoints").glob("step-*"), key=lambda p: int(p.name[5:]))[-1]
    refused("another recipe in the same folder", ["train", recipe, "optimizer.lr=0.5"], "another recipe", "optimizer.lr", lines=None, keeps=run)
    refused("another tokenizer than the checkpoint's", ["train", recipe, f"data.tokenizer={work / 'none.json'}", f"run.dir={work / 'other'}"], "none.json", lines=None)
    broken = work / "broken-run"
    shutil.copytree(run, broken)
    for checkpoint in (broken / "checkpoints").glob("step-*"):
        tensors = checkpoint / "tensors.safetensors"
        tensors.write_bytes(tensors.read_bytes()[:-50])
    refused("all checkpoints truncated", ["train", recipe, f"run.dir={broken}"], "truncated", newest.name, lines=None)
    refused("not a number", ["train", recipe, f"run.dir={work / 'nan'}", "model.embedding_scale=1e39", "model.dtype=f32"], "step 1", "not finite", "rows 0", code=1, lines=None)
    expect(not (work / "nan" / "model").exists(), "not a number: no model is written")
    refused("read-only run folder", ["train", recipe, "run.dir=/proc/gamut-run"], "/proc", lines=None)
    refused("a file where the run folder should be", ["train", recipe, f"run.dir={work / 'file'}"], "file", lines=None)
    refused("a file where the cache should be", ["train", recipe, f"data.cache={work / 'file'}", f"run.dir={work / 'other'}"], "file", lines=None)


def full_disk(work, disk, fill):
    """Training whose disk fills up: an error, and what was saved before is intact."""
    recipe, run = work / "recipe.toml", disk / "run"
    command = [GAMUT, "train", str(recipe), f"run.dir={run}", "train.tokens=12_800_000", "checkpoint.steps=20", "validation.points=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    deadline = time.time() + 60
    while not list((run / "checkpoints").glob("step-*/manifest.json")) and process.poll() is None and time.time() < deadline:
        time.sleep(0.01)
    fill()
    _, errors = process.communicate(timeout=300)
    last = errors.splitlines()[-1] if errors else ""
    expect(process.returncode == 2, "full disk: exit code", f"{process.returncode} {errors[-300:]!r}")
    expect(last.startswith("gamut") and "space" in last, "full disk: says so", errors[-300:])
    (disk / "ballast").unlink()
    left = [p for p in run.rglob("*") if p.is_file() and ".part" in p.name or p.name.endswith(".tmp")]
    expect(not left, "full disk: nothing half-written", left)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(ENVIRONMENT, GAMUT_LOG="info"))
    seen = []
    for line in process.stderr:
        seen.append(line)
        if "resumed at step" in line:
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=300)
    expect(process.returncode == 130 and any("resumed at step" in line for line in seen), "full disk: the run goes on from the last checkpoint", "".join(seen)[-400:] + rest[-200:])


def on_small_disk(work):
    disk = work / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True).returncode != 0:
        print("full disk of a run: skipped, mounting a tmpfs is not allowed here")
        return
    try:
        def fill():
            with open(disk / "ballast", "wb", buffering=0) as ballast:
                try:
                    while True:
                        ballast.write(b"x" * 4096)
                except OSError:
                    pass
        full_disk(work, disk, fill)
    finally:
        subprocess.run(["umount", disk], check=True)


with tempfile.TemporaryDirectory(prefix="gamut-bad-") as name:
    work = pathlib.Path(name)
    (work / "texts").mkdir()
    for i in range(8):
        (work / "texts" / f"{i}.txt").write_text("\n".join(f"Line {j} of text {i} says {j * j % 97} and {'abcdefgh'[j % 8] * 3}." for j in range(200)))
    (work / "recipe.toml").write_text(RECIPE.format(work=work).lstrip())
    command_line(work)
    recipes(work)
    done = subprocess.run([GAMUT, "train", work / "recipe.toml"], capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    expect(done.returncode == 0, "the recipe itself is good", done.stderr[-500:])
    corpora(work)
    models(work)
    runs(work)
    on_small_disk(work)
report()
