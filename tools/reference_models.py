"""Models that Hugging Face transformers does not have, in plain PyTorch after their papers, one token at a time: for make_family_fixtures.py."""
import json
import math
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


class Rwkv7(Plain):
    """RWKV-7 [Peng et al. 2025], with the tensor names of flash-linear-attention's folders."""
    model_type, architecture = "rwkv7", "RWKV7ForCausalLM"

    def __init__(self, config):
        super().__init__()
        c = self.config = SimpleNamespace(**config)
        d, h = c.hidden_size, c.hidden_size // c.head_dim

        def lora(rank, bias):
            module = nn.Module()
            module.lora = nn.ModuleDict({"0": nn.Linear(d, rank, bias=False), "2": nn.Linear(rank, d, bias=bias)})
            return module

        self.model = nn.Module()
        self.model.embeddings = nn.Embedding(c.vocab_size, d)
        self.model.layers = nn.ModuleList()
        for i in range(c.num_hidden_layers):
            layer, attn, ffn = nn.Module(), nn.Module(), nn.Module()
            if i == 0:
                layer.pre_norm = nn.LayerNorm(d, c.norm_eps)
            layer.attn_norm, layer.ffn_norm, layer.attn, layer.ffn = nn.LayerNorm(d, c.norm_eps), nn.LayerNorm(d, c.norm_eps), attn, ffn
            for name in "rwkvag":
                setattr(attn, "x_" + name, nn.Parameter(torch.zeros(1, 1, d)))
            attn.k_k, attn.k_a, attn.r_k = nn.Parameter(torch.zeros(d)), nn.Parameter(torch.zeros(d)), nn.Parameter(torch.zeros(h, c.head_dim))
            for name in "rkvo":
                setattr(attn, name + "_proj", nn.Linear(d, d, bias=False))
            attn.w_lora, attn.a_lora, attn.g_lora = lora(c.decay_low_rank_dim, True), lora(c.a_low_rank_dim, True), lora(c.gate_low_rank_dim, False)
            if i > 0:
                attn.v_lora = lora(c.v_low_rank_dim, True)
            attn.g_norm = nn.GroupNorm(h, d, c.head_dim * c.norm_eps)
            ffn.x_k, ffn.key, ffn.value = nn.Parameter(torch.zeros(d)), nn.Linear(d, c.intermediate_size, bias=False), nn.Linear(c.intermediate_size, d, bias=False)
            self.model.layers.append(layer)
        self.model.norm = nn.LayerNorm(d, c.norm_eps)
        self.lm_head = nn.Linear(d, c.vocab_size, bias=False)

    @staticmethod
    def _low_rank(module, x, between):
        return module.lora["2"](between(module.lora["0"](x)))

    def _time_mix(self, a, x, first):
        c, (b, t, d) = self.config, x.shape
        h, n = d // c.head_dim, c.head_dim
        xx = F.pad(x, (0, 0, 1, -1)) - x
        x_r, x_w, x_k, x_v, x_a, x_g = (x + xx * getattr(a, "x_" + name) for name in "rwkvag")
        r, k, v = a.r_proj(x_r), a.k_proj(x_k), a.v_proj(x_v)
        w = torch.exp(-math.exp(-0.5) * torch.sigmoid(self._low_rank(a.w_lora, x_w, torch.tanh)))
        if first is None:
            first = v
        else:
            v = v + (first - v) * torch.sigmoid(self._low_rank(a.v_lora, x_v, nn.Identity()))
        rate = torch.sigmoid(self._low_rank(a.a_lora, x_a, nn.Identity()))
        gate = self._low_rank(a.g_lora, x_g, torch.sigmoid)
        removed = (k * a.k_k).view(b, t, h, n)
        removed = removed * torch.rsqrt(removed.square().sum(-1, keepdim=True) + 1e-6)
        k = k * (1 + (rate - 1) * a.k_a)
        r, w, k, v, rate = (y.view(b, t, h, n) for y in (r, w, k, v, rate))
        state, rows = x.new_zeros(b, h, n, n), []
        for i in range(t):
            seen = torch.einsum("bhk,bhkv->bhv", -removed[:, i], state)
            state = w[:, i, :, :, None] * state + torch.einsum("bhk,bhv->bhkv", removed[:, i] * rate[:, i], seen) + torch.einsum("bhk,bhv->bhkv", k[:, i], v[:, i])
            rows.append(torch.einsum("bhk,bhkv->bhv", r[:, i], state))
        o = a.g_norm(torch.stack(rows, 1).reshape(b * t, d)).view(b, t, d)
        o = o + ((r * k * a.r_k).sum(-1, keepdim=True) * v).view(b, t, d)
        return a.o_proj(o * gate), first

    def forward(self, input_ids, attention_mask=None, labels=None, use_cache=False):
        x, first = self.model.embeddings(input_ids), None
        for i, layer in enumerate(self.model.layers):
            if i == 0:
                x = layer.pre_norm(x)
            y, first = self._time_mix(layer.attn, layer.attn_norm(x), first)
            x = x + y
            y = layer.ffn_norm(x)
            y = y + (F.pad(y, (0, 0, 1, -1)) - y) * layer.ffn.x_k
            x = x + layer.ffn.value(F.relu(layer.ffn.key(y)).square())
        logits = self.lm_head(self.model.norm(x))
        return SimpleNamespace(logits=logits, loss=self._loss(logits, labels))


