#!/usr/bin/env python3
"""Make tests/families/gguf and tests/checkpoints/fixtures: GGUF files written by the `gguf` package, and what they hold.

usage: make_gguf_fixtures.py      (needs torch, transformers 5, safetensors, tokenizers, gguf; for developers)

tests/families/gguf/NAME.gguf is the model of tests/families/fixtures/NAME as llama.cpp's converter lays it out: names from the package's own
tables, rows of queries and keys interleaved for architecture llama, GPT-2's matrices turned over, experts stacked. Where transformers reads the
architecture from GGUF, what it reads is compared with the folder's weights.
packed.gguf is a Llama in every format of 32 numbers with a vocabulary and a chat template; packed.safetensors holds logits
of transformers' reading and ids of texts. blocks.gguf has two rows of random blocks in every format; blocks.safetensors what they decode to.
"""
import json
import pathlib

import gguf
import numpy as np
import tokenizers
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file, save_file
from tokenizers import decoders, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests"
OUT = ROOT / "families" / "gguf"
# Fixture: architecture, and the element type of matrices.
CASES = {"llama": ("llama", Type.F32), "llama-llama3": ("llama", Type.F16), "llama-yarn": ("llama", Type.F16), "llama-linear": ("llama", Type.F16), "mistral": ("llama", Type.F32),
         "mixtral": ("llama", Type.F32), "qwen2": ("qwen2", Type.F32), "qwen3": ("qwen3", Type.BF16), "olmoe": ("olmoe", Type.F32), "qwen3_moe": ("qwen3moe", Type.F32), "gpt2": ("gpt2", Type.F32)}
KNOWN_TO_TRANSFORMERS = ("llama-linear", "mistral", "qwen2")  # it drops the biases of llama, rotary scalings, the width of heads, sizes of gpt2


def architecture_of(name):
    return next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == name)


def interleaved(rows, heads):
    """[half][pair] of each head → [pair][half]."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def metadata(writer, config, tensors):
    rope = config.get("rope_parameters") or {}
    get = lambda *keys: next((config[key] for key in keys if config.get(key) is not None), None)  # noqa: E731
    heads, width = get("num_attention_heads", "n_head"), get("hidden_size", "n_embd")
    writer.add_block_count(get("num_hidden_layers", "n_layer"))
    writer.add_context_length(get("max_position_embeddings", "n_positions"))
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(get("intermediate_size", "n_inner"))
    writer.add_head_count(heads)
    if config["model_type"] == "gpt2":
        return writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    head = config.get("head_dim") or width // heads
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    if config["model_type"] == "mistral":
        writer.add_sliding_window(config["sliding_window"])
    if experts := get("num_experts", "num_local_experts"):
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
        if rope["rope_type"] == "yarn":
            writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope["rope_type"] == "llama3":  # as the converter computes it
        factors = []
        for i in range(head // 2):
            wave = 2 * np.pi * rope["rope_theta"] ** (2 * i / head)
            low, high = rope["original_max_position_embeddings"] / rope["low_freq_factor"], rope["original_max_position_embeddings"] / rope["high_freq_factor"]
            smooth = (rope["original_max_position_embeddings"] / wave - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
            factors.append(1 if wave < high else rope["factor"] if wave > low else 1 / ((1 - smooth) / rope["factor"] + smooth))
        tensors["rope_freqs.weight"] = np.array(factors, np.float32)


def layout(architecture, config, source):
    """Tensors under the names and in the layout of llama.cpp's converter."""
    names = gguf.get_tensor_name_map(architecture_of(architecture), config.get("num_hidden_layers", config.get("n_layer")))
    experts, out = {}, {}
    for key, value in source.items():
        parts = key.split(".")
        if "experts" in parts:
            at = parts.index("experts")
            experts.setdefault(".".join(parts[:at + 1] + parts[at + 2:]), {})[int(parts[at + 1])] = value
            continue
        if architecture == "llama" and parts[-2] in ("q_proj", "k_proj"):
            value = interleaved(value, config["num_attention_heads"] if parts[-2] == "q_proj" else config["num_key_value_heads"])
        if architecture == "gpt2" and parts[-2] in ("c_attn", "c_proj", "c_fc"):
            value = value.T
        out[names.get_name(key, try_suffixes=(".weight", ".bias"))] = value
    for key, values in experts.items():
        out[names.get_name(key, try_suffixes=(".weight",))] = np.stack([values[i] for i in range(len(values))])
    assert None not in out
    return out


