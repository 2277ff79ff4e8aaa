#!/usr/bin/env python3
"""Races Gamut's byte-level BPE against Hugging Face `tokenizers` on one core, and compares every id.

    tools/tokenizer_peer.py BENCHMARK TEXTS.jsonl [VOCABULARY ...]

BENCHMARK is the built tokenizer_benchmark; TEXTS.jsonl holds one JSON string a line. Needs the `tokenizers` package.
Prints one line a vocabulary: seconds, ratios, and whether vocabulary, merges and ids are equal.
"""
import array
import json
import os
import subprocess
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402


def train(texts, vocabulary):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def flat(tokenizer, texts):
    ids = array.array("i")
    start = time.perf_counter()
    for text in texts:
        ids.extend(tokenizer.encode(text, add_special_tokens=False).ids)
    return ids, time.perf_counter() - start


def race(benchmark, path, texts, vocabulary):
    with tempfile.TemporaryDirectory() as folder:
        ids_file = os.path.join(folder, "ids.i32")
        ours = json.loads(subprocess.run([benchmark, path, str(vocabulary), folder, ids_file], check=True, capture_output=True).stdout)
        our_ids = array.array("i")
        with open(ids_file, "rb") as file:
            our_ids.frombytes(file.read())
        loaded = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    start = time.perf_counter()
    theirs = train(texts, vocabulary)
    their_train = time.perf_counter() - start
    flat(theirs, texts)
    their_ids, their_encode = flat(theirs, texts)
    loaded_ids, _ = flat(loaded, texts)
    a, b = json.loads(theirs.to_str())["model"], json.loads(loaded.to_str())["model"]
    mb = ours["bytes"] / 1e6
    print(f"vocabulary {vocabulary}: {mb:.1f} MB, {len(our_ids)} tokens | train {ours['train_s']:.2f} s against {their_train:.2f} s "
          f"({their_train / ours['train_s']:.1f}x) | encode {mb / ours['encode_s']:.0f} MB/s (first pass {mb / ours['encode_cold_s']:.0f}) "
          f"against {mb / their_encode:.1f} MB/s ({their_encode / ours['encode_s']:.1f}x) | vocabulary "
          f"{'equal' if a['vocab'] == b['vocab'] else 'DIFFERS'}, merges {'equal' if a['merges'] == b['merges'] else 'DIFFER'}, "
          f"ids {'equal' if our_ids == loaded_ids else 'DIFFER'}, trained by either {'equal' if our_ids == their_ids else 'DIFFER'}")
    return our_ids == loaded_ids


def main():
    benchmark, path = sys.argv[1:3]
    with open(path, encoding="utf-8") as file:
        texts = [json.loads(line) for line in file]
    results = [race(benchmark, path, texts, int(v)) for v in sys.argv[3:] or ["2048", "8192"]]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
