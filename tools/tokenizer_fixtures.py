#!/usr/bin/env python3
"""Makes tests/data/fixtures/*.json: small tokenizers of every kind, and what Hugging Face `tokenizers` says about some texts.

    tools/tokenizer_fixtures.py tests/data/fixtures

Each file holds {"tokenizer": the tokenizer.json, "cases": [{"text", "ids", "framed", "decoded", "skipped"}], "pairs": [{"texts",
"ids", "type_ids"}], "as_text": [{"text", "ids"}]}. Needs the `tokenizers` package; the tests need only the files.
"""
import base64
import json
import pathlib
import struct
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders as D, models as M, normalizers as N, pre_tokenizers as P, processors as Q, trainers as T

CORPUS = """It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.
However little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is so well fixed.
def encode(self, text): return [self.vocab[token] for token in self.split(text)]  # 12345 tokens, 0x1F
for (int i = 0; i < 1024; ++i) { sum += values[i] * 3.14159; }
自然语言处理是人工智能领域中的一个重要方向。它研究能实现人与计算机之间用自然语言进行有效通信的各种理论和方法。
Le cœur a ses raisons que la raison ne connaît point. Die Straße führt über die Brücke. Привет, мир! Καλημέρα κόσμε.
人と計算機の間で自然言語による対話を可能にする。 안녕하세요 세계. नमस्ते दुनिया. مرحبا بالعالم
"""
TEXTS = ["", " ", "  ", "Hello world", " leading", "trailing ", "two  spaces   three", "tabs\tand\nnewlines\r\n\r\n  end\n", "It's we'll I'VE don't",
         "12345 ٤٥٦ ½ ² 3.14", "def f(x): return x+1  # ok", "自然语言处理，是重要方向。", "日本語とカタカナー", "안녕하세요", "नमस्ते क्षत्रिय", "Ünïcödé é e\u0301 ﬁ Å ſ", "İstanbul STRASSE ΣΊΣΥΦΟΣ",
         "🙂👨‍👩‍👧‍👦🇩🇪", "a\u00a0b\u3000c\u200bd\ufeff", "\u0301combining first", "▁ literal Ġ", "<0x0A> literal", "<s>special</s> <mask> x<mask>y [SEP]", "pre<tag> in <tag>word", "xx<tag>", "aaaaaaaaaaaaaaaa bbbb",
         "mixed中文English日本", "Wow!!! (really?) “quoted” — dash…", "\x00\x01control\x7f\x85", "𝔘𝔫𝔦 ｆｕｌｌ ㍿ ㋿", "x" * 150, "snake_case camelCase 100% a_b-c", "don ' t , do not . ?"]
PAIRS = [("first text", "second one"), ("自然语言", "x"), ("", "b")]


def charsmap(rules):
    """SentencePiece's table for {from: to}: a double-array trie of our own making, and the texts."""
    texts, offsets = b"", {}
    for key, value in rules.items():
        offsets[key.encode()] = len(texts)
        texts += value.encode() + b"\0"
    trie = {}
    for key, value in offsets.items():
        node = trie
        for byte in key:
            node = node.setdefault(byte, {})
        node[None] = value
    units, used = {0: 0}, {0}

    def place(node, at):
        labels = sorted((b for b in node if b is not None), key=lambda b: b)
        keys = ([0] if None in node else []) + labels
        base = 1
        while True:  # base ^ label must be free for every child; offsets are stored relative to the node
            offset = at ^ base
            if offset < 1 << 21 and all((base ^ k) not in used for k in keys) and base != at:
                break
            base += 1
        for k in keys:
            used.add(base ^ k)
        units[at] = (units.get(at, 0) & (1 << 31 | 0xff)) | (at ^ base) << 10 | (1 << 8 if None in node else 0)
        if None in node:
            units[base] = node[None] | 1 << 31
        for k in labels:
            units[base ^ k] = k
        for k in labels:
            place(node[k], base ^ k)

    place(trie, 0)
    table = [units.get(i, 0) for i in range(max(units) + 256)]
    blob = struct.pack(f"<{len(table)}I", *table)
    return base64.b64encode(struct.pack("<I", len(blob)) + blob + texts).decode()