def write(path, architecture, config, tensors, type_of, finish=lambda writer: None):
    writer = gguf.GGUFWriter(path, architecture)
    metadata(writer, config, tensors)
    finish(writer)
    for name, value in tensors.items():
        kind = type_of(name) if value.ndim > 1 else Type.F32
        packed = gguf.quants.quantize(np.ascontiguousarray(value, np.float32), kind)
        writer.add_tensor(name, packed, raw_dtype=None if kind in (Type.F32, Type.F16) else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def agree(path, folder, tolerance):
    """transformers' own reading of the file gives the weights of the folder."""
    read = transformers.AutoModelForCausalLM.from_pretrained
    theirs, ours = read(path.parent, gguf_file=path.name, dtype=torch.float32).state_dict(), read(folder, dtype=torch.float32).state_dict()
    assert theirs.keys() == ours.keys()
    for key, value in ours.items():
        assert (theirs[key] - value).abs().le(tolerance * value.abs() + 1e-7).all(), (path.name, key)


def families():
    for name, (architecture, kind) in CASES.items():
        folder = ROOT / "families" / "fixtures" / name
        config = json.loads((folder / "config.json").read_text())
        source = load_file(folder / "model.safetensors")
        if name == "qwen3_moe":  # the format has no dense layers between: layer 2 takes the place of layer 1
            source = {key.replace("layers.2.", "layers.1."): value for key, value in source.items() if "layers.1." not in key}
            config |= {"num_hidden_layers": 2}
        tensors = layout(architecture, config, source)
        write(OUT / f"{name}.gguf", architecture, config, tensors, lambda _: kind)
        if name in KNOWN_TO_TRANSFORMERS:
            agree(OUT / f"{name}.gguf", folder, {Type.F32: 0, Type.F16: 2**-11, Type.BF16: 2**-8}[kind])
        print(f"{name}: {(OUT / f'{name}.gguf').stat().st_size / 1024:.0f} KiB")


def packed():
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), decoders.ByteLevel()
    text = pathlib.Path(__file__).read_text()
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(vocab_size=320, special_tokens=["<|end|>", "<|start|>"], initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    about = json.loads(tokenizer.to_str())
    tokens = sorted(about["model"]["vocab"], key=about["model"]["vocab"].get)

    config = transformers.LlamaConfig(vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                                      tie_word_embeddings=True, rms_norm_eps=1e-5)
    torch.manual_seed(5)
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(1 + 0.3 * torch.randn(weight.shape) if weight.ndim == 1 else torch.randn(weight.shape) / weight.shape[-1] ** 0.5)
    source = {key: value.numpy() for key, value in model.state_dict().items() if key != "lm_head.weight"}
    types = {"attn_q": Type.Q8_0, "attn_k": Type.Q4_0, "attn_v": Type.Q5_1, "attn_output": Type.Q4_1, "ffn_gate": Type.Q5_0, "ffn_up": Type.F16, "ffn_down": Type.BF16, "token_embd": Type.Q8_0}

    def vocabulary(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(tokens)
        writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(tokens) - 2))
        writer.add_token_merges([" ".join(pair) for pair in about["model"]["merges"]])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(0)
        writer.add_add_bos_token(True)
        writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")

    path = OUT / "packed.gguf"
    write(path, "llama", config.to_dict(), layout("llama", config.to_dict(), source), lambda name: types[name.split(".")[-2]], vocabulary)
    reading = transformers.AutoModelForCausalLM.from_pretrained(OUT, gguf_file=path.name, dtype=torch.float32)
    ids = torch.arange(3, 19).reshape(1, 16)
    with torch.no_grad():
        expected = {"logits": reading(input_ids=ids).logits.numpy()}
    texts = ["Hello world", "def f(x): return x + 1", " 12345\n\n  end", "<|start|>tokens<|end|>", "Ünïcödé 自然语言"]
    expected |= {f"ids.{i}": np.array([1] + tokenizer.encode(text).ids, np.int32) for i, text in enumerate(texts)}
    save_file({key: np.ascontiguousarray(value) for key, value in expected.items()}, OUT / "packed.safetensors", {"texts": json.dumps(texts)})
    print(f"packed: {path.stat().st_size / 1024:.0f} KiB")


