#!/usr/bin/env python3
"""Every aim of docs/performance.md beside what this machine reaches, in one table.

    aims.py GAMUT CONFIGS [threads=2] [seconds=5] [rounds=3] [only=gemm,experts,…] [python=PYTHON] [onednn=PROGRAM]

CONFIGS is a folder with Hugging Face configs named as in SHAPES below; shapes without a file are left out. The machine should be quiet:
times are those on the wall. With python=, an interpreter with torch and transformers, training steps are compared with PyTorch
(peers/compare.py), and with onednn=, peers/onednn_matmul, products are compared with oneDNN; contenders take turns, `rounds` times.
"""
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# name: tokens of a step, length of a row, aim on AVX-512 BF16 and on AMX (share of the arithmetic peak)
SHAPES = {"gpt2-124m": (2048, 1024, 0.72, 0.35), "lab-full": (8192, 256, 0.65, 0.20), "lab-full-moe": (8192, 256, 0.55, 0.15),
          "lab-quick": (8192, 256, 0.50, None), "lab-quick-moe": (8192, 256, 0.40, None), "olmoe-small": (8192, 512, 0.45, None)}
BUSY = "while True: pass"


class Aims:
    def __init__(self, gamut, configs, settings):
        self.gamut, self.configs, self.settings = gamut, configs, settings
        self.amx = False

    def bench(self, *arguments, threads=None):
        command = [self.gamut, "bench", *map(str, arguments), "--threads", str(threads or self.settings["threads"]), "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        if not done.stdout.strip():
            sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
        result = json.loads(done.stdout.strip().splitlines()[-1])
        self.amx = result.get("tier") == "amx"
        return result

    def row(self, what, value, aim, note="", unit="%"):
        shown = lambda x: "–" if x is None else f"{100 * x:.0f} %" if unit == "%" else f"{x:.2f}×"
        verdict = "" if value is None or aim is None else "met" if value >= aim else "missed"
        print(f"| {what} | {shown(value)} | {shown(aim)} | {verdict} | {note} |", flush=True)

    def gemm(self):
        cases = [c for c in self.bench("gemm", "dtype=bf16")["cases"] if c["agrees"]]
        sizes = lambda c: [int(x) for x in c["case"].split()[-1].split("x")]
        for name, chosen, aim in (("products, M, N, K ≥ 512", [c for c in cases if min(sizes(c)) >= 512], 0.60 if self.amx else 0.93),
                                  ("products, N, K 128 to 704, M 8192", [c for c in cases if sizes(c)[0] == 8192 and max(sizes(c)[1:]) <= 704], 0.30 if self.amx else 0.85)):
            for part in ("forward", "input", "weight"):
                shares = {c["case"].split()[-1]: c["share"] for c in chosen if c["part"] == part}
                worst = min(shares, key=shares.get)
                self.row(f"{name}: {part}", statistics.median(shares.values()), aim, f"median of shapes; least {100 * shares[worst]:.0f} % at {worst}")

    def experts(self):
        cases = [c for c in self.bench("experts")["cases"] if c["agrees"]]
        for part in ("forward", "input", "weight"):
            dense = next(c for c in cases if c["case"].startswith("gemm") and c["part"] == part)
            grouped = next(c for c in cases if " experts " in c["case"] and c["part"] == part)
            self.row(f"64 experts, {part}, of the dense product", grouped["gflops"] / dense["gflops"], 0.9, f"{grouped['gflops']:.0f} of {dense['gflops']:.0f} GFLOP/s")
        layer = [c for c in cases if c["case"].startswith("moe/top8_of_64") and c["dtype"] == "bf16"]
        self.row("whole layer of 64 experts, top 8", statistics.mean(c["share"] for c in layer), None, ", ".join(f"{c['part']} {100 * c['share']:.0f} %" for c in layer))

    def attention(self):
        for c in self.bench("attention")["cases"]:
            if c["agrees"] and c["dtype"] == "bf16" and ("T1024" in c["case"] or "T4096" in c["case"]):
                forward = c["part"] == "forward"
                self.row(f"{c['case'].removeprefix('attention/')} {c['part']}", c["share"], (0.25 if forward else 0.20) if self.amx else 0.60 if forward else 0.50)

    def bandwidth(self):
        for what in ("optimizer", "norm"):
            for c in self.bench(what)["cases"]:
                if c["agrees"] and c["dtype"] == "f32" or what == "norm":
                    self.row(f"{c['case']} {c['part']}, of reading and writing", c["share"], 0.75)
        for c in self.bench("loss")["cases"]:
            self.row(f"{c['case']} {c['part']}", c["share"], None)

    def step(self, name, *more, threads=None):
        tokens, seq, *_ = SHAPES[name]
        path = os.path.join(self.configs, name + ".json")
        if not os.path.exists(path):
            return None
        return self.bench("train", path, f"tokens={tokens}", f"seq={seq}", f"seconds={self.settings['seconds']}", *more, threads=threads)

    def train(self):
        for name, (_, _, aim, amx_aim) in SHAPES.items():
            result = self.step(name)
            if result:
                self.row(f"training {name}", result["share"], amx_aim if self.amx else aim,
                         f"{result['tokens_per_s']:,.0f} tokens/s; {100 * result['share_of_cpu_time']:.0f} % of processor time; half of the steps within {100 * result['step_seconds']['spread']:.0f} %")

    def f32(self):
        for name in ("gpt2-124m", "lab-full"):
            result = self.step(name, "dtype=f32")
            if result:
                self.row(f"training {name}, f32", result["share"], 0.75, f"{result['tokens_per_s']:,.0f} tokens/s")

    def threads(self):
        most = int(self.settings["threads"])
        if most < 2 or not (alone := self.step("lab-quick")):
            return
        one = self.step("lab-quick", threads=1)
        self.row(f"{most} threads to one, lab-quick", alone["tokens_per_s"] / one["tokens_per_s"], 0.95 * most, unit="×")
        busy = subprocess.Popen([sys.executable, "-c", BUSY])
        time.sleep(0.5)
        try:
            beside = self.step("lab-quick")
        finally:
            busy.kill()
            busy.wait()
        self.row(f"{most} threads beside a busy process, of undisturbed", beside["tokens_per_s"] / alone["tokens_per_s"], 0.45, unit="×")

    def peers(self):
        if program := self.settings["onednn"]:
            for dtype in ("bf16", "f32"):
                ours, theirs = {}, {}
                for _ in range(int(self.settings["rounds"])):
                    for c in self.bench("gemm", f"dtype={dtype}")["cases"]:
                        if c["agrees"] and c["part"] == "forward":
                            ours.setdefault(c["case"].split()[-1], []).append(c["gflops"])
                    done = subprocess.run([program, dtype, *ours], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": str(self.settings["threads"])}, check=True)
                    for shape, rate in json.loads(done.stdout).items():
                        theirs.setdefault(shape, []).append(rate)
                for shape in ours:
                    a, b = statistics.median(ours[shape]), statistics.median(theirs[shape])
                    self.row(f"{dtype} {shape} to oneDNN with packed weights", a / b, 1.0 if dtype == "bf16" else None, f"{a:.0f}, {b:.0f} GFLOP/s", unit="×")
        if python := self.settings["python"]:
            shapes = [f"{os.path.join(self.configs, name + '.json')}:{tokens}:{seq}" for name, (tokens, seq, *_) in SHAPES.items() if os.path.exists(os.path.join(self.configs, name + ".json"))]
            print(flush=True)
            subprocess.run([sys.executable, os.path.join(HERE, "peers", "compare.py"), self.gamut, python, f"rounds={self.settings['rounds']}", f"threads={self.settings['threads']}",
                            f"seconds={self.settings['seconds']}", *shapes], check=False)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    parts = ("gemm", "experts", "attention", "bandwidth", "train", "f32", "threads", "peers")
    settings = {"threads": "2", "seconds": "5", "rounds": "3", "only": ",".join(parts), "python": "", "onednn": ""}
    for argument in sys.argv[3:]:
        key, equals, value = argument.partition("=")
        if not equals or key not in settings:
            sys.exit(f"aims.py: unknown setting '{argument}', expected one of {', '.join(settings)}")
        settings[key] = value
    chosen = settings["only"].split(",")
    if unknown := [p for p in chosen if p not in parts]:
        sys.exit(f"aims.py: unknown part '{unknown[0]}', expected some of {', '.join(parts)}")
    aims = Aims(sys.argv[1], sys.argv[2], settings)
    peak = aims.bench("peak")
    best = peak["tiers"][-1]
    print(f"{peak['processor']}, tier {peak['tier']}, {peak['threads']} threads: f32 {best['f32'] * 1e-9:.0f}, bf16 {best['bf16'] * 1e-9:.0f} GFLOP/s, int8 {best['int8'] * 1e-9:.0f} GOP/s, "
          f"reading {peak['read'] * 1e-9:.1f}, reading and writing {peak['update'] * 1e-9:.1f} GB/s; load {os.getloadavg()[0]:.1f}\n")
    print("| what | reached | aim | | |\n|---|---|---|---|---|")
    for part in chosen:
        getattr(aims, part)()


if __name__ == "__main__":
    main()
