#!/usr/bin/env python3
"""A small study of one's own texts: interrupted and killed at random moments it ends with the numbers of an undisturbed one.

usage: study.py GAMUT [SEED]

Also: what a pipe, a terminal and stdout see, one domain, little text, and a folder that holds another study.
"""

import json
import os
import pathlib
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from checks import expect, report


def write_texts(folder, rng):
    """Plain text, Markdown and JSONL of one domain: sentences of a small grammar."""
    syllables = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu".split()
    nouns = ["".join(rng.choices(syllables, k=rng.randint(2, 4))) for _ in range(400)]
    verbs, places = "chooses weighs forgets learns mixes".split(), "at night,in the valley,by heart,with care".split(",")

    def paragraph():
        sentences = [f"The {rng.choice(nouns)} {rng.choice(verbs)} {rng.randint(2, 99)} {rng.choice(nouns)}s {rng.choice(places)}." for _ in range(rng.randint(3, 9))]
        return " ".join(sentences)

    folder.mkdir(parents=True)
    for i in range(30):
        paragraphs = [paragraph() for _ in range(40)]
        if i % 3 == 0:
            (folder / f"{i}.txt").write_text("\n\n".join(paragraphs))
        elif i % 3 == 1:
            (folder / f"{i}.md").write_text(f"# Part {i}\n\n" + "\n\n".join(paragraphs))
        else:
            (folder / f"{i}.jsonl").write_text("".join(json.dumps({"text": p}) + "\n" for p in paragraphs))


class Study:
    def __init__(self, gamut, work):
        self.gamut, self.work = gamut, work

    def command(self, out, *more):
        return [self.gamut, "lab", "dense-vs-moe", "tier=smoke", "minutes=0.5", "data.vocab_size=384", f"data.path={self.work / 'texts'}", f"data.cache={self.work / 'cache'}", f"out={out}", *more]

    def run(self, out, *more):
        return subprocess.run(self.command(out, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=900)

    def start(self, out):
        return subprocess.Popen(self.command(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def numbers(out):
    """Everything measured but time."""
    races = {}
    for path in sorted((out / "races").glob("*.json")):
        races[path.stem] = json.loads(path.read_text())["outcomes"]
        for outcome in races[path.stem]:
            expect(len(outcome.pop("step_seconds")) > 100, "every step is timed")
    return races


def undisturbed(study):
    out = study.work / "undisturbed"
    begin = time.time()
    done = study.run(out)
    seconds = time.time() - begin
    expect(done.returncode == 0, "the study ends well", done.stderr[-500:])
    lines = done.stdout.splitlines()
    expect(len(lines) == 2 and lines[0].startswith(("For equal loss, MoE", "MoE")), "stdout is the verdict and the path", done.stdout)
    report = pathlib.Path(lines[-1])
    expect(report == out / "report.html" and report.stat().st_size < 3e6, "the report lies where the last line says", lines[-1])
    expect("\r" not in done.stderr and "\x1b" not in done.stderr, "a pipe gets plain lines")
    expect(re.search(r"plan: .* about \d", done.stderr) and "ETA" in done.stderr, "plan and ETA are told", done.stderr[-300:])
    expect("little text: every run reads it" in done.stderr, "little text is a warning", done.stderr[:600])

    study_json = json.loads((out / "study.json").read_text())
    expect([d["id"] for d in study_json["comparison"]["domains"]] == ["text"], "one domain, one row", study_json["comparison"]["domains"])
    expect(study_json["specialisation"] == [], "one domain: nothing to specialise in")
    expect(study_json["null_twin"] == {"losses": 220, "equal": 220}, "null twin", study_json["null_twin"])
    expect(study_json["tokens_per_active_weight"] >= 25, "tokens for each active matrix weight")
    expect({c["arm"] for c in study_json["controls"]} == {"hash", "random"}, "both controls")
    expect(len(study_json["arms"][1]["curves"]) == 2, "two seeds")
    page = report.read_text()
    expect("MoE" in page and 'class="domains"' in page and 'class="specialisation"' not in page, "the page's sections follow the domains")

    again = study.run(out, "--json")
    expect(again.returncode == 0 and json.loads(again.stdout)["comparison"] == study_json["comparison"], "a finished study is only reported again")
    other = study.run(out, "seed=5")
    expect(other.returncode == 2 and len(other.stderr.splitlines()) == 1 and "another study" in other.stderr, "another study's folder is refused", other.stderr)
    return out, seconds


def disturbed(study, reference, seconds, rng):
    """The same plan, stopped by SIGINT and kill -9 in turn."""
    out = study.work / "disturbed"
    out.mkdir()
    shutil.copy(reference / "plan.json", out)
    for blow in [signal.SIGINT, signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGKILL]:
        process = study.start(out)
        wait = rng.uniform(0.1, 0.35) * seconds
        try:
            process.wait(wait)
            expect(process.returncode == 0, "ended before the blow", process.stderr.read()[-300:])
            break
        except subprocess.TimeoutExpired:
            process.send_signal(blow)
        _, err = process.communicate(timeout=300)
        if blow == signal.SIGKILL:
            expect(process.returncode == -9, "killed")
        elif process.returncode != 0:  # the blow may come when all is done
            expect(process.returncode == 128 + blow, f"exit after {blow.name}", process.returncode)
            expect("the same command continues" in err.splitlines()[-1], "says how to go on", err[-300:])
    done = study.run(out)
    expect(done.returncode == 0 and "continuing the study" in done.stderr, "the same command finishes", done.stderr[-500:])
    a, b = numbers(reference), numbers(out)
    expect(a.keys() == b.keys(), "the same races", (a.keys(), b.keys()))
    for race in a:
        expect(a[race] == b.get(race), f"race {race}: the same numbers")
    tokens = [json.loads((folder / "study.json").read_text())["comparison"]["curve"]["tokens"] for folder in (reference, out)]
    expect(tokens[0] == tokens[1], "the same token ratios")
    expect(not list((out / "races").glob("*.checkpoints")), "no checkpoint is left behind")


def on_a_terminal(study):
    """The live line; Ctrl-C as a terminal sends it."""
    main, side = pty.openpty()
    process = subprocess.Popen(study.command(study.work / "terminal"), stdin=side, stdout=subprocess.PIPE, stderr=side, start_new_session=True)
    os.close(side)
    seen, deadline = b"", time.time() + 300
    while time.time() < deadline:
        if select.select([main], [], [], 0.2)[0]:
            try:
                seen += os.read(main, 1 << 16)
            except OSError:
                break
        if b"ETA" in seen and process.poll() is None:
            process.send_signal(signal.SIGINT)
        if process.poll() is not None:
            break
    expect(process.wait(120) == 130, "Ctrl-C on a terminal", process.returncode)
    process.stdout.close()
    text = seen.decode(errors="replace")
    expect("\r" in text and "█" in text or "░" in text, "a terminal gets one live line", text[-300:])


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    print(f"study: seed {seed}")
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        study = Study(sys.argv[1], pathlib.Path(folder))
        write_texts(study.work / "texts", random.Random(1))
        reference, seconds = undisturbed(study)
        disturbed(study, reference, seconds, rng)
        on_a_terminal(study)
    report()


if __name__ == "__main__":
    main()
