#!/usr/bin/env python3
"""Races Gamut's tokenizers against Hugging Face `tokenizers` on one core, run after run in turn, and compares every id.

    tools/tokenizer_peer.py BENCHMARK train TEXTS.jsonl VOCABULARY …
    tools/tokenizer_peer.py BENCHMARK encode FOLDER TEXTS.jsonl …
    tools/tokenizer_peer.py make FOLDER TRAINED KIND

BENCHMARK is the built bench_tokenizer; TEXTS.jsonl holds one JSON string a line; FOLDER holds a tokenizer.json. `make` derives
from a trained byte-level vocabulary one of a large model's kind, KIND: llama3 or qwen2 (byte-level BPE), gemma (BPE with byte fallback),
unigram or wordpiece. Times are of the processor, because others may share the core. Needs the `tokenizers` package.
"""
import array
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402

ROUNDS = 3
SPLITS = {"llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
          "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}


def texts_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def ours(*words):
    return json.loads(subprocess.run(words, check=True, capture_output=True).stdout)


def train(benchmark, path, vocabularies):
    texts = texts_of(path)
    for vocabulary in vocabularies:
        mine, theirs = [], []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                mine.append(ours(benchmark, "train", path, folder, str(vocabulary))["train_s"])
                a = json.loads(pathlib.Path(folder, "tokenizer.json").read_text())["model"]
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["<|endoftext|>"], show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
            start = time.process_time()
            tokenizer.train_from_iterator(texts, trainer)
            theirs.append(time.process_time() - start)
            b = json.loads(tokenizer.to_str())["model"]
        ratio = statistics.median(t / m for m, t in zip(mine, theirs))
        print(f"train {vocabulary}: {min(mine):.2f} s against {min(theirs):.2f} s, {ratio:.1f}x in the median of {ROUNDS} pairs; vocabulary "
              f"{'equal' if a['vocab'] == b['vocab'] else 'DIFFERS'}, merges {'equal' if a['merges'] == b['merges'] else 'DIFFER'}", flush=True)


def encode(benchmark, folder, paths):
    loads = []
    for _ in range(ROUNDS):
        start = time.process_time()
        tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        loads.append(time.process_time() - start)
    good = True
    for path in paths:
        texts = texts_of(path)
        megabytes = sum(len(t.encode()) for t in texts) / 1e6
        first, best, theirs, load = [], [], [], []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as scratch:
                file = os.path.join(scratch, "ids.i32")
                run = ours(benchmark, "encode", path, folder, file)
                ids = array.array("i")
                ids.frombytes(pathlib.Path(file).read_bytes())
            first.append(run["first_s"]), best.append(run["encode_s"]), load.append(run["load_s"])
            expected = array.array("i")
            start = time.process_time()
            for text in texts:
                expected.extend(tokenizer.encode(text, add_special_tokens=False).ids)
            theirs.append(time.process_time() - start)
        good = good and ids == expected
        print(f"{pathlib.Path(folder).name} {pathlib.Path(path).stem}: load {min(load):.3f} s against {min(loads):.3f} s | {megabytes:.1f} MB, {len(ids)} tokens: {megabytes / min(best):.1f} MB/s "
              f"(first pass {megabytes / min(first):.1f}) against {megabytes / min(theirs):.1f} MB/s, {statistics.median(t / b for b, t in zip(best, theirs)):.1f}x "
              f"(first pass {statistics.median(t / f for f, t in zip(first, theirs)):.1f}x) in the median of {ROUNDS} pairs; ids {'equal' if ids == expected else 'DIFFER'}", flush=True)
    return good


def make(folder, trained, kind):
    about = json.loads(pathlib.Path(trained, "tokenizer.json").read_text())
    if kind in SPLITS:
        about["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": SPLITS[kind]}, "behavior": "Isolated", "invert": False},
                                                                        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
        about["model"]["ignore_merges"] = kind == "llama3"
        about["normalizer"] = {"type": "NFC"} if kind == "qwen2" else None
        return save(folder, about)
    alphabet = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    alphabet = {chr(b): b for b in alphabet} | {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in alphabet)}
    words = {}  # in the order of ids, that is of frequency
    for token in about["model"]["vocab"]:
        try:
            words[bytes(alphabet[c] for c in token).decode()] = None
        except (KeyError, UnicodeDecodeError):
            pass
    about |= {"added_tokens": [], "post_processor": None, "normalizer": None}
    if kind == "wordpiece":
        whole = [w.lstrip(" ") for w in words if w.lstrip(" ") and not any(c.isspace() for c in w.lstrip(" "))]
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + whole + ["##" + w for w in words if w.isalnum() and len(w) < 9] + ["##" + w for w in words if len(w) == 1 and not w.isspace()]
        about["model"] = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(dict.fromkeys(tokens))}}
        about["normalizer"] = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": False}
        about["pre_tokenizer"], about["decoder"] = {"type": "BertPreTokenizer"}, {"type": "WordPiece", "prefix": "##", "cleanup": True}
        return save(folder, about)
    words = [w.replace(" ", "▁") for w in words]
    words = [w for w in words if "▁" not in w[1:] or set(w) == {"▁"}]
    characters = list(dict.fromkeys(c for w in words for c in w))
    if kind == "unigram":
        tokens = list(dict.fromkeys(["▁"] + words + characters))
        about["model"] = {"type": "Unigram", "unk_id": 0, "byte_fallback": False, "vocab": [["<unk>", 0.0]] + [[t, -math.log(i + 20)] for i, t in enumerate(tokens)]}
        about["normalizer"] = {"type": "NFKC"}
        about["decoder"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
        about["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, about["decoder"]]}
        return save(folder, about)
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{b:02X}>" for b in range(256)] + characters + [w for w in words if len(w) > 1]
    vocab = {t: i for i, t in enumerate(dict.fromkeys(tokens))}
    merges = [[t[:i], t[i:]] for t in vocab if len(t) > 1 and not t.startswith("<") for i in range(1, len(t)) if t[:i] in vocab and t[i:] in vocab]
    about["model"] = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True,
                      "ignore_merges": False, "vocab": vocab, "merges": merges}
    about["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    about["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    about["decoder"] = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}
    about["added_tokens"] = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for i, t in enumerate(tokens[:4])]
    save(folder, about)


def save(folder, about):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    pathlib.Path(folder, "tokenizer.json").write_text(json.dumps(about, ensure_ascii=False, indent=2))
    print(f"{folder}: {len(about['model']['vocab'])} tokens, {len(about['model'].get('merges', []))} merges")


def main():
    if sys.argv[1] == "make":
        return make(*sys.argv[2:5])
    benchmark, what = sys.argv[1:3]
    if what == "train":
        return train(benchmark, sys.argv[3], [int(v) for v in sys.argv[4:]])
    sys.exit(0 if encode(benchmark, sys.argv[3], sys.argv[4:]) else 1)


if __name__ == "__main__":
    main()
