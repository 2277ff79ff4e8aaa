#!/usr/bin/env python3
"""The command line as scripts use it: completion, explain, score, generate, embed, inspect, diff; predicted memory against measured.

usage: commands.py GAMUT FIXTURES
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

from checks import expect, report

GAMUT, FIXTURES = sys.argv[1], pathlib.Path(sys.argv[2])



def gamut(*arguments, code=0):
    done = subprocess.run([GAMUT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, env=dict(os.environ, GAMUT_LOG="error"))
    expect(done.returncode == code, f"gamut {' '.join(map(str, arguments))}: exit code {code}", f"{done.returncode} {done.stderr[-300:]}")
    return done.stdout


def peak_memory(*arguments):
    """Highest resident bytes of a run, from its own exit record."""
    pid = os.posix_spawn(GAMUT, [GAMUT, *map(str, arguments)], dict(os.environ, GAMUT_LOG="error"),
                         file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    expect(status == 0, f"gamut {' '.join(map(str, arguments))}: ends well", status)
    return usage.ru_maxrss * 1024


def completion(work):
    script = work / "completion.bash"
    script.write_text(gamut("completion", "bash"))

    def complete(*words):
        line = " ".join(f"'{w}'" for w in words)
        done = subprocess.run(["bash", "-euc", f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _gamut || true; printf '%s\\n' \"${{COMPREPLY[@]}}\""], capture_output=True, text=True, cwd=work)
        expect(done.returncode == 0, "bash accepts the completion", done.stderr)
        return done.stdout.split()

    expect({"train", "score", "completion"} <= set(complete("gamut", "")), "commands are completed")
    expect(complete("gamut", "sc") == ["score"], "one command is completed", complete("gamut", "sc"))
    expect(set(complete("gamut", "score", "--l")) == {"--logits", "--loss"}, "options are completed", complete("gamut", "score", "--l"))
    expect(complete("gamut", "tokenizer", "en") == ["encode"], "commands of commands are completed", complete("gamut", "tokenizer", "en"))
    expect("--threads" in complete("gamut", "doctor", "--t"), "options of every command are completed")
    (work / "recipe.toml").touch()
    expect(complete("gamut", "train", "rec") == ["recipe.toml"], "files are completed")
    for shell in ("zsh", "fish"):
        text = gamut("completion", shell)
        expect("score" in text and "logits" in text, f"completion for {shell}")
        if shutil.which(shell):
            expect(subprocess.run([shell, "-n"], input=text, text=True, capture_output=True).returncode == 0, f"{shell} accepts the completion")


def explain():
    names = [line.split()[0] for line in gamut("explain").splitlines()]
    for name in ("attention", "moe", "topk", "causal", "dense-vs-moe", "mixtral", "bits_per_byte", "optimizer.lr"):
        expect(name in names, f"{name} is explained")
    for name in names:
        expect(len(gamut("explain", name).splitlines()[-1]) > 20, f"{name} has a meaning")
    expect(json.loads(gamut("explain", "moe", "--json"))["kind"] == "channel mixer", "as JSON")
    expect(gamut("explain", "lr") == gamut("explain", "optimizer.lr"), "a setting by its last part")
    expect(gamut("explain", "mamba").count("(") >= 2 and "(family)" in gamut("explain", "mamba"), "a name of two things explains both")


def doctor():
    told = json.loads(gamut("doctor", "--json"))
    for key in ("tier", "tier_why", "threads", "threads_why", "cgroup_cores", "cgroup_bytes", "ram_bytes", "ram_available", "peak_bf16"):
        expect(key in told, f"doctor tells {key}")
    expect(0 < told["ram_available"] <= told["ram_bytes"], "memory that is free", told)
    lines = gamut("doctor").splitlines()
    expect([line.split()[0] for line in lines][:5] == ["processor", "tier", "threads", "cgroup", "memory"], "doctor's lines", lines)
    expect(gamut("doctor", "--threads", "1").splitlines()[2].endswith("1 (--threads 1)"), "threads and why")


def score_and_generate(work):
    model, out, grads = FIXTURES / "mixtral", work / "out.safetensors", work / "grads.safetensors"
    result = json.loads(gamut("score", model, "--tokens", model / "input.json", "--logits", out, "--loss", "causal", "--grads", grads, "--hidden-states", "--router-logits", "--json"))
    header = read_header(out)
    expect(set(header) == {"logits", "loss", "hidden_states.0", "hidden_states.1", "hidden_states.2", "router_logits.0", "router_logits.1"}, "score writes what is asked for", sorted(header))
    expect(header["logits"]["shape"] == [2, 16, 40] and header["hidden_states.1"]["shape"] == [2, 16, 16] and header["loss"]["shape"] == [], "with these shapes")
    expect(set(read_header(grads)) == set(read_header(model / "model.safetensors")), "a gradient for every tensor of the checkpoint")
    bits = [(f"{out}-{n}", json.loads(gamut("score", model, "--tokens", model / "input.json", "--logits", f"{out}-{n}", "--threads", n, "--json"))) for n in (1, 2)]
    expect(pathlib.Path(bits[0][0]).read_bytes() == pathlib.Path(bits[1][0]).read_bytes(), "the same bits on one thread and on two")
    further = FIXTURES / "deepseek_v3-further"
    drafts = json.loads(gamut("score", further, "--tokens", further / "input.json", "--logits", out, "--drafts", "--json"))["drafts"]
    expect(len(drafts) == 1 and drafts[0]["depth"] == 1 and 0 <= drafts[0]["accepted"] <= drafts[0]["drafted"] <= 30, "drafts are counted", drafts)
    expect("further_logits.1" in read_header(out), "and their logits are written")
    refused = subprocess.run([GAMUT, "score", model, "--tokens", model / "input.json", "--logits", out, "--drafts"], capture_output=True, text=True)
    expect(refused.returncode == 2 and "drafts none" in refused.stderr, "a model that drafts none says so", refused.stderr)
    greedy = json.loads((model / "greedy.json").read_text())
    prompt = work / "prompt.json"
    prompt.write_text(json.dumps({"input_ids": greedy["input_ids"]}))
    count = str(len(greedy["output_ids"][0]) - len(greedy["input_ids"][0]))
    expect(json.loads(gamut("generate", model, "--tokens", prompt, "--greedy", "--ignore-eos", "--max-new-tokens", count, "--json"))["output_ids"] == greedy["output_ids"], "greedy tokens")
    drawn = [gamut("generate", model, "--tokens", prompt, "--seed", seed, "--max-new-tokens", "8", "--ignore-eos") for seed in (1, 1, 2)]
    expect(drawn[0] == drawn[1] != drawn[2], "the seed decides")


def routing(work):
    """Choices of routers are recorded and enforced; what experts do on texts."""
    model, out, record = FIXTURES / "mixtral", work / "routed.safetensors", work / "choices.safetensors"
    ask = ["score", model, "--tokens", model / "input.json", "--dtype", "f32"]
    gamut(*ask, "--logits", out, "--record-routing", record)
    header = read_header(record)
    expect(header == {f"layers.{i}.channel": dict(header[f"layers.{i}.channel"], dtype="I32", shape=[32, 2]) for i in (0, 1)}, "a record of the choices", header)
    gamut(*ask, "--logits", work / "again.safetensors", "--replay-routing", record)
    expect(out.read_bytes() == (work / "again.safetensors").read_bytes(), "the same choices give the same bits")
    data = bytearray(record.read_bytes())
    size = 8 + int.from_bytes(data[:8], "little")
    for i in range(size, len(data), 8):
        data[i:i + 8] = data[i + 4:i + 8] + data[i:i + 4]  # the two choices of each token in the other order
    record.write_bytes(data)
    gamut(*ask, "--logits", work / "again.safetensors", "--replay-routing", record, "--record-routing", work / "same.safetensors")
    expect((work / "same.safetensors").read_bytes() == bytes(data), "other choices are enforced")
    data[size:size + 4] = (9).to_bytes(4, "little")
    record.write_bytes(data)
    gamut(*ask, "--logits", work / "again.safetensors", "--replay-routing", record, code=2)


def routing_measures(work):
    """gamut routing: what experts do on text, against chance and against another state; what inspect says of their shape."""
    model = work / "routed-model"
    shutil.copytree(FIXTURES / "mixtral", model)
    told = json.loads(gamut("routing", model, "--tokens", model / "input.json", "--against", model, "--json"))
    layer = told["layers"][0]
    experts = len(layer["load"])
    expect(told["tokens"] == 32 and sum(layer["load"]) == 64 and abs(sum(layer["gates"]) - 32) < 1e-3, "two slots a token, gates that sum to 1", layer)
    expect(layer["saturation"] == 1, "the same model routes alike", layer["saturation"])
    pairs = layer["coactivation"]
    expect(len(pairs) == experts ** 2 and all(pairs[i * experts + i] == 0 for i in range(experts)), "no expert beside itself")
    expect(all(abs(sum(pairs[i * experts:(i + 1) * experts]) - 1) < 1e-6 for i in range(experts) if layer["load"][i]), "each of two choices has one partner", pairs)
    other = work / "routed-other"
    gamut("upcycle", FIXTURES / "llama-llama3", other, "experts=4")
    changed = work / "routed-changed"
    gamut("upcycle", FIXTURES / "llama-llama3", changed, "experts=4", "seed=2")
    told = json.loads(gamut("routing", other, "--tokens", FIXTURES / "llama-llama3" / "input.json", "--against", changed, "--json"))
    expect(all(0 < layer["saturation"] < 1 for layer in told["layers"]), "other routers route otherwise", [layer["saturation"] for layer in told["layers"]])
    expect("max_violation" in gamut("routing", model, "--tokens", model / "input.json"), "a table for people")
    placed = json.loads(gamut("routing", model, "--tokens", model / "input.json", "--place", 2 * experts, 2, "--json"))["layers"][0]["placement"]
    expect(len(placed["experts"]) == 2 * experts == sum(placed["copies"]) and min(placed["copies"]) >= 1 and len(placed["device_load"]) == 2, "every expert has a place, busy ones several", placed)
    expect("fullest device" in gamut("routing", model, "--tokens", model / "input.json", "--place", 2 * experts, 2), "and people are told")
    gamut("routing", model, "--tokens", model / "input.json", "--place", 2 * experts + 1, 2, code=2)
    mixture = json.loads(gamut("inspect", other, "--json"))["mixtures"]
    expect([m["layers"] for m in mixture] == [[0, 1]] and mixture[0]["activation_ratio"] == 0.5 and mixture[0]["granularity"] == 4 * 16 / mixture[0]["hidden"], "inspect tells the shape", mixture)
    expect("granularity" in gamut("inspect", other), "and says it")
    gamut("routing", FIXTURES / "llama", "--tokens", model / "input.json", code=2)
    clustered = work / "clustered"
    told = json.loads(gamut("upcycle", FIXTURES / "llama-llama3", clustered, "experts=4", "top_k=1", "moe.router.kind=hash", "moe.router.table=clustered", "--json"))
    table = json.loads((clustered / "config.json").read_text())["spec"]["channel"]["router"]["experts_of"]
    expect(len(table) == 40 and set(table) <= set(range(4)) and len(set(table)) > 1 and told["identity"]["equal"], "experts by clusters of the embedding", table)


def embed(work):
    model = work / "encoder"
    shutil.copytree(FIXTURES / "bert-bare", model)
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"])}
    (model / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": None,
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary}}))
    result = json.loads(gamut("embed", model, "--text", "a b c", "--text", "d", "--json", "--dtype", "f32"))
    expect(result["texts"] == 2 and result["width"] == 16 and [len(v) for v in result["embeddings"]] == [16, 16], "a vector for each text", result)
    ids = work / "ids.json"
    ids.write_text(json.dumps({"input_ids": [[2, 4, 5, 6, 3]]}))
    out = work / "hidden.safetensors"
    gamut("score", model, "--tokens", ids, "--logits", out, "--dtype", "f32")
    hidden = read_floats(out, "last_hidden_state")
    mean = [sum(hidden[i::16]) / 5 for i in range(16)]
    expect(max(abs(a - b) for a, b in zip(mean, result["embeddings"][0])) < 1e-6, "which is the mean of its positions' where nothing else is said")
    vectors = work / "vectors.safetensors"
    done = subprocess.run([GAMUT, "embed", model, "--out", vectors, "--dtype", "f32"], input="a b c\nd\n", stdout=subprocess.PIPE, text=True)
    flat = [x for v in result["embeddings"] for x in v]
    expect(done.stdout.strip() == str(vectors) and max(abs(a - b) for a, b in zip(flat, read_floats(vectors, "embeddings"))) < 1e-6, "lines on stdin, vectors in a file", done.stdout)


def read_floats(path, name):
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    begin, end = json.loads(data[8:8 + size])[name]["data_offsets"]
    return [x for (x,) in struct.iter_unpack("<f", data[8 + size + begin:8 + size + end])]


def read_header(path):
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    return {k: v for k, v in json.loads(data[8:8 + size]).items() if k != "__metadata__"}


RECIPE = """
run.dir = "{run}"
data = {{ path = "{texts}", vocab_size = 400, cache = "{cache}" }}
train = {{ length = 64, batch_tokens = 512, tokens = 1024 }}
validation = {{ points = 0, bytes = 100 }}
checkpoint = {{ seconds = 1e9, keep = 1 }}
[model]
width = 512
layers = 6
max_positions = 512
mixer = {{ kind = "attention", heads = 8, kv_heads = 4 }}
channel = {{ kind = "{kind}", hidden = {hidden} }}
"""


def memory_and_diff(work):
    """Predicted against measured, and runs that repeat or differ."""
    texts = work / "texts"
    texts.mkdir()
    for i in range(6):
        (texts / f"{i}.txt").write_text("\n".join(f"Line {j} of text {i} says {j * j % 97} and {'abcdefgh'[j % 8] * 3}." for j in range(300)))

    def close(what, predicted, measured):
        expect(abs(predicted - measured) <= 0.1 * measured, f"{what}: within 10 % of measured", f"predicted {predicted / 2**20:.1f} MiB, measured {measured / 2**20:.1f} MiB")

    for kind, hidden in (("ffn", 2048), ("moe", 512)):
        recipe, run = work / f"{kind}.toml", work / f"run-{kind}"
        recipe.write_text(RECIPE.format(run=run, texts=texts, cache=work / "cache", kind=kind, hidden=hidden))
        plan = json.loads(gamut("inspect", recipe, "--json"))
        close(f"training {kind}", plan["training"]["ram"], peak_memory("train", recipe))
        model = run / "model"
        served = json.loads(gamut("inspect", model, "--context", "400", "--rows", "2", "--json"))
        expect(served["parameters"] == plan["parameters"] and served["active_parameters"] == plan["active_parameters"], "the model has the recipe's parameters")
        prompt = work / "long.json"
        prompt.write_text(json.dumps({"input_ids": [[5 + i % 90 for i in range(399)]] * 2}))
        close(f"serving {kind}", served["serving"]["ram"], peak_memory("generate", model, "--tokens", prompt, "--max-new-tokens", "2", "--ignore-eos", "--greedy"))

    first = work / "run-ffn"
    again = work / "again"
    gamut("train", work / "ffn.toml", f"run.dir={again}")
    expect("0 of" in gamut("diff", first / "model", again / "model"), "the same recipe gives the same model")
    expect("compared" in gamut("diff", first, again), "and the same metrics")
    other = work / "other"
    gamut("train", work / "ffn.toml", f"run.dir={other}", "run.seed=2")
    found = json.loads(gamut("diff", first / "model", other / "model", "--json", code=1))
    expect(found["first"]["tensor"] == "model.embed_tokens.weight" and found["largest"]["difference"] > 0 and not found["equal"], "another seed differs from the first tensor on", found)
    metrics = json.loads(gamut("diff", first, other, "--json", code=1))
    expect(metrics["first"]["step"] == 1, "and from the first step on", metrics["first"])
    expect(json.loads(gamut("diff", first / "model", other / "model", "--tolerance", "1e9", "--json"))["equal"], "a tolerance covers differences")
    checkpoint = next((first / "checkpoints").glob("step-*"))
    expect(json.loads(gamut("diff", checkpoint, next((again / "checkpoints").glob("step-*")), "--json"))["equal"], "checkpoints compare")


def conversions(work):
    """Dense → mixture of experts → dense: families, equality with the parent, what is refused."""
    for parent, family, options in (("llama-llama3", "mixtral", ["--experts", "4", "--top-k", "2"]), ("mistral", "mixtral", ["experts=3"]), ("qwen3", "qwen3_moe", ["experts=4", "every=2"]),
                                    ("gpt2", "gamut", ["experts=4"]), ("llama", "gamut", ["experts=4", "layers=[1]"]), ("llama-llama3", "mixtral", ["experts=8", "granularity=2", "top_k=4"])):
        source, out = FIXTURES / parent, work / f"{parent}-{len(list(work.iterdir()))}"
        told = json.loads(gamut("upcycle", source, out, *options, "--tokens", source / "input.json", "--json"))
        expect(told["family"] == family and told["identity"]["promised"] and told["identity"]["equal"], f"{parent} becomes {family} and keeps its logits", told)
        logits = []
        for model in (source, out):
            gamut("score", model, "--tokens", source / "input.json", "--logits", work / "logits.safetensors", "--dtype", "f32")
            logits.append(read_floats(work / "logits.safetensors", "logits"))
        expect(max(abs(a - b) for a, b in zip(*logits)) < 1e-5 * max(1, max(map(abs, logits[0]))), f"{parent}: what is written computes what the parent does")
        back = work / (out.name + "-back")
        if "granularity=2" not in options:
            told = json.loads(gamut("downcycle", out, back, "method=merge", "by=uniform", "--tokens", source / "input.json", "--json"))
            expect(abs(told["loss_before"] - told["loss_after"]) < 1e-5, f"{parent} comes back", told)
            if parent != "gpt2":  # whose scale by layer only its own configuration can say
                expect(told["family"] == source.name.split("-")[0], "as what it was", told)
                expect(json.loads(gamut("diff", back, source, "--tolerance", "1e-5", "--json"))["equal"], f"{parent} comes back with its weights")
        else:
            told = json.loads(gamut("downcycle", out, back, "method=prune", "experts=4", "--tokens", source / "input.json", "--json"))
            expect(json.loads((back / "config.json").read_text())["num_local_experts"] == 4 and told["loss_after"] != told["loss_before"], "experts are left out", told)
    half = work / "half"
    shutil.copytree(FIXTURES / "llama-llama3", half)
    config = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps(dict(config, dtype="bfloat16")))
    first = json.loads(gamut("upcycle", half, work / "half-moe", "experts=4", "--json"))["identity"]
    header = read_header(work / "half-moe" / "model.safetensors")
    expect(first["equal"] and first["written"] > 1e-4 and {t["dtype"] for t in header.values()} == {"BF16"}, "float32 weights of a bfloat16 model are rounded, and it is said", first)
    gamut("upcycle", work / "half-moe", work / "half-again", "experts=4", code=2)
    told = json.loads(gamut("upcycle", FIXTURES / "llama", work / "dropped", "method=drop", "seed=3", "--json"))
    expect(not told["identity"]["promised"] and not told["identity"]["equal"] and "drop" in told["identity"]["because"], "what is not promised is said", told)
    expect("equality is not promised" in gamut("upcycle", FIXTURES / "llama", work / "noisy", "method=noise"), "to people, too")
    gamut("upcycle", FIXTURES / "llama", work / "noisy", code=2)  # is there already
    gamut("downcycle", work / "noisy", work / "nothing", code=2)  # without text


def gguf(work):
    """A .gguf file is a model wherever a folder is one; a run may start from either."""
    files = FIXTURES.parent / "gguf"
    prompt = work / "gguf.json"
    prompt.write_text(json.dumps({"input_ids": [[3, 4, 5]]}))
    expect("0 of" in gamut("diff", files / "llama.gguf", FIXTURES / "llama"), "a GGUF file and the folder it was made from are equal")
    expect("20 of 20 tensors differ" in gamut("diff", files / "llama.gguf", FIXTURES / "llama-llama3", code=1), "and differ from another")
    expect("0 of" in gamut("diff", files / "packed.gguf", files / "packed.gguf"), "two GGUF files compare")
    expect(json.loads(gamut("inspect", files / "mixtral.gguf", "--json"))["family"] == "mixtral", "inspect")
    packed = files / "packed.gguf"
    text = json.loads(gamut("generate", packed, "--prompt", "def f", "--greedy", "--max-new-tokens", 4, "--ignore-eos", "--json"))
    expect(text["output_ids"][0][0] == 1 and text["prompt_tokens"] + 4 == len(text["output_ids"][0]), "generate begins with the file's bos", text)
    done = subprocess.run([GAMUT, "tokenizer", "encode", packed], input='"def f"\n', stdout=subprocess.PIPE, text=True)
    expect(json.loads(done.stdout) == text["output_ids"][0][:text["prompt_tokens"]], "tokenizer encode reads its vocabulary", done.stdout)

    texts, recipe = work / "gguf-texts", work / "gguf.toml"
    texts.mkdir()
    (texts / "a.txt").write_text("\n".join(f"def f{i}(x): return x + {i}" for i in range(200)))
    for start in (packed, work / "gguf-1" / "model"):
        run = work / ("gguf-1" if start == packed else "gguf-2")
        recipe.write_text(f"""
