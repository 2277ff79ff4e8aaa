"""Recurrent models that Hugging Face transformers does not have or cannot train, in plain PyTorch after their papers, one token at a time: for make_family_fixtures.py."""
import math
from types import SimpleNamespace

import torch
from reference_models import Plain, turned
from torch import nn
from torch.nn import functional as F


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