def byte_bpe(pre, vocabulary=420, **model):
    t = Tokenizer(M.BPE(**model))
    t.pre_tokenizer, t.decoder = pre, D.ByteLevel()
    affix = {k: v for k, v in model.items() if k == "end_of_word_suffix"}
    t.train_from_iterator([CORPUS], T.BpeTrainer(vocab_size=vocabulary, special_tokens=["<s>", "</s>", "<mask>"], initial_alphabet=sorted(P.ByteLevel.alphabet()), show_progress=False, **affix))
    return t


def fallback_bpe(normalizer, pre, decoder):
    t = Tokenizer(M.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    t.decoder = decoder
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    t.train_from_iterator(CORPUS.split("\n"), T.BpeTrainer(vocab_size=620, special_tokens=specials, limit_alphabet=120, show_progress=False))
    about = json.loads(t.to_str())
    about["added_tokens"] = about["added_tokens"][:3]  # the bytes are ordinary tokens
    about["model"]["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps(about))


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def kinds():
    yield "byte_level", byte_bpe(P.ByteLevel(add_prefix_space=False))
    t = byte_bpe(P.ByteLevel(add_prefix_space=True))
    t.post_processor = Q.RobertaProcessing(("</s>", 1), ("<s>", 0))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    yield "roberta", t
    t = byte_bpe(P.Sequence([P.Split(Regex(LLAMA3), "isolated"), P.ByteLevel(add_prefix_space=False, use_regex=False)]), ignore_merges=True)
    t.normalizer = N.NFC()
    t.post_processor = Q.Sequence([Q.ByteLevel(trim_offsets=False), Q.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 0)])])
    t.add_tokens([AddedToken("<tag>", single_word=True), AddedToken(" é", rstrip=True, normalized=True)])
    yield "split", t
    yield "punctuation_digits", byte_bpe(P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(False), P.Split(Regex("[0-9][0-9][0-9]"), "isolated")]))
    t = byte_bpe(P.Sequence([P.Split(Regex(r"'s|'t|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True), P.ByteLevel(add_prefix_space=False, use_regex=False)]), 760,
                 end_of_word_suffix="</w>", unk_token="</s>")
    t.normalizer = N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()])
    yield "end_of_word", t
    yield "set_in_set", byte_bpe(P.Sequence([P.Split(Regex(r" ?[^(\s|[.,!?…。，、।۔،])]+"), "isolated"), P.ByteLevel(add_prefix_space=False, use_regex=False)]))
    t = Tokenizer(M.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer, t.decoder = N.BertNormalizer(), P.BertPreTokenizer(), D.WordPiece()
    t.train_from_iterator([CORPUS], T.WordPieceTrainer(vocab_size=420, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    t.post_processor = Q.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    yield "word_piece", t
    tail = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    t = fallback_bpe(N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), None, tail)
    t.post_processor = Q.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 1)])
    yield "byte_fallback", t
    yield "metaspace_first", fallback_bpe(None, P.Metaspace(prepend_scheme="first", split=False), tail)
    yield "merged_with_previous", fallback_bpe(N.Nmt(), P.Split(" ", "merged_with_previous"), D.Sequence([D.ByteFallback(), D.Fuse()]))
    t = Tokenizer(M.Unigram())
    rules = {"ﬁ": "fi", "Å": "Å", "½": "1/2", "²": "2", "\t": " ", "\n": " ", "\r": "", "\u00a0": " ", "\u3000": " ", "\u200b": " ", "\ufeff": "", "…": "...", "e\u0301": "é", "A": "a", "㍿": "株式会社"}
    t.normalizer = N.Sequence([N.Precompiled(base64.b64decode(charsmap(rules))), N.Strip(), N.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer, t.decoder = P.Sequence([P.WhitespaceSplit(), P.Metaspace()]), D.Metaspace()
    t.train_from_iterator(CORPUS.split("\n"), T.UnigramTrainer(vocab_size=360, special_tokens=["<s>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    t.post_processor = Q.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    yield "unigram", t
    t = Tokenizer(M.Unigram())
    t.normalizer = N.Sequence([N.Replace("``", '"'), N.NFKD(), N.StripAccents(), N.Lowercase()])
    t.pre_tokenizer, t.decoder = P.Metaspace(), D.Sequence([D.ByteFallback(), D.Metaspace()])
    specials = ["<s>", "</s>", "<unk>"] + [f"<0x{b:02X}>" for b in range(256)]
    t.train_from_iterator(CORPUS.split("\n"), T.UnigramTrainer(vocab_size=600, special_tokens=specials, unk_token="<unk>", show_progress=False))
    about = json.loads(t.to_str())
    about["added_tokens"], about["model"]["byte_fallback"] = about["added_tokens"][:3], True
    yield "unigram_bytes", Tokenizer.from_str(json.dumps(about))
    t = Tokenizer(M.WordLevel(unk_token="[UNK]"))
    t.pre_tokenizer = P.Whitespace()
    t.train_from_iterator([CORPUS], T.WordLevelTrainer(vocab_size=200, special_tokens=["[UNK]", "<s>"], show_progress=False))
    yield "word_level", t
    t = byte_bpe(P.Sequence([P.FixedLength(4), P.ByteLevel(add_prefix_space=False, use_regex=False)]), 300)
    t.normalizer = N.NFKC()
    yield "fixed_length", t
    t = Tokenizer(M.BPE(unk_token="<s>", end_of_word_suffix="</w>", continuing_subword_prefix="@@"))
    t.normalizer, t.pre_tokenizer, t.decoder = N.NFD(), P.CharDelimiterSplit(" "), D.BPEDecoder()
    t.train_from_iterator([CORPUS], T.BpeTrainer(vocab_size=400, special_tokens=["<s>"], end_of_word_suffix="</w>", continuing_subword_prefix="@@", show_progress=False))
    yield "affixes", t
    t = Tokenizer(M.WordLevel({"<pad>": 0, "|": 1, "h": 2, "e": 3, "l": 4, "o": 5, "[UNK]": 6}, unk_token="[UNK]"))
    t.pre_tokenizer, t.decoder = P.Split(Regex(""), "isolated"), D.CTC()
    yield "ctc", t


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, tokenizer in kinds():
        cases = []
        for text in TEXTS:
            plain, framed = tokenizer.encode(text, add_special_tokens=False).ids, tokenizer.encode(text).ids
            cases.append({"text": text, "ids": plain, "framed": framed, "decoded": tokenizer.decode(framed, skip_special_tokens=False), "skipped": tokenizer.decode(framed)})
        ids = [(i * 7919) % tokenizer.get_vocab_size() for i in range(40)]
        decodes = [{"ids": ids[a:b], "text": tokenizer.decode(ids[a:b], skip_special_tokens=False)} for a, b in ((0, 40), (3, 9), (11, 12), (20, 33))]
        pairs = []
        for a, b in PAIRS:
            both = tokenizer.encode(a, b)
            pairs.append({"texts": [a, b], "ids": both.ids, "type_ids": both.type_ids})
        tokenizer.encode_special_tokens = True
        as_text = [{"text": t, "ids": tokenizer.encode(t, add_special_tokens=False).ids} for t in TEXTS if "<" in t or "[" in t]
        tokenizer.encode_special_tokens = False
        rows = {"tokenizer": json.loads(tokenizer.to_str()), "cases": cases, "decodes": decodes, "pairs": pairs, "as_text": as_text}
        lines = ",\n".join(f"{json.dumps(k)}: " + (json.dumps(v, ensure_ascii=False) if k == "tokenizer" else "[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in v) + "\n]") for k, v in rows.items())
        (folder / f"{name}.json").write_text("{\n" + lines + "\n}\n")
        print(name, tokenizer.get_vocab_size(), (folder / f"{name}.json").stat().st_size)


if __name__ == "__main__":
    main()
