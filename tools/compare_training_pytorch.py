#!/usr/bin/env python3
"""Trains the model of a recipe in Gamut and in PyTorch: same initial weights, same batches in the same order, same schedule, clipping and AdamW.

    tools/compare_training_pytorch.py GAMUT RECIPE OUT [--seeds 1,2] [--dtypes f32,bf16] [key=value ...]

Developer only: needs torch, transformers and the xxHash library. The model must be one that transformers knows (llama or mixtral kind;
a mixture needs balance = "pooled" or "none" and scale = 1). Gamut's initial weights come from a run of one step with rate 0; the order of
batches is made here again from its definition in data/stream.h. Prints, for every type and seed, how far apart the losses of the steps are
and the bits per byte of both on all validation text.
"""
import argparse
import ctypes
import ctypes.util
import json
import math
import os
import subprocess
import sys
import time
import tomllib

import numpy as np
import torch
from transformers import AutoModelForCausalLM

M32, M64 = (1 << 32) - 1, (1 << 64) - 1
xxhash = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def hash64(data, seed=0):
    return xxhash.XXH3_64bits_withSeed(data, len(data), seed)


def stream_bits(key, index):
    """64 bits at `index` of a stream: Philox 4x32-10."""
    c, k = [index & M32, index >> 32, 0, 0], [key & M32, key >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & M32, (p0 >> 32) ^ c[3] ^ k[1], p0 & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    return c[0] | c[1] << 32


def shuffled(n, key, i):
    """Place i of the shuffled order of 0 … n−1: a Feistel network of four rounds, walked until it falls inside."""
    half = (max(n - 1, 1).bit_length() + 1) // 2
    mask = (1 << half) - 1
    while True:
        left, right = i >> half, i & mask
        for step in range(4):
            left, right = right, left ^ (stream_bits(key, right * 4 + step) & mask)
        i = left << half | right
        if i < n:
            return i


class Data:
    def __init__(self, folder, length, seed):
        self.length, self.seed = length, seed
        manifest = json.load(open(f"{folder}/manifest.json"))
        self.domains = sorted(manifest["domains"])
        self.train, self.validation = ([self.shard(f"{folder}/{d}.{split}.tokens") for d in self.domains] for split in ("train", "validation"))
        self.windows = [(len(s) - 1) // length for s in self.train]
        tokenizer = json.load(open(f"{folder}/tokenizer.json"))
        special = {t["id"] for t in tokenizer["added_tokens"] if t["special"]}
        self.token_bytes = np.zeros(len(tokenizer["model"]["vocab"]), dtype=np.int64)
        for text, number in tokenizer["model"]["vocab"].items():
            self.token_bytes[number] = 0 if number in special else len(text)  # byte level: a character stands for a byte

    @staticmethod
    def shard(path):
        raw = open(path, "rb").read()
        width, tokens = int.from_bytes(raw[12:16], "little"), int.from_bytes(raw[16:24], "little")
        return np.frombuffer(raw, dtype=np.uint16 if width == 2 else np.uint32, count=tokens, offset=96).astype(np.int64)

    def row(self, place):
        total = sum(self.windows)
        key = hash64(f"epoch {place // total}".encode(), hash64(b"data", hash64(self.seed.to_bytes(8, "little"))))
        window, domain = shuffled(total, key, place % total), 0
        while window >= self.windows[domain]:
            window, domain = window - self.windows[domain], domain + 1
        return self.train[domain][window * self.length : (window + 1) * self.length + 1]

    def batch(self, step, rows):
        both = torch.tensor(np.stack([self.row(step * rows + r) for r in range(rows)]))
        return both[:, :-1], both[:, 1:]


def factor(schedule, step, steps):
    """training/schedule.h."""
    warm, floor = schedule["warmup"] * steps, schedule["floor"]
    if step < warm:
        return step / warm
    if schedule["kind"] == "constant":
        return 1.0
    progress = min(max((step - warm) / (steps - warm), 0.0), 1.0) if steps > warm else 1.0
    if schedule["kind"] == "linear":
        return floor + (1 - floor) * (1 - progress)
    if schedule["kind"] == "cosine":
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
    begin = (1 - schedule["decay"]) * steps
    return 1.0 if step <= begin else floor + (1 - floor) * (1 - math.sqrt((step - begin) / (steps - begin)))


def cross_entropy(model, inputs, targets, dtype, reduction):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bf16"):
        out = model(inputs)
    return torch.nn.functional.cross_entropy(out.logits.float().flatten(0, 1), targets.flatten(), reduction=reduction), out


def validate(model, data, dtype, rows):
    nats = count = 0
    model.eval()
    with torch.no_grad():
        for shard in data.validation:
            windows = (len(shard) - 1) // data.length
            for first in range(0, windows, rows):
                both = [shard[w * data.length : (w + 1) * data.length + 1] for w in range(first, min(first + rows, windows))]
                both = torch.tensor(np.stack(both))
                loss, _ = cross_entropy(model, both[:, :-1], both[:, 1:], dtype, "none")
                size = torch.tensor(data.token_bytes)[both[:, 1:].flatten()]
                nats += loss[size > 0].double().sum().item()
                count += size.sum().item()
    return nats / (count * math.log(2))


def train(folder, recipe, data, dtype, steps):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    o, rows = recipe["optimizer"], recipe["train"]["batch_tokens"] // recipe["train"]["length"]
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": o["weight_decay"]}, {"params": others, "weight_decay": 0.0}], lr=o["lr"],
                                  betas=(o["beta1"], o["beta2"]), eps=o["eps"])
    losses = []
    model.train()
    began = time.time()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = o["lr"] * factor(recipe["schedule"], step, steps)
        inputs, targets = data.batch(step - 1, rows)
        loss, out = cross_entropy(model, inputs, targets, dtype, "mean")
        losses.append(loss.item())
        if getattr(out, "aux_loss", None) is not None:
            loss = loss + model.router_aux_loss_coef * out.aux_loss
        loss.backward()
        if o["clip"] > 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), o["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return losses, time.time() - began, validate(model, data, dtype, rows)


def gamut(binary, recipe, out, settings):
    subprocess.run([binary, "train", recipe, f"run.dir={out}", *settings], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    lines = [json.loads(line) for line in open(f"{out}/metrics.jsonl")]
    return [line["loss"] for line in lines if line["kind"] == "train"], sum(line["seconds"] for line in lines if line["kind"] == "train"), lines[-1]["bits_per_byte"]


def main():
    parser = argparse.ArgumentParser()
    for name in ("gamut", "recipe", "out"):
        parser.add_argument(name)
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--data", help="folder of the dataset (manifest.json, tokenizer.json, shards); default: the cache's one for data.recipe")
    parser.add_argument("settings", nargs="*")
    a = parser.parse_intermixed_args()
    differences = []
    for dtype in a.dtypes.split(","):
        for seed in map(int, a.seeds.split(",")):
            settings = [*a.settings, f"run.seed={seed}"]
            ours, our_time, our_bpb = gamut(a.gamut, a.recipe, f"{a.out}/{dtype}-{seed}", [*settings, f"model.dtype={dtype}"])
            recipe = tomllib.load(open(f"{a.out}/{dtype}-{seed}/recipe.toml", "rb"))
            start = f"{a.out}/start-{seed}"
            gamut(a.gamut, a.recipe, start, [*settings, "model.dtype=f32", "optimizer.lr=0", "optimizer.weight_decay=0", f"train.tokens={recipe['train']['batch_tokens']}"])
            cache = os.environ.get("GAMUT_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gamut")
            names = sorted(n for n in os.listdir(f"{cache}/datasets") if n.startswith(f"{recipe['data']['recipe']}-v{recipe['data']['vocab_size']}-") and not n.endswith(".lock"))
            data = Data(a.data or f"{cache}/datasets/{names[-1]}", recipe["train"]["length"], seed)
            theirs, their_time, their_bpb = train(f"{start}/model", recipe, data, dtype, len(ours))
            gap = [abs(x - y) for x, y in zip(ours, theirs)]
            differences.append(our_bpb - their_bpb)
            print(f"{dtype} seed {seed}: {len(ours)} steps | largest difference of losses: step 1 {gap[0]:.1e}, to 10 {max(gap[:10]):.1e}, to 50 {max(gap[:50]):.1e}, all {max(gap):.1e} | "
                  f"bits/byte Gamut {our_bpb:.4f} PyTorch {their_bpb:.4f} difference {our_bpb - their_bpb:+.4f} | seconds {our_time:.0f} and {their_time:.0f}", flush=True)
    print(f"mean difference {np.mean(differences):+.4f} bits/byte over {len(differences)} pairs (negative: Gamut lower), standard error {np.std(differences) / max(1, len(differences) - 1) ** 0.5:.4f}")


if __name__ == "__main__":
    sys.exit(main())