class Rwkv4(Plain):
    """RWKV-4 [Peng et al. 2023], with the tensor names of transformers' folders, whose own class cannot run backwards on CPUs."""

    model_type, architecture = "rwkv", "RwkvForCausalLM"
    root, time, channel, first_norm, embedding = "rwkv", "attention", "feed_forward", "pre_ln", "embeddings"
    mixes, channel_mixes, prefix = ("key", "value", "receptance"), ("key", "receptance"), "time_mix_"

    def __init__(self, config):
        super().__init__()
        c = self.config = SimpleNamespace(**config)
        d, a = c.hidden_size, c.attention_hidden_size
        root = self
        if self.root:
            root = nn.Module()
            setattr(self, self.root, root)
        setattr(root, self.embedding, nn.Embedding(c.vocab_size, d))
        root.blocks, root.ln_out = nn.ModuleList(), nn.LayerNorm(d, c.layer_norm_epsilon)
        for i in range(c.num_hidden_layers):
            block, time, channel = nn.Module(), nn.Module(), nn.Module()
            for name in ("ln1", "ln2") + ((self.first_norm,) if i == 0 else ()):
                setattr(block, name, nn.LayerNorm(d, c.layer_norm_epsilon))
            for module, names in (time, self.mixes), (channel, self.channel_mixes):
                for name in names:
                    setattr(module, self.prefix + name, nn.Parameter(torch.zeros(1, 1, d)))
            for name, wide, narrow in ("key", a, d), ("value", a, d), ("receptance", a, d), ("output", d, a):
                setattr(time, name, nn.Linear(narrow, wide, bias=False))
            for name, wide, narrow in ("key", c.intermediate_size, d), ("receptance", d, d), ("value", d, c.intermediate_size):
                setattr(channel, name, nn.Linear(narrow, wide, bias=False))
            self._more(time, c)
            setattr(block, self.time, time)
            setattr(block, self.channel, channel)
            root.blocks.append(block)
        self.head = nn.Linear(d, c.vocab_size, bias=False)

    def _more(self, time, c):
        time.time_decay, time.time_first = nn.Parameter(torch.zeros(c.attention_hidden_size)), nn.Parameter(torch.zeros(c.attention_hidden_size))

    def _mixed(self, module, x, name):
        share, before = getattr(module, self.prefix + name), F.pad(x, (0, 0, 1, -1))
        return x * share + before * (1 - share)

    def _time_mix(self, m, x):
        k, v, r = (getattr(m, name)(self._mixed(m, x, name)) for name in self.mixes)
        rows = []
        for i in range(x.shape[1]):
            age = torch.arange(i - 1, -2, -1, dtype=x.dtype)[:, None]  # of the current token −1
            weight = torch.where(age < 0, m.time_first, -age * m.time_decay.exp()) + k[:, :i + 1]
            rows.append((weight.softmax(1) * v[:, :i + 1]).sum(1))
        return m.output(torch.sigmoid(r) * torch.stack(rows, 1))

    def forward(self, input_ids, attention_mask=None, labels=None, use_cache=False):
        root = getattr(self, self.root) if self.root else self
        x = getattr(root, self.embedding)(input_ids)
        for i, block in enumerate(root.blocks):
            if i == 0:
                x = getattr(block, self.first_norm)(x)
            x = x + self._time_mix(getattr(block, self.time), block.ln1(x))
            y, m = block.ln2(x), getattr(block, self.channel)
            key, receptance = (self._mixed(m, y, name) for name in self.channel_mixes)
            x = x + torch.sigmoid(m.receptance(receptance)) * m.value(F.relu(m.key(key)).square())
        logits = self.head(root.ln_out(x))
        return SimpleNamespace(logits=logits, loss=self._loss(logits, labels))