run.dir = "{run}"
data = {{ path = "{texts}", cache = "{work / 'cache'}" }}
model = {{ from = "{start}", dtype = "f32" }}
train = {{ length = 32, batch_tokens = 64, tokens = 64 }}
optimizer = {{ lr = 1e-12 }}
validation = {{ points = 0, bytes = 100 }}
""")
        gamut("train", recipe)
        found = json.loads(gamut("diff", run / "model", packed, "--json", code=1))
        expect(found["largest"]["difference"] < 1e-11 and not found["missing"] and found["compared"] == 20, "a run that starts from a model begins with its weights", found)
        gamut("train", recipe)  # done already: its own resolved recipe is the same
    recipe.write_text(recipe.read_text().replace("dtype = ", "width = 64, dtype = "))
    done = subprocess.run([GAMUT, "train", recipe], stderr=subprocess.PIPE, text=True)
    expect(done.returncode == 2 and "model.width" in done.stderr, "with its shape, too", done.stderr)


with tempfile.TemporaryDirectory(prefix="gamut-commands-") as name:
    work = pathlib.Path(name)
    completion(work)
    explain()
    doctor()
    score_and_generate(work)
    routing(work)
    routing_measures(work)
    embed(work)
    memory_and_diff(work)
    gguf(work)
    conversions(work)
report()
