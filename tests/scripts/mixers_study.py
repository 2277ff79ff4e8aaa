#!/usr/bin/env python3
"""The smoke tier of the lab's mixers on one's own texts: interrupted it goes on, and ends with every part of its report.

usage: mixers_study.py GAMUT
"""
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from checks import expect, report
from study import write_texts


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        write_texts(work / "texts", random.Random(1))
        out = work / "out"
        command = [sys.argv[1], "lab", "mixers", "tier=smoke", "minutes=0.5", "data.vocab_size=384", f"data.path={work / 'texts'}", f"data.cache={work / 'cache'}", f"out={out}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.time() + 600
        while process.poll() is None and time.time() < deadline and not list((out / "recall").glob("*.json") if (out / "recall").exists() else []):
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
        expect(process.returncode == 130 and "the same command continues" in err.splitlines()[-1], "interrupted, it says how to go on", err[-300:])
        first = {path.name: path.read_text() for path in (out / "recall").glob("*.json")}
        expect(first, "a finished cell is kept")
        done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=900)
        expect(done.returncode == 0 and "continuing the study" in done.stderr, "the same command finishes", done.stderr[-500:])
        expect(all((out / "recall" / name).read_text() == text for name, text in first.items()), "finished cells are not computed again")
        study = json.loads(done.stdout)
        arms = [arm["id"] for arm in study["arms"]]
        expect(len(arms) == 6 and all(len(arm["curves"]) == 2 for arm in study["arms"]), "every arm ran with every seed", arms)
        expect([row["arm"] for row in study["standings"]] == arms and sum("difference" in row for row in study["standings"]) == 5, "five arms stand beside the baseline")
        held = {row["what"]["en"]: row for row in study["held_equal"]}
        expect(not held["FLOPs a token, recurrences included"]["mismatch"], "FLOPs agree", held)
        plots = {plot["id"]: plot for plot in study["plots"]}
        expect(set(plots) == {"recall", "state", "decode-time", "decode-bytes"}, "all charts are there", list(plots))
        recall = {s["arm"]: max(s["y"]) for s in plots["recall"]["series"]}
        expect(recall["attention"] > 4 * 100 / 32, "attention recalls far above chance", recall)
        state = {s["arm"]: s["y"] for s in plots["state"]["series"]}
        expect(state["attention"][-1] > 4 * state["attention"][0] and state["gated_deltanet"][-1] == state["gated_deltanet"][0], "only attention's state grows", state)
        page = (out / "report.html").read_text()
        expect(len(page) < 3e6 and all(f'class="{name}' in page for name in ("standings", "plots", "prices")), "the report has its sections")
        expect("At equal compute" in page and "计算量相同时" in page, "the verdict in both languages")
    report()


if __name__ == "__main__":
    main()