class Rwkv5(Rwkv4):
    """RWKV-5 [Peng et al. 2024], with the tensor names of BlinkDL's files."""

    model_type, architecture = "rwkv5", "RWKV5"
    root, time, channel, first_norm, embedding = "", "att", "ffn", "ln0", "emb"
    mixes, channel_mixes = "kvrg", "kr"

    def _more(self, time, c):
        a, heads = c.attention_hidden_size, c.attention_hidden_size // c.head_size
        time.gate, time.ln_x = nn.Linear(c.hidden_size, a, bias=False), nn.GroupNorm(heads, a, 1e-5)
        time.time_faaaa = nn.Parameter(torch.zeros(heads, c.head_size))
        self._decays(time, c)

    def _decays(self, time, c):
        time.time_decay = nn.Parameter(torch.zeros(c.attention_hidden_size // c.head_size, c.head_size))

    def _inputs(self, m, x):  # of k, v, r, g, and the logarithm of the decays' rates
        return [self._mixed(m, x, c) for c in self.mixes], m.time_decay.view(1, 1, -1).expand(*x.shape[:2], -1)

    def _time_mix(self, m, x):
        (b, t, _), n = x.shape, self.config.head_size
        (k, v, r, g), rate = self._inputs(m, x)
        k, v, r, w = (y.view(b, t, -1, n) for y in (m.key(k), m.value(v), m.receptance(r), torch.exp(-rate.exp())))
        state, rows = x.new_zeros(b, k.shape[2], n, n), []
        for i in range(t):
            new = torch.einsum("bhk,bhv->bhkv", k[:, i], v[:, i])
            rows.append(torch.einsum("bhk,bhkv->bhv", r[:, i], state + m.time_faaaa[:, :, None] * new))
            state = w[:, i, :, :, None] * state + new
        o = torch.stack(rows, 1).reshape(b * t, -1) / self.config.head_size_divisor
        return m.output(m.ln_x(o).view(b, t, -1) * F.silu(m.gate(g)))


class Rwkv6(Rwkv5):
    model_type, architecture = "rwkv6", "RWKV6"
    mixes, prefix, ranks = "xwkvrg", "time_maa_", (3, 5)

    def _decays(self, time, c):
        d, a, (mix, decay) = c.hidden_size, c.attention_hidden_size, self.ranks
        time.time_decay = nn.Parameter(torch.zeros(1, 1, a))
        time.time_maa_w1, time.time_maa_w2 = nn.Parameter(torch.zeros(d, 5 * mix)), nn.Parameter(torch.zeros(5, mix, d))
        time.time_decay_w1, time.time_decay_w2 = nn.Parameter(torch.zeros(d, decay)), nn.Parameter(torch.zeros(decay, a))

    def _mixed(self, module, x, name, more=0):
        return x + (F.pad(x, (0, 0, 1, -1)) - x) * (getattr(module, self.prefix + name) + more)

    def _inputs(self, m, x):
        low = torch.tanh(self._mixed(m, x, "x") @ m.time_maa_w1).unflatten(-1, (5, -1))
        w, *rest = (self._mixed(m, x, c, low[..., i, :] @ m.time_maa_w2[i]) for i, c in enumerate("wkvrg"))
        return rest, m.time_decay + torch.tanh(w @ m.time_decay_w1) @ m.time_decay_w2


def turned(x, theta):
    """Rotary positions of [B, T, H, K], halves of a head turning together."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[1], dtype=x.dtype)[:, None, None] * theta ** (-torch.arange(half, dtype=x.dtype) / half)
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


class Fla(Plain):
    """Layers of a recurrence and a gated feed-forward layer, with the tensor names of flash-linear-attention's folders."""

    def __init__(self, config):
        super().__init__()
        c = self.config = SimpleNamespace(**config)
        d = c.hidden_size
        self.model = nn.Module()
        self.model.embeddings, self.model.layers, self.model.norm = nn.Embedding(c.vocab_size, d), nn.ModuleList(), nn.RMSNorm(d, c.norm_eps)
        for _ in range(c.num_hidden_layers):
            layer, attn, mlp = nn.Module(), nn.Module(), nn.Module()
            layer.attn_norm, layer.mlp_norm, layer.attn, layer.mlp = nn.RMSNorm(d, c.norm_eps), nn.RMSNorm(d, c.norm_eps), attn, mlp
            self._build(attn, c, d)
            for name, wide, narrow in ("gate", c.intermediate_size, d), ("up", c.intermediate_size, d), ("down", d, c.intermediate_size):
                setattr(mlp, name + "_proj", nn.Linear(narrow, wide, bias=False))
            self.model.layers.append(layer)
        self.lm_head = nn.Linear(d, c.vocab_size, bias=False)

    @staticmethod
    def _project(attn, d, **widths):
        for name, width in widths.items():
            setattr(attn, name + "_proj", nn.Linear(d, width, bias=False))

    @staticmethod
    def _convolve(attn, taps, **widths):
        for name, width in widths.items():
            setattr(attn, name + "_conv1d", nn.Conv1d(width, width, taps, groups=width, padding=taps - 1, bias=False))

    @staticmethod
    def _inputs(a, x, heads):
        """q, k, v [B, T, H, _], after their convolutions and SiLU where there are some; of all: SiLU of what has none."""
        b, t, _ = x.shape
        ys = [getattr(a, name + "_proj")(x) for name in "qkv"]
        if hasattr(a, "q_conv1d"):
            ys = [getattr(a, name + "_conv1d")(y.mT)[..., :t].mT for name, y in zip("qkv", ys)]
        return [F.silu(y).view(b, t, -1, y.shape[-1] // h) for y, h in zip(ys, heads)]

    @staticmethod
    def _recur(q, k, v, decay, beta=None):
        """S <- decay * S + k^T d, o = q S / sqrt(K): d = v, or with beta the delta rule's beta (v - k S). decay [B, T, H, K or 1]."""
        b, t, h, n = k.shape
        state, rows = v.new_zeros(b, h, n, v.shape[-1]), []
        for i in range(t):
            state = decay[:, i, :, :, None] * state
            new = v[:, i]
            if beta is not None:
                new = beta[:, i, :, None] * (new - torch.einsum("bhk,bhkv->bhv", k[:, i], state))
            state = state + torch.einsum("bhk,bhv->bhkv", k[:, i], new)
            rows.append(torch.einsum("bhk,bhkv->bhv", q[:, i], state) * n ** -0.5)
        return torch.stack(rows, 1)

    @staticmethod
    def _unit(*ys):
        return [y * torch.rsqrt(y.square().sum(-1, keepdim=True) + 1e-6) for y in ys]

    def forward(self, input_ids, attention_mask=None, labels=None, use_cache=False):
        x = self.model.embeddings(input_ids)
        for layer in self.model.layers:
            x = x + layer.attn.o_proj(self._mix(layer.attn, layer.attn_norm(x)).flatten(2))
            y, m = layer.mlp_norm(x), layer.mlp
            x = x + m.down_proj(F.silu(m.gate_proj(y)) * m.up_proj(y))
        logits = self.lm_head(self.model.norm(x))
        return SimpleNamespace(logits=logits, loss=self._loss(logits, labels))


class Kda(Fla):
    """Kimi delta attention [Kimi Team 2025]."""

    model_type, architecture = "kda", "KDAForCausalLM"

    def _build(self, attn, c, d):
        keys, values, rank = c.num_heads * c.head_dim, int(c.num_heads * c.head_dim * c.expand_v), int(c.head_dim * c.expand_v)
        for name, width in ("q", keys), ("k", keys), ("v", values):
            self._project(attn, d, **{name: width})
            self._convolve(attn, c.conv_size, **{name: width})
        attn.f_proj = nn.Sequential(nn.Linear(d, rank, bias=False), nn.Linear(rank, keys, bias=False))
        attn.g_proj = nn.Sequential(nn.Linear(d, rank, bias=False), nn.Linear(rank, values))
        attn.b_proj, attn.o_proj, attn.o_norm = nn.Linear(d, c.num_heads, bias=False), nn.Linear(values, d, bias=False), nn.RMSNorm(rank, c.norm_eps)
        attn.A_log, attn.dt_bias = nn.Parameter(torch.zeros(c.num_heads)), nn.Parameter(torch.zeros(keys))

    def _mix(self, a, x):
        c = self.config
        q, k, v = self._inputs(a, x, [c.num_heads] * 3)
        decay = torch.exp(-a.A_log.exp()[:, None] * F.softplus(a.f_proj(x) + a.dt_bias).view(k.shape))
        beta = torch.sigmoid(a.b_proj(x)) * (2 if c.allow_neg_eigval else 1)
        return a.o_norm(self._recur(*self._unit(q, k), v, decay, beta)) * torch.sigmoid(a.g_proj(x)).view(v.shape)


class DeltaNet(Fla):
    """DeltaNet [Yang et al. 2024] and, with heads of values, Gated DeltaNet [Yang et al. 2024]."""

    model_type, architecture = "delta_net", "DeltaNetForCausalLM"

    def _sizes(self, c):  # heads of keys and values, their widths
        return c.num_heads, c.num_heads, int(c.hidden_size * c.expand_k) // c.num_heads, int(c.hidden_size * c.expand_v) // c.num_heads

    def _build(self, attn, c, d):
        heads, value_heads, keys, values = self._sizes(c)
        self._project(attn, d, q=heads * keys, k=heads * keys, v=value_heads * values, b=value_heads)
        attn.o_proj, attn.o_norm = nn.Linear(value_heads * values, d, bias=False), nn.RMSNorm(values, c.norm_eps)
        if c.use_short_conv:
            self._convolve(attn, c.conv_size, q=heads * keys, k=heads * keys, v=value_heads * values)
        if c.use_gate:
            self._project(attn, d, g=value_heads * values)

    def _decay(self, a, x):
        return torch.ones_like(a.b_proj(x))

    def _mix(self, a, x):
        c = self.config
        heads, value_heads, _, _ = self._sizes(c)
        q, k, v = self._inputs(a, x, (heads, heads, value_heads))
        q, k = (y.repeat_interleave(value_heads // heads, 2) for y in self._unit(q, k))
        beta = torch.sigmoid(a.b_proj(x)) * (2 if c.allow_neg_eigval else 1)
        o = a.o_norm(self._recur(q, k, v, self._decay(a, x)[..., None], beta))
        return o * F.silu(a.g_proj(x)).view(v.shape) if c.use_gate else o


class GatedDeltaNet(DeltaNet):
    model_type, architecture = "gated_deltanet", "GatedDeltaNetForCausalLM"

    def _sizes(self, c):
        return c.num_heads, c.num_v_heads, c.head_dim, int(c.head_dim * c.expand_v)

    def _build(self, attn, c, d):
        super()._build(attn, c, d)
        self._project(attn, d, a=c.num_v_heads)
        attn.A_log, attn.dt_bias = nn.Parameter(torch.zeros(c.num_v_heads)), nn.Parameter(torch.zeros(c.num_v_heads))

    def _decay(self, a, x):
        return torch.exp(-a.A_log.exp() * F.softplus(a.a_proj(x) + a.dt_bias))


class Gla(Fla):
    """Gated linear attention [Yang et al. 2023]."""

    model_type, architecture = "gla", "GLAForCausalLM"

    def _build(self, attn, c, d):
        keys, values = round(d * c.expand_k), round(d * c.expand_v)
        self._project(attn, d, q=keys, k=keys, v=values, g=values)
        attn.o_proj, attn.g_norm_swish_gate = nn.Linear(values, d, bias=False), nn.RMSNorm(values // c.num_heads, c.norm_eps)
        attn.gk_proj = nn.Sequential(nn.Linear(d, 16, bias=False), nn.Linear(16, keys))

    def _mix(self, a, x):
        b, t, _ = x.shape
        q, k, v, g = (getattr(a, name + "_proj")(x).view(b, t, self.config.num_heads, -1) for name in "qkvg")
        decay = (F.logsigmoid(a.gk_proj(x)) / 16).clamp_min(self.config.clamp_min)
        return a.g_norm_swish_gate(self._recur(q, k, v, decay.exp().view(k.shape))) * F.silu(g)


class RetNet(Fla):
    """Retention [Sun et al. 2023], with norms that have weights."""

    model_type, architecture = "retnet", "RetNetForCausalLM"

    def _build(self, attn, c, d):
        keys, values = round(d * c.expand_k), round(d * c.expand_v)
        self._project(attn, d, q=keys, k=keys, v=values, g=values)
        attn.o_proj, attn.g_norm_swish_gate = nn.Linear(values, d, bias=False), nn.RMSNorm(values // c.num_heads, c.norm_eps)

    def _mix(self, a, x):
        (b, t, _), h = x.shape, self.config.num_heads
        q, k, v, g = (getattr(a, name + "_proj")(x).view(b, t, h, -1) for name in "qkvg")
        decay = (1 - 2.0 ** (-5 - torch.arange(h, dtype=x.dtype))).expand(b, t, h)
        return a.g_norm_swish_gate(self._recur(turned(q, 10000.0), turned(k, 10000.0), v, decay[..., None])) * F.silu(g)


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
