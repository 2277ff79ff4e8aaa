"""Models that Hugging Face transformers does not have, in plain PyTorch after their papers, one token at a time: for make_family_fixtures.py."""
import json
import pathlib
import sys
from types import SimpleNamespace

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F


def in_float64(architecture):
    """The class of transformers with its islands of float32 (norms, softmax, rotary tables, recurrences) in float64: the reference must be better than what it judges."""
    module = sys.modules[getattr(transformers, architecture).__module__]
    text = pathlib.Path(module.__file__).read_text().replace("torch.float32", "torch.float64").replace(".float()", ".double()")
    exec(compile(text, module.__file__, "exec"), module.__dict__)
    if architecture.startswith("NllbMoe"):
        module.NllbMoeExperts.forward = nllb_experts
    return module.__dict__[architecture]


def nllb_experts(self, x, _, gates):
    """Every expert on the tokens that weigh it, as fairseq does; transformers 5 lets two of them run."""
    y = sum(gates[:, e:e + 1] * self[f"expert_{e}"](x) for e in range(self.num_experts))
    return y * (1 - self.moe_token_dropout)


class Diffusion(nn.Module):
    """A causal model of transformers without its mask, and the loss of masked diffusion [Nie et al. 2025]: Σ over hidden of CE/p, p = (1 − 1e-3)·t + 1e-3, by rows and positions."""

    inner, shift, names = "", False, ()

    def __init__(self, config):
        super().__init__()
        self.config = SimpleNamespace(**config)
        self.model = in_float64(self.inner + "ForCausalLM")(getattr(transformers, self.inner + "Config")(**self.inner_config(config)))

    @staticmethod
    def inner_config(config):
        return {key: value for key, value in config.items() if key not in ("model_type", "architectures", "mask_token_id")}

    def renamed(self, name):
        for old, new in self.names:
            name = name.replace(old, new)
        return name

    def named_parameters(self, *args, **kwargs):
        return ((self.renamed(name.removeprefix("model.")), weight) for name, weight in super().named_parameters(*args, **kwargs))

    def forward(self, input_ids, labels=None, t=None):
        b, n = input_ids.shape
        logits = self.model(input_ids=input_ids, attention_mask=torch.zeros(b, 1, n, n, dtype=self.model.dtype), use_cache=False).logits
        if labels is None:
            return SimpleNamespace(logits=logits)
        says = torch.cat([logits[:, :1], logits[:, :-1]], 1) if self.shift else logits
        p = (1 - 1e-3) * torch.tensor(t, dtype=torch.float32).to(logits.dtype) + 1e-3
        losses = F.cross_entropy(says.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none").view(b, n)
        return SimpleNamespace(logits=logits, loss=(losses / p[:, None]).sum() / (b * n))

    def save_pretrained(self, folder):
        (folder / "config.json").write_text(json.dumps(vars(self.config), indent=2) + "\n")
        save_file({name: weight.detach().contiguous() for name, weight in self.named_parameters()}, folder / "model.safetensors", {"format": "pt"})


class Llada(Diffusion):
    inner = "Llama"
    names = (("model.embed_tokens", "model.transformer.wte"), ("model.layers.", "model.transformer.blocks."), ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ff_norm"), ("self_attn.o_proj", "attn_out"),
             ("self_attn.", ""), ("mlp.gate_proj", "ff_proj"), ("mlp.up_proj", "up_proj"), ("mlp.down_proj", "ff_out"), ("model.norm", "model.transformer.ln_f"), ("lm_head", "model.transformer.ff_out"))

    @staticmethod
    def inner_config(config):
        theirs = dict(d_model="hidden_size", n_layers="num_hidden_layers", n_heads="num_attention_heads", n_kv_heads="num_key_value_heads", mlp_hidden_size="intermediate_size", vocab_size="vocab_size",
                      max_sequence_length="max_position_embeddings", rms_norm_eps="rms_norm_eps", rope_theta="rope_theta", weight_tying="tie_word_embeddings")
        return {theirs[key]: value for key, value in config.items() if key in theirs}


class Dream(Diffusion):
    inner, shift = "Qwen2", True


class Plain(nn.Module):
    """What transformers' models do beside computing."""

    def save_pretrained(self, folder):
        config = {"model_type": self.model_type, "architectures": [self.architecture], "torch_dtype": "float32", **vars(self.config)}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file({key: value.detach().contiguous() for key, value in self.state_dict().items()}, folder / "model.safetensors", {"format": "pt"})

    @staticmethod
    def _loss(logits, labels):
        return None if labels is None else F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


class RnnLm(Plain):
    """A stack of torch.nn's recurrent layers between embedding and head; the format is our own."""
    model_type, architecture = "rnn_lm", "RnnForCausalLM"

    def __init__(self, config):
        super().__init__()
        c = self.config = SimpleNamespace(**config)
        tied = getattr(c, "tie_word_embeddings", False)
        narrow = getattr(c, "embedding_size", c.hidden_size)
        self.embed = nn.Embedding(c.vocab_size, narrow)
        self.rnn = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[c.cell](narrow, c.hidden_size, c.num_hidden_layers, bias=c.bias, batch_first=True)
        self.head = nn.Linear(c.hidden_size, c.vocab_size)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, input_ids, attention_mask=None, labels=None, use_cache=False):
        logits = self.head(self.rnn(self.embed(input_ids))[0])
        return SimpleNamespace(logits=logits, loss=self._loss(logits, labels))

    def state_dict(self):
        return {key: value for key, value in super().state_dict().items() if key != "head.weight" or value.data_ptr() != self.embed.weight.data_ptr()}


