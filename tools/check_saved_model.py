#!/usr/bin/env python3
"""Open folders that Gamut saved with Hugging Face transformers and compare logits: what Gamut writes, others read.

usage: check_saved_model.py GAMUT FOLDER …       (needs torch, transformers 5, safetensors; for developers)

Prints the largest difference of logits in float32, relative to the largest logit, and exits 1 if one exceeds 1e-4.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file

failed = False
for folder in sys.argv[2:]:
    config = transformers.AutoConfig.from_pretrained(folder)
    encoder = config.is_encoder_decoder
    kind = getattr(transformers, config.architectures[0])
    experts = {"experts_implementation": "eager"} if hasattr(config, "num_experts_per_tok") else {}  # the grouped one knows no odd sizes
    model, info = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **experts)
    strange = {key: sorted(value) for key, value in info.items() if value}
    chance = torch.Generator().manual_seed(1)
    draw = lambda rows, length: torch.randint(4, model.config.vocab_size, (rows, length), generator=chance)  # no padding, which has positions of its own in some families
    inputs = {"input_ids": draw(2, 16 if encoder else min(48, getattr(config, "max_position_embeddings", getattr(config, "max_seq_len", 50)) - 2))}
    if encoder:
        inputs["decoder_input_ids"] = draw(2, 12)
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        (work / "tokens.json").write_text(json.dumps({key: value.tolist() for key, value in inputs.items()}))
        subprocess.run([sys.argv[1], "score", folder, "--tokens", work / "tokens.json", "--logits", work / "out.safetensors", "--dtype", "f32"], check=True, stdout=subprocess.DEVNULL)
        ours = load_file(work / "out.safetensors")["logits"]
    with torch.no_grad():
        theirs = model(**inputs).logits
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    failed |= error > 1e-4 or bool(strange)
    print(f"{folder}: {model.config.model_type}, logits within {error:.1e}" + (f", transformers says {strange}" if strange else ""))
sys.exit(failed)
