#!/usr/bin/env python3
"""`gamut tokenizer` and `gamut data` from the outside: data_commands.py GAMUT"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

GAMUT = os.path.abspath(sys.argv[1])


def run(*words, text="", code=0, **environment):
    done = subprocess.run([GAMUT, *words], input=text, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == code, f"{words}: exit {done.returncode}, expected {code}: {done.stderr}"
    if code == 2:
        assert done.stderr.count("gamut") >= 1 and done.stderr.strip().splitlines()[-1].startswith("gamut"), done.stderr
    return done.stdout, done.stderr


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    os.environ["GAMUT_CACHE"] = str(folder / "cache")
    (folder / "texts" / "中文").mkdir(parents=True)
    for i in range(40):
        (folder / "texts" / f"{i}.txt").write_text("".join(f"Line {i * 100 + k} says {k * k} and nothing else.\n" for k in range(60)))
        (folder / "texts" / "中文" / f"{i}.txt").write_text("".join(f"第{i * 100 + k}行说的是{k * k}。\n" for k in range(60)))
    texts, tokenizer, data = (str(folder / n) for n in ("texts", "tokenizer", "data"))

    out, _ = run("tokenizer", "train", tokenizer, f"data.path={texts}", "data.vocab_size=300", "--json")
    assert json.loads(out)["vocab_size"] == 300, out
    lines = ["", "Line 7 says", "第7行\u2028\u0085", "<|endoftext|> \U0001f642 \x00"]
    encoded, _ = run("tokenizer", "encode", tokenizer, text="".join(json.dumps(x) + "\n" for x in lines))
    assert len(encoded.splitlines()) == len(lines) and json.loads(encoded.split("\n")[3])[0] == 0
    decoded, _ = run("tokenizer", "decode", tokenizer, text=encoded)
    assert [json.loads(x) for x in decoded.splitlines()] == lines, decoded
    skipped, _ = run("tokenizer", "decode", tokenizer, "--skip-special", text=encoded)
    assert json.loads(skipped.splitlines()[3]) == lines[3].removeprefix("<|endoftext|>")
    run("tokenizer", "encode", tokenizer, text="17\n", code=2)
    run("tokenizer", "decode", tokenizer, text="[300]\n", code=2)
    run("tokenizer", "encode", str(folder), text="", code=2)
    run("tokenizer", "train", tokenizer, f"data.path={texts}", "data.vocab_size=12", code=2)
    assert "did you mean" in run("tokenizer", "encoed", tokenizer, code=2)[1]

    assert "tiny" in run("data")[0] and {r["name"] for r in json.loads(run("data", "list", "--json")[0])} >= {"tiny", "full"}
    run("data", "prepare", data, f"data.path={texts}", "data.vocab_size=400")
    about = json.loads(run("data", "stats", data, "--json")[0])
    assert set(about["domains"]) == {"text", "中文"} and about["tokenizer"]["vocab_size"] == 400
    for shown in (run("data", "stats", data)[0], run("data", "stats", texts)[0]):
        assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith("/")), shown
    run("data", "prepare", data, f"data.path={texts}", code=2)
    shard = folder / "data" / "text.train.tokens"
    shard.write_bytes(shard.read_bytes()[:-9])
    assert "text.train.tokens" in run("data", "stats", data, code=2)[1]
    # Without apt-get no package can be had.
    assert "data.path=FOLDER" in run("data", "prepare", str(folder / "none"), "data.recipe=tiny", code=2, PATH=name)[1]
    assert not (folder / "none").exists()

    # A model that fills in masked words keeps a tokenizer that frames texts, as those of published ones do.
    recipe = folder / "masked.toml"
    recipe.write_text(f"""
[run]
dir = "{folder / 'run'}"
[data]
path = "{texts}"
vocab_size = 300
[model]
width = 16
layers = 1
positions = "learned"
max_positions = 32
token_types = 2
mixer = {{ kind = "attention", heads = 2, rope = false }}
heads = [{{ kind = "vocabulary" }}, {{ kind = "pooled", name = "seq_relationship_logits", classes = 2 }}]
objective = {{ kind = "mlm+nsp" }}
[model.channel]
kind = "ffn"
hidden = 16
[train]
length = 32
batch_tokens = 128
tokens = 256
""")
    run("train", str(recipe))
    model = folder / "run" / "model"
    names = {t["content"]: t["id"] for t in json.loads((model / "tokenizer.json").read_text())["added_tokens"]}
    framed, _ = run("tokenizer", "encode", str(model), text='"Line 7 says"\n')
    plain, _ = run("tokenizer", "encode", str(model), "--no-special", text='"Line 7 says"\n')
    assert json.loads(framed) == [names["[CLS]"], *json.loads(plain), names["[SEP]"]], framed
    about = json.loads((model / "tokenizer_config.json").read_text())
    assert (about["cls_token"], about["sep_token"]) == ("[CLS]", "[SEP]"), about
print("data commands: passed")