def turned(x, theta):
    """Rotary positions of [B, T, H, K], halves of a head turning together."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[1], dtype=x.dtype)[:, None, None] * theta ** (-torch.arange(half, dtype=x.dtype) / half)
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


class Grok1(Plain):
    """Grok-1 after xai-org/grok-1, model.py; names and keys as in the port by hpcai-tech."""

    model_type, architecture = "grok-1", "Grok1ModelForCausalLM"

    class Norm(nn.Module):
        def __init__(self, d, eps):
            super().__init__()
            self.scale, self.eps = nn.Parameter(torch.ones(d)), eps

        def forward(self, x):
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.scale

    def __init__(self, config):
        super().__init__()
        self.config = c = SimpleNamespace(**config)
        d, k = c.hidden_size, c.hidden_size // c.num_attention_heads
        linear = lambda m, n: nn.Linear(m, n, bias=False)
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(c.vocab_size, d)
        self.model.layers = nn.ModuleList()
        for _ in range(c.num_hidden_layers):
            layer = nn.Module()
            layer.attn = nn.ModuleDict({"q_proj": linear(d, d), "k_proj": linear(d, k * c.num_key_value_heads), "v_proj": linear(d, k * c.num_key_value_heads), "o_proj": linear(d, d)})
            expert = lambda: nn.ModuleDict({"linear": linear(d, c.intermediate_size), "linear_v": linear(d, c.intermediate_size), "linear_1": linear(c.intermediate_size, d)})
            layer.moe_block = nn.ModuleDict({"gate": linear(d, c.num_experts), "experts": nn.ModuleList(expert() for _ in range(c.num_experts))})
            for name in ("pre_attn_norm", "post_attn_norm", "pre_moe_norm", "post_moe_norm"):
                setattr(layer, name, self.Norm(d, c.rms_norm_eps))
            self.model.layers.append(layer)
        self.model.norm = self.Norm(d, c.rms_norm_eps)

    def _attention(self, a, x):
        c, (b, t, d) = self.config, x.shape
        h, g = c.num_attention_heads, c.num_key_value_heads
        q, k, v = (a[name](x).view(b, t, -1, d // h) for name in ("q_proj", "k_proj", "v_proj"))
        q, k, v = turned(q, 10000.0), turned(k, 10000.0).repeat_interleave(h // g, 2), v.repeat_interleave(h // g, 2)
        scores = torch.einsum("bihk,bjhk->bhij", q, k) * c.attn_output_multiplier
        scores = c.max_attn_value * torch.tanh(scores / c.max_attn_value)
        scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), float("-inf"))
        return a["o_proj"](torch.einsum("bhij,bjhk->bihk", scores.softmax(-1), v).reshape(b, t, d))

    def _experts(self, m, x):
        gate, chosen = m["gate"](x).softmax(-1).topk(self.config.num_experts_per_tok, -1)
        y = torch.zeros_like(x)
        for e, expert in enumerate(m["experts"]):
            weight = (gate * (chosen == e)).sum(-1, keepdim=True)
            y = y + weight * expert["linear_1"](F.gelu(expert["linear"](x), approximate="tanh") * expert["linear_v"](x))
        return y

    def forward(self, input_ids, attention_mask=None, labels=None, use_cache=False):
        c = self.config
        x = self.model.embed_tokens(input_ids) * c.embedding_multiplier_scale
        for layer in self.model.layers:
            x = x + layer.post_attn_norm(self._attention(layer.attn, layer.pre_attn_norm(x)))
            x = x + layer.post_moe_norm(self._experts(layer.moe_block, layer.pre_moe_norm(x)))
        logits = self.model.norm(x) @ self.model.embed_tokens.weight.T * c.output_multiplier_scale
        return SimpleNamespace(logits=logits, loss=self._loss(logits, labels))


class Deepseek(Plain):
    """DeepSeek V1 after the publisher's modeling_deepseek.py."""

    model_type, architecture = "deepseek", "DeepseekForCausalLM"

    class Norm(nn.Module):
        def __init__(self, d, eps):
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.ones(d)), eps

        def forward(self, x):
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight

    def __init__(self, config):
        super().__init__()
        self.config = c = SimpleNamespace(**config)
        d, k = c.hidden_size, c.hidden_size // c.num_attention_heads
        linear = lambda m, n: nn.Linear(m, n, bias=False)
        feed_forward = lambda h: nn.ModuleDict({"gate_proj": linear(d, h), "up_proj": linear(d, h), "down_proj": linear(h, d)})
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(c.vocab_size, d)
        self.model.layers = nn.ModuleList()
        for i in range(c.num_hidden_layers):
            layer = nn.Module()
            layer.self_attn = nn.ModuleDict({"q_proj": linear(d, d), "k_proj": linear(d, k * c.num_key_value_heads), "v_proj": linear(d, k * c.num_key_value_heads), "o_proj": linear(d, d)})
            layer.mlp = feed_forward(c.intermediate_size)
            if i >= c.first_k_dense_replace and i % c.moe_layer_freq == 0:
                layer.mlp = nn.ModuleDict({"gate": linear(d, c.n_routed_experts), "experts": nn.ModuleList(feed_forward(c.moe_intermediate_size) for _ in range(c.n_routed_experts)),
                                           "shared_experts": feed_forward(c.n_shared_experts * c.moe_intermediate_size)})
            layer.input_layernorm, layer.post_attention_layernorm = self.Norm(d, c.rms_norm_eps), self.Norm(d, c.rms_norm_eps)
            self.model.layers.append(layer)
        self.model.norm = self.Norm(d, c.rms_norm_eps)
        self.lm_head = linear(d, c.vocab_size)

    def _attention(self, a, x):
        c, (b, t, d) = self.config, x.shape
        h, g = c.num_attention_heads, c.num_key_value_heads
        q, k, v = (a[name](x).view(b, t, -1, d // h) for name in ("q_proj", "k_proj", "v_proj"))
        q, k, v = turned(q, c.rope_theta), turned(k, c.rope_theta).repeat_interleave(h // g, 2), v.repeat_interleave(h // g, 2)
        scores = torch.einsum("bihk,bjhk->bhij", q, k) * (d // h) ** -0.5
        scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), float("-inf"))
        return a["o_proj"](torch.einsum("bhij,bjhk->bihk", scores.softmax(-1), v).reshape(b, t, d))

    def _channel(self, m, x):
        feed_forward = lambda f: f["down_proj"](F.silu(f["gate_proj"](x)) * f["up_proj"](x))
        if "experts" not in m:
            return feed_forward(m)
        gate, chosen = m["gate"](x).softmax(-1).topk(self.config.num_experts_per_tok, -1)
        if self.config.num_experts_per_tok > 1 and self.config.norm_topk_prob:
            gate = gate / (gate.sum(-1, keepdim=True) + 1e-20)
        return feed_forward(m["shared_experts"]) + sum((gate * (chosen == e)).sum(-1, keepdim=True) * feed_forward(expert) for e, expert in enumerate(m["experts"]))

    def forward(self, input_ids, attention_mask=None, labels=None, use_cache=False):
        x = self.model.embed_tokens(input_ids)
        for layer in self.model.layers:
            x = x + self._attention(layer.self_attn, layer.input_layernorm(x))
            x = x + self._channel(layer.mlp, layer.post_attention_layernorm(x))
        logits = self.lm_head(self.model.norm(x))
        return SimpleNamespace(logits=logits, loss=self._loss(logits, labels))


def LongcatFlash(settings):
    """transformers' model with files as published: experts that give back their input have no weights."""
    config = transformers.LongcatFlashConfig(**settings)
    base = in_float64("LongcatFlashForCausalLM")

    class Published(base):
        def save_pretrained(self, folder, **more):
            base.save_pretrained(self, folder, **more)
            path = pathlib.Path(folder) / "model.safetensors"
            save_file({key: value for key, value in load_file(path).items() if ".experts." not in key or int(key.split(".experts.")[1].split(".")[0]) < config.n_routed_experts}, path, {"format": "pt"})

    Published.__name__ = base.__name__
    return Published(config)


def DeepseekV3Mtp(settings):
    """DeepSeek V3 with the module behind its last layer that predicts a token further, as files hold it; the loss is its training's, λ = 0.3."""
    config = transformers.DeepseekV3Config(**settings)
    config._experts_implementation = "eager"
    base = in_float64("DeepseekV3ForCausalLM")

    class Mtp(base):
        def __init__(self, config):
            config.num_hidden_layers += 1
            super().__init__(config)
            config.num_hidden_layers -= 1
            module, norm = self.model.layers[-1], type(self.model.norm)
            module.enorm, module.hnorm = norm(config.hidden_size, config.rms_norm_eps), norm(config.hidden_size, config.rms_norm_eps)
            module.eh_proj = nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
            module.shared_head = nn.ModuleDict({"norm": norm(config.hidden_size, config.rms_norm_eps)})

        def forward(self, input_ids, attention_mask=None, labels=None, use_cache=False):
            b, t = input_ids.shape
            hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
            module = self.model.layers[-1]
            known = self.model.embed_tokens(F.pad(input_ids[:, 1:], (0, 1)))
            x = module.eh_proj(torch.cat([module.enorm(known), module.hnorm(hidden)], -1))
            mask = torch.full((t, t), torch.finfo(x.dtype).min, dtype=x.dtype).triu(1).expand(b, 1, t, t)
            x = module(x, attention_mask=mask, position_embeddings=self.model.rotary_emb(x, torch.arange(t)[None]), position_ids=torch.arange(t)[None])
            logits, further = self.lm_head(hidden), self.lm_head(module.shared_head["norm"](x))
            loss = 0
            for weight, out, ahead in ((1, logits, 1), (0.3, further, 2)):
                loss = loss + weight * F.cross_entropy(out[:, :-ahead].flatten(0, 1), labels[:, ahead:].flatten(), ignore_index=-100, reduction="sum")
            return SimpleNamespace(logits=logits, **{"further_logits.1": further}, loss=loss / (labels[:, 1:] >= 0).sum())

    Mtp.__name__ = base.__name__
    return Mtp(config)


class MiniCpm(Plain):
    """MiniCPM with experts in every layer after openbmb's modeling code: factors on embedding, branches and logits."""

    model_type, architecture = "minicpm", "MiniCPMForCausalLM"

    def __init__(self, config):
        super().__init__()
        self.config = c = SimpleNamespace(**config)
        d, k = c.hidden_size, c.hidden_size // c.num_attention_heads
        linear = lambda m, n: nn.Linear(m, n, bias=False)
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(c.vocab_size, d)
        self.model.layers = nn.ModuleList()
        for _ in range(c.num_hidden_layers):
            layer = nn.Module()
            layer.self_attn = nn.ModuleDict({"q_proj": linear(d, d), "k_proj": linear(d, k * c.num_key_value_heads), "v_proj": linear(d, k * c.num_key_value_heads), "o_proj": linear(d, d)})
            expert = lambda: nn.ModuleDict({"w1": linear(d, c.intermediate_size), "w3": linear(d, c.intermediate_size), "w2": linear(c.intermediate_size, d)})
            layer.mlp = nn.ModuleDict({"gate": linear(d, c.num_experts), "experts": nn.ModuleList(expert() for _ in range(c.num_experts))})
            layer.input_layernorm, layer.post_attention_layernorm = nn.RMSNorm(d, c.rms_norm_eps), nn.RMSNorm(d, c.rms_norm_eps)
            self.model.layers.append(layer)
        self.model.norm = nn.RMSNorm(d, c.rms_norm_eps)

    def _attention(self, a, x):
        c, (b, t, d) = self.config, x.shape
        h, g = c.num_attention_heads, c.num_key_value_heads
        q, k, v = (a[name](x).view(b, t, -1, d // h) for name in ("q_proj", "k_proj", "v_proj"))
        q, k, v = turned(q, 10000.0), turned(k, 10000.0).repeat_interleave(h // g, 2), v.repeat_interleave(h // g, 2)
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        return a["o_proj"](out.transpose(1, 2).reshape(b, t, d))

    def _experts(self, m, x):
        gate, chosen = m["gate"](x).softmax(-1).topk(self.config.num_experts_per_tok, -1)
        gate = gate / gate.sum(-1, keepdim=True)
        return sum((gate * (chosen == e)).sum(-1, keepdim=True) * expert["w2"](F.silu(expert["w1"](x)) * expert["w3"](x)) for e, expert in enumerate(m["experts"]))

    def forward(self, input_ids, attention_mask=None, labels=None, use_cache=False):
        c = self.config
        x, branch = self.model.embed_tokens(input_ids) * c.scale_emb, c.scale_depth / c.num_hidden_layers ** 0.5
        for layer in self.model.layers:
            x = x + branch * self._attention(layer.self_attn, layer.input_layernorm(x))
            x = x + branch * self._experts(layer.mlp, layer.post_attention_layernorm(x))
        logits = self.model.norm(x) / (c.hidden_size / c.dim_model_base) @ self.model.embed_tokens.weight.T
        return SimpleNamespace(logits=logits, loss=self._loss(logits, labels))
