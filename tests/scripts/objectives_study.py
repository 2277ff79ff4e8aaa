#!/usr/bin/env python3
"""The smoke tier of the lab's objectives on one's own texts: every objective runs, only likelihoods are ranked, and the report has its parts.

usage: objectives_study.py GAMUT
"""
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

from checks import expect, report
from study import write_texts


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        write_texts(work / "texts", random.Random(1))
        out = work / "out"
        command = [sys.argv[1], "lab", "objectives", "tier=smoke", "minutes=0.5", "data.vocab_size=384", f"data.path={work / 'texts'}", f"data.cache={work / 'cache'}", f"out={out}", "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=900)
        expect(done.returncode == 0, "the study runs", done.stderr[-500:])
        study = json.loads(done.stdout)
        arms = [arm["id"] for arm in study["arms"]]
        expect(len(arms) == 5 and not study["failed"], "every arm ran", arms)
        ranked = ["causal", "masked_diffusion"]
        expect([row["arm"] for row in study["standings"]] == ranked, "only likelihoods are ranked", study["standings"])
        expect([arm["id"] for arm in study["arms"] if arm["curves"]] == ranked, "and only they have curves beside each other")
        held = {row["what"]["en"]: row for row in study["held_equal"]}
        expect(not held["FLOPs of a run"]["mismatch"], "FLOPs of a run agree", held)
        outcomes = {o["arm"]: o for o in json.loads((out / "races" / "seed1.json").read_text())["outcomes"]}
        numbers = {arm: outcomes[arm]["number"] for arm in arms}
        expect(numbers == {"causal": "bits_per_byte", "masked_diffusion": "bits_per_byte_bound", "prefix": "bits_per_prediction", "mlm": "bits_per_prediction", "span_corruption": "bits_per_prediction"}, "each has its honest number", numbers)
        expect(all(math.isfinite(o["bpb"][-1]) and o["bpb"][-1] < o["bpb"][0] for o in outcomes.values()), "and learns by it")
        probes = {arm: outcomes[arm]["probe"] for arm in arms}
        expect(all(0 <= p["fill_in"] <= 1 and p["asked"] > 100 and 0 < p["rank"] <= 1 for p in probes.values()), "every model was asked", probes)
        expect(probes["causal"]["supervised"] == 1 and abs(probes["masked_diffusion"]["supervised"] - 0.5) < 0.05 and abs(probes["mlm"]["supervised"] - 0.15) < 0.02, "labels of a text, counted", probes)
        expect(probes["causal"]["fill_in"] > 0.05, "a causal model goes on better than chance", probes["causal"])
        expect([plot["id"] for plot in study["plots"]] == ["repeat8", "repeat32"] and all(len(plot["series"]) == 2 for plot in study["plots"]), "repeated text has its charts")
        again = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
        expect(json.loads(again.stdout)["tables"] == study["tables"], "the same command finds everything done", again.stderr[-300:])
        page = (out / "report.html").read_text()
        expect(len(page) < 3e6 and all(f'class="{name}' in page for name in ("standings", "plots", "prices", "tables")), "the report has its sections")
    report()


if __name__ == "__main__":
    main()
