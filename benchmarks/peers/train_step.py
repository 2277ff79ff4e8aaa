#!/usr/bin/env python3
"""Speed of one training step in PyTorch: forward, backward, clipping, fused AdamW, on random tokens.

    train_step.py CONFIG.json tokens=8192 seq=256 mode=eager|compiled dtype=bf16|f32 threads=2 seconds=5

The model is transformers' for config.json, with its fastest implementation of experts. Prints one JSON object. `compare.py` runs it in
turn with `gamut bench train`. Needs torch and transformers; no build or test of Gamut does.
"""
import json
import statistics
import sys
import time


def main():
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = dict(tokens=8192, seq=256, mode="eager", dtype="bf16", threads=2, seconds=5.0)
    for argument in sys.argv[2:]:
        key, _, value = argument.partition("=")
        if key not in settings:
            sys.exit(f"train_step.py: unknown setting '{key}', expected one of {', '.join(settings)}")
        settings[key] = type(settings[key])(value)
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(1)
    config = AutoConfig.from_pretrained(sys.argv[1])
    config.use_cache = False
    model = None
    for experts in ("grouped_mm", "batched_mm", None):  # the fastest that this model and version have
        try:
            extra = {"experts_implementation": experts} if experts and hasattr(config, "num_experts_per_tok") else {}
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, **extra)
            break
        except (TypeError, ValueError):
            continue
    model.train()
    step_model = torch.compile(model) if settings["mode"] == "compiled" else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    ids = torch.randint(0, config.vocab_size, (settings["tokens"] // settings["seq"], settings["seq"]))

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings["dtype"] == "bf16"):
            loss = step_model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    step()
    times = []
    while len(times) < 3 or sum(times) < settings["seconds"]:
        start, used = time.perf_counter(), time.process_time()
        step()
        times.append(time.perf_counter() - start)
        cpu = time.process_time() - used
    median = statistics.median(times)
    print(json.dumps({"peer": "torch " + torch.__version__, "mode": settings["mode"], "dtype": settings["dtype"], "tokens_per_s": settings["tokens"] / median,
                      "best_tokens_per_s": settings["tokens"] / min(times), "step_seconds": median, "cpu_seconds": cpu, "steps": len(times)}))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main()