def blocks():
    folder = ROOT / "checkpoints" / "fixtures"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    halves = {"Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,),
              "TQ1_0": (52,), "TQ2_0": (64,), "MXFP4": (), "NVFP4": ()}
    writer, decoded = gguf.GGUFWriter(folder / "blocks.gguf", "llama"), {}
    for name, places in halves.items():
        kind = Type[name]
        size, bytes_ = gguf.GGML_QUANT_SIZES[kind]
        data = random.integers(0, 256, (4, bytes_), np.uint8)
        for at in places:  # finite scales, one of them subnormal
            scales = (random.standard_normal(4) / 8).astype(np.float16)
            scales[3] = np.float16(3e-6)
            data[:, at:at + 2] = scales[:, None].view(np.uint8)
        if name == "MXFP4":
            data[:, 0] = [127, 120, 130, 0]
        data = data.reshape(2, 2 * bytes_)
        writer.add_tensor(name, data, raw_dtype=kind)
        decoded[name] = np.ascontiguousarray(gguf.quants.dequantize(data, kind), np.float32)
        assert decoded[name].shape == (2, 2 * size) and np.isfinite(decoded[name]).all()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(decoded, folder / "blocks.safetensors")
    print(f"blocks: {len(decoded)} formats")


def seeds():
    """Small files for the fuzzer: a layer of Llama with each kind of vocabulary, and blocks of several formats."""
    folder = ROOT.parent / "fuzz" / "seeds" / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(2)
    sizes = dict(hidden_size=8, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=16, vocab_size=8, rms_norm_eps=1e-5)
    for kind, tokens, types in (("gpt2", ["<|end|>", "h", "e", "l", "o", "\u0120", "he", "hel"], [3, 1, 1, 1, 1, 1, 1, 4]), ("llama", ["<unk>", "<s>", "</s>", "<0x41>", "\u2581", "a", "b", "ab"], [2, 3, 3, 6, 1, 1, 1, 1])):
        config = transformers.LlamaConfig(**sizes, tie_word_embeddings=kind == "gpt2").to_dict()
        shapes = {"model.embed_tokens": (8, 8), "model.norm": (8,), "model.layers.0.input_layernorm": (8,), "model.layers.0.post_attention_layernorm": (8,)}
        shapes |= {f"model.layers.0.self_attn.{n}_proj": s for n, s in {"q": (8, 8), "k": (4, 8), "v": (4, 8), "o": (8, 8)}.items()}
        shapes |= {"model.layers.0.mlp.gate_proj": (32, 8), "model.layers.0.mlp.up_proj": (32, 8), "model.layers.0.mlp.down_proj": (8, 32)}
        if kind == "llama":
            shapes["lm_head"] = (8, 8)
        source = {f"{key}.weight": random.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}

        def vocabulary(writer, kind=kind, tokens=tokens, types=types):
            writer.add_tokenizer_model(kind)
            writer.add_token_list(tokens)
            writer.add_token_types(types)
            if kind == "gpt2":
                writer.add_tokenizer_pre("llama-bpe")
                writer.add_token_merges(["h e", "he l"])
                writer.add_eos_token_id(0)
            else:
                writer.add_token_scores([float(-i) for i in range(8)])
                writer.add_add_space_prefix(True)
            writer.add_chat_template("{{ messages }}")

        write(folder / f"good-{kind}.gguf", "llama", config, layout("llama", config, source), lambda name: {"down": Type.Q4_1}.get(name.split("_")[-1].split(".")[0], Type.F16), vocabulary)


if __name__ == "__main__":
    seeds()
    OUT.mkdir(parents=True, exist_ok=True)
    blocks()
    families()
    packed()
