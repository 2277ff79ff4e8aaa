"""Models that Hugging Face transformers does not have, in plain PyTorch after their papers, one token at a time: for make_family_fixtures.py."""
import math
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F


class Rwkv7(nn.Module):
    """RWKV-7 [Peng et al. 2025], with the tensor names of flash-linear-attention's folders."""

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
        loss = None if labels is None else F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        return SimpleNamespace(logits=logits, loss=loss)

    def save_pretrained(self, folder):
        import json
        from safetensors.torch import save_file
        config = {"model_type": "rwkv7", "architectures": ["RWKV7ForCausalLM"], "hidden_act": "sqrelu", "torch_dtype": "float32", **vars(self.config)}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file({key: value.detach().contiguous() for key, value in self.state_dict().items()}, folder / "model.safetensors", {"format": "pt"})
