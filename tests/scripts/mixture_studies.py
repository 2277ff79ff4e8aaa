#!/usr/bin/env python3
"""The smoke tiers of the lab's experiments on mixtures of experts, on one's own texts: every arm runs, what must be equal is, and reports have their parts.

usage: mixture_studies.py GAMUT
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


class Lab:
    def __init__(self, gamut, work):
        self.gamut, self.work = gamut, work
        write_texts(work / "texts", random.Random(1))

    def command(self, name):
        return [self.gamut, "lab", name, "tier=smoke", "minutes=0.5", "data.vocab_size=384", f"data.path={self.work / 'texts'}", f"data.cache={self.work / 'cache'}", f"out={self.work / name}", "--json"]

    def run(self, name, arms):
        done = subprocess.run(self.command(name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=900)
        expect(done.returncode == 0, f"{name} runs", done.stderr[-500:])
        study = json.loads(done.stdout)
        expect(len(study["arms"]) == arms and not study["failed"], f"{name}: every arm ran", study["failed"])
        expect(all(arm["curves"] and all(math.isfinite(x) for x in arm["curves"][0]["bpb"]["all"]) for arm in study["arms"] if arm["id"] != "expert_choice"), f"{name}: every arm has a curve")
        flops = next(row for row in study["held_equal"] if "FLOPs" in row["what"]["en"])
        # Experts have whole hidden units, some ten at this width.
        apart = float(flops["value"]["en"].split()[1])
        expect(apart < 4 and flops["mismatch"] == (apart > 1), f"{name}: compute agrees as far as whole units allow, and the report says when it does not", flops)
        page = (self.work / name / "report.html").read_text()
        expect(len(page) < 3e6 and all(f'class="{part}' in page for part in ("standings", "tables", "plots", "loads", "literature")), f"{name}: the report has its sections")
        expect(all(row["verdict"] in ("agrees", "differs", "unresolved") for row in study["literature"]), f"{name}: findings stand beside the literature")
        again = subprocess.run(self.command(name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
        expect(json.loads(again.stdout)["tables"] == study["tables"], f"{name}: the same command finds everything done", again.stderr[-300:])
        return study

    def outcomes(self, name, race):
        return {o["arm"]: o for o in json.loads((self.work / name / "races" / f"{race}.json").read_text())["outcomes"]}


def routers(lab):
    study = lab.run("routers", 21)
    ranked = [row["arm"] for row in study["standings"]]
    expect(len(ranked) == 20 and "expert_choice" not in ranked, "who sees later tokens has no rank", ranked)
    runs = lab.outcomes("routers", "seed1")
    worst = {arm: max(layer["max_violation"] for layer in run["probe"]["layers"]) for arm, run in runs.items() if run["probe"]["layers"]}
    expect(worst["loss_free"] < worst["none"], "a bias balances", worst)
    expect(worst["dense_gating"] == 0, "who takes all experts is balanced", worst)
    shown = [load["arm"] for load in study["loads"]]
    expect({"none", "loss", "loss_free", "switch"} == set(shown), "heatmaps of four routers", shown)


def granularity(lab):
    study = lab.run("granularity", 8)
    totals = {arm["id"]: arm["params_total"] for arm in study["arms"]}
    expect(totals["e4"] < totals["e8"] < totals["e16"] < totals["e32"] and abs(totals["g4"] / totals["e8"] - 1) < 0.15, "sizes are what their names say", totals)
    expect([table["id"] for table in study["tables"]] == ["factors", "routing"] and len(study["tables"][0]["rows"]) == 7, "seven questions, one factor each")


def upcycling(lab):
    study = lab.run("upcycling", 6)
    starts = {row["arm"]: row["cells"] for row in study["tables"][0]["rows"]}
    expect(float(starts["copy"][0]) < 1e-4 and float(starts["fine"][0]) < 1e-4, "copies begin as their parent", starts)
    expect(float(starts["drop"][0]) > 1e-2, "new units do not", starts)
    runs = lab.outcomes("upcycling", "seed1")
    expect(runs["copy"]["bpb"][0] < runs["scratch"]["bpb"][0] - 0.3, "and begin where it ended", [runs[a]["bpb"][0] for a in ("copy", "scratch")])
    alike = {arm: runs[arm]["watched"][0]["cosine"] for arm in ("copy", "drop", "scratch")}
    expect(alike["copy"] > 0.8 > alike["drop"] > 0.1 > abs(alike["scratch"]), "copies are alike at first", alike)
    flops = {arm: run["flops"][-1] for arm, run in runs.items()}
    expect(abs(flops["scratch_total"] / flops["scratch"] - 2) < 0.05 and abs(flops["copy"] / flops["continue"] - 1) < 0.03, "compute is as promised", flops)


def routing_health(lab):
    study = lab.run("routing-health", 5)
    neighbours = {arm: run["probe"]["neighbours"] for arm, run in lab.outcomes("routing-health", "seed1").items()}
    expect(all(n["factor"][-1] == 0 and n["changed"][-1] == 0 and n["distance"][-1] == 0 and n["alone"][-1] == 0 for n in neighbours.values()), "without drops a text does not feel its neighbours, bit for bit", neighbours)
    expect(all(n["distance"][0] > 0 for arm, n in neighbours.items() if arm != "none"), "at capacity 1 it does where balance is kept: a collapsed router may drop the last text whatever stands before it", neighbours)
    kept = lab.outcomes("routing-health", "seed1")["loss"]["probe"]["logits"]["kept"]
    expect(kept[0] > kept[-1] and kept[0] > 0.9, "rounding loses more the larger the numbers", kept)
    expect([plot["id"] for plot in study["plots"]] == ["trade-off", "max_violation", "saturation", "entropy", "logits", "precision"], "six charts")
    settled = next(plot for plot in study["plots"] if plot["id"] == "saturation")["series"]
    expect(all(s["y"][-1] == 1 and s["y"][0] < 1 for s in settled), "choices settle", settled)


def main():
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(sys.argv[1], pathlib.Path(folder))
        for experiment in (routers, granularity, upcycling, routing_health):
            experiment(lab)
    report()


if __name__ == "__main__":
    main()
