#!/usr/bin/env python3
"""Training steps of Gamut and PyTorch in the same minutes, one after the other, several rounds; prints the table of ratios.

    compare.py GAMUT PYTHON rounds=3 threads=2 dtype=bf16 modes=eager,compiled CONFIG.json:TOKENS:SEQ …

PYTHON is an interpreter with torch and transformers. Every round runs each contender once, so that a busy minute meets all of them;
the table shows medians over rounds. A contender that fails is reported and left out.
"""
import json
import os
import statistics
import subprocess
import sys


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        print(f"  {' '.join(map(str, command[:3]))}: {lines[-1] if lines else 'failed'}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    gamut, python = sys.argv[1:3]
    settings = dict(rounds="3", threads="2", dtype="bf16", modes="eager,compiled", seconds="5")
    shapes = []
    for argument in sys.argv[3:]:
        key, equals, value = argument.partition("=")
        if equals and key in settings:
            settings[key] = value
        else:
            path, tokens, seq = argument.rsplit(":", 2)
            shapes.append((path, tokens, seq))
    modes, threads, seconds = settings["modes"].split(","), settings["threads"], settings["seconds"]
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train_step.py")
    print("| shape | Gamut tokens/s | share of peak | share of processor time | " + " | ".join(f"{m} tokens/s" for m in modes) + " | Gamut to the best | to the best, per processor second |")
    print("|---|---|---|---|" + "---|" * len(modes) + "---|---|")
    for path, tokens, seq in shapes:
        ours, peers = [], {m: [] for m in modes}
        common = [f"tokens={tokens}", f"seq={seq}", f"dtype={settings['dtype']}", f"seconds={seconds}"]
        for _ in range(int(settings["rounds"])):
            ours.append(run([gamut, "bench", "train", path, *common, "--threads", threads, "--json"]))
            for mode in modes:
                peers[mode].append(run([python, script, path, *common, f"mode={mode}", f"threads={threads}"]))
        ours = [r for r in ours if r]
        if not ours:
            continue
        speed = lambda results: statistics.median(r["tokens_per_s"] for r in results if r) if any(results) else 0
        work = lambda results: statistics.median(int(tokens) / r["cpu_seconds"] for r in results if r) if any(results) else 0
        best, best_work = max(speed(p) for p in peers.values()), max(work(p) for p in peers.values())
        share = statistics.median(r["share"] for r in ours)
        cpu_share = statistics.median(r["share_of_cpu_time"] for r in ours)
        cells = [os.path.basename(path).removesuffix(".json"), f"{speed(ours):,.0f}", f"{100 * share:.0f} %", f"{100 * cpu_share:.0f} %"]
        cells += [f"{speed(peers[m]):,.0f}" if any(peers[m]) else "failed" for m in modes]
        cells += [f"{speed(ours) / best:.2f}" if best else "", f"{work(ours) / best_work:.2f}" if best_work else ""]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
