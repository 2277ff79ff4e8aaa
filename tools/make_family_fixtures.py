#!/usr/bin/env python3
"""Make tests/families/fixtures: tiny random models of published families and what Hugging Face transformers (or tools/reference_*.py) says about them.

usage: make_family_fixtures.py [NAME …]      (all without names; needs torch, transformers 5, safetensors)

A fixture is a folder: config.json and model.safetensors as transformers writes them, input.json as `gamut score --tokens` reads it,
expected.safetensors with logits or what else the model gives, loss and grad.<weight> of every trained weight, about.json with the objective's name where
it is not causal, greedy.json with a prompt and its greedy continuation where it writes from left to right. Stored in float32, computed in float64.
For developers; neither build nor tests need it.
"""
import json
import pathlib
import re
import sys
import tempfile

import reference_models
import reference_recurrent
import torch
import transformers
from safetensors.torch import load_file, save_file

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "families" / "fixtures"
SHAPE = dict(vocab_size=40, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32, bos_token_id=1, eos_token_id=2)
HEADS = {key: value for key, value in SHAPE.items() if key != "num_key_value_heads"}
LAYERS = dict(SHAPE, num_hidden_layers=3)
STATES = dict(vocab_size=40, hidden_size=12, num_hidden_layers=2, bos_token_id=1, eos_token_id=2)
BLINK = dict(STATES, gamut_layout="blinkdl", intermediate_size=20, layer_norm_epsilon=1e-5, tie_word_embeddings=False)
FLA = dict(STATES, intermediate_size=14, max_position_embeddings=32, norm_eps=1e-5, hidden_act="swish", tie_word_embeddings=False)
TEXT = dict(vocab_size=40, d_model=12, d_kv=5, d_ff=14, num_layers=2, num_decoder_layers=3, num_heads=2, relative_attention_num_buckets=8, relative_attention_max_distance=10, decoder_start_token_id=0)
BART = dict(vocab_size=40, d_model=12, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=3, encoder_ffn_dim=14, decoder_ffn_dim=10, max_position_embeddings=20)
ENCODER = dict(vocab_size=40, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=20, pad_token_id=0)
DISTILLED = dict(vocab_size=40, dim=16, hidden_dim=20, n_layers=2, n_heads=2, max_position_embeddings=20, pad_token_id=0)
GPT = dict(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=1, eos_token_id=2)
FALCON = dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_hidden_size=24, max_position_embeddings=32, bos_token_id=1, eos_token_id=2)
LATENT = dict(vocab_size=40, hidden_size=14, intermediate_size=20, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=32, bos_token_id=1, eos_token_id=2,
              q_lora_rank=7, kv_lora_rank=6, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=3)
CHOSEN = dict(num_experts_per_tok=2, moe_intermediate_size=6, n_routed_experts=4)  # of DeepSeek's kin
EXPERTS = dict(SHAPE, num_experts_per_tok=2, intermediate_size=6, output_router_logits=True, router_aux_loss_coef=0.05)


def rope(kind, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=500.0, factor=4.0, **more))


CASES = {
    "llama": ("Llama", dict(SHAPE, attention_bias=True, mlp_bias=True)),
    "llama-llama3": ("Llama", dict(SHAPE, tie_word_embeddings=True, **rope("llama3", low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8))),
    "llama-yarn": ("Llama", dict(SHAPE, tie_word_embeddings=True, **rope("yarn", original_max_position_embeddings=8))),
    "llama-linear": ("Llama", dict(SHAPE, tie_word_embeddings=True, **rope("linear"))),
    "llama-dynamic": ("Llama", dict(SHAPE, tie_word_embeddings=True, **rope("dynamic"), max_position_embeddings=12)),
    "mistral": ("Mistral", dict(SHAPE, sliding_window=5, head_dim=6)),
    "qwen2": ("Qwen2", dict(LAYERS, use_sliding_window=True, sliding_window=5, max_window_layers=1, tie_word_embeddings=True)),
    "qwen3": ("Qwen3", dict(SHAPE, head_dim=10)),
    "mixtral": ("Mixtral", dict(EXPERTS, num_local_experts=4)),
    "olmoe": ("Olmoe", dict(EXPERTS, num_experts=5)),
    "qwen3_moe": ("Qwen3Moe", dict(EXPERTS, num_hidden_layers=3, head_dim=6, intermediate_size=12, moe_intermediate_size=6, num_experts=4, norm_topk_prob=True, mlp_only_layers=[1])),
    "gpt2": ("GPT2", dict(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=32, n_inner=24, bos_token_id=1, eos_token_id=2, scale_attn_by_inverse_layer_idx=True)),
    "mamba": ("Mamba", dict(STATES, state_size=3, time_step_rank=2, expand=2, tie_word_embeddings=True)),
    "falcon_mamba": ("FalconMamba", dict(STATES, state_size=3, time_step_rank=2, expand=1, use_bias=True, tie_word_embeddings=False)),
    "mamba2": ("Mamba2", dict(STATES, state_size=5, num_heads=4, head_dim=6, n_groups=2, expand=2, time_step_limit=(0.2, 1.1), tie_word_embeddings=False)),
    "jamba": ("Jamba", dict(EXPERTS, num_hidden_layers=3, num_experts=3, attn_layer_period=3, attn_layer_offset=1, expert_layer_period=2, expert_layer_offset=0, mamba_d_state=3,
                            mamba_dt_rank=2, mamba_expand=1, use_mamba_kernels=False)),
    "qwen3_next": ("Qwen3Next", dict(EXPERTS, num_hidden_layers=3, head_dim=8, moe_intermediate_size=6, shared_expert_intermediate_size=5, num_experts=4, partial_rotary_factor=0.5,
                                     layer_types=["linear_attention", "full_attention", "linear_attention"], linear_num_key_heads=2, linear_num_value_heads=4,
                                     linear_key_head_dim=4, linear_value_head_dim=5)),
    "llada": ("Llada", dict(model_type="llada", architectures=["LLaDAModelLM"], vocab_size=40, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, mlp_hidden_size=20, max_sequence_length=32, rms_norm_eps=1e-5,
                            rope_theta=500.0, weight_tying=False, mask_token_id=39, block_type="llama", layer_norm_type="rms", activation_type="silu", include_bias=False, include_qkv_bias=False, rope=True,
                            alibi=False, attention_layer_norm=False, eos_token_id=2, torch_dtype="float32")),
    "dream": ("Dream", dict(SHAPE, model_type="Dream", architectures=["DreamModel"], mask_token_id=39, rms_norm_eps=1e-6)),
    "t5": ("T5", TEXT),
    "t5-gated": ("T5", dict(TEXT, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "t5-untied": ("T5", dict(TEXT, feed_forward_proj="gated-silu", tie_word_embeddings=False)),
    "mt5": ("MT5", dict(TEXT, num_decoder_layers=1)),
    "umt5": ("UMT5", dict(TEXT, num_layers=3, num_decoder_layers=2)),
    "switch_transformers": ("SwitchTransformers", dict(TEXT, num_decoder_layers=2, num_sparse_encoder_layers=1, num_sparse_decoder_layers=1, num_experts=3, expert_capacity=4, router_bias=True)),
    "bart": ("Bart", dict(BART, scale_embedding=True)),
    "mbart": ("MBart", dict(BART, activation_function="relu", decoder_start_token_id=3)),
    "rnn_lm": ("RnnLm", dict(vocab_size=40, embedding_size=7, hidden_size=12, num_hidden_layers=2, cell="lstm", bias=True, bos_token_id=1, eos_token_id=2)),
    "rnn_lm-gru": ("RnnLm", dict(vocab_size=40, hidden_size=12, num_hidden_layers=2, cell="gru", bias=True, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)),
    "rnn_lm-rnn": ("RnnLm", dict(vocab_size=40, embedding_size=12, hidden_size=12, num_hidden_layers=2, cell="rnn", bias=False, bos_token_id=1, eos_token_id=2)),
    "rwkv7": ("Rwkv7", dict(STATES, hidden_act="sqrelu", head_dim=4, intermediate_size=20, decay_low_rank_dim=3, a_low_rank_dim=2, v_low_rank_dim=2, gate_low_rank_dim=4, norm_eps=1e-5)),
    "bert": ("BertForMaskedLM", dict(ENCODER, hidden_act="gelu_new", layer_norm_eps=1e-3, type_vocab_size=3)),
    "bert-pairs": ("BertForPreTraining", ENCODER),
    "bert-classes": ("BertForSequenceClassification", dict(ENCODER, hidden_act="relu", num_labels=3)),
    "bert-bare": ("BertModel", ENCODER),
    "roberta": ("RobertaForMaskedLM", dict(ENCODER, pad_token_id=1, type_vocab_size=1, tie_word_embeddings=False)),
    "xlm-roberta": ("XLMRobertaModel", dict(ENCODER, pad_token_id=1)),
    "camembert": ("CamembertForSequenceClassification", dict(ENCODER, pad_token_id=1, num_labels=3)),
    "distilbert": ("DistilBertForMaskedLM", dict(DISTILLED, activation="gelu")),
    "distilbert-classes": ("DistilBertForSequenceClassification", dict(DISTILLED, num_labels=3)),
    "distilbert-bare": ("DistilBertModel", DISTILLED),
    "roberta-classes": ("RobertaForSequenceClassification", dict(ENCODER, pad_token_id=2, num_labels=4)),
    "gemma": ("Gemma", dict(SHAPE, head_dim=10)),
    "gemma2": ("Gemma2", dict(LAYERS, head_dim=10, query_pre_attn_scalar=7, sliding_window=5, attn_logit_softcapping=3.0, final_logit_softcapping=2.0)),
    "gemma3_text": ("Gemma3", dict(LAYERS, head_dim=10, query_pre_attn_scalar=7, sliding_window=5, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                                   rope_parameters=dict(full_attention=dict(rope_type="linear", factor=2.0, rope_theta=500.0), sliding_attention=dict(rope_type="default", rope_theta=50.0)))),
    "granite": ("Granite", dict(SHAPE, attention_bias=True, mlp_bias=True, embedding_multiplier=2.5, attention_multiplier=0.3, residual_multiplier=0.6, logits_scaling=1.7)),
    "glm": ("Glm", dict(SHAPE, head_dim=8, pad_token_id=0, rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5))),
    "glm4": ("Glm4", dict(SHAPE, head_dim=8, pad_token_id=0, rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5))),
    "olmo": ("Olmo", dict(SHAPE, clip_qkv=0.8)),
    "olmo2": ("Olmo2", dict(SHAPE, attention_bias=True)),
    "olmo3": ("Olmo3", dict(LAYERS, sliding_window=5, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                            rope_parameters=dict(full_attention=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=8, rope_theta=500.0),
                                                 sliding_attention=dict(rope_type="default", rope_theta=500.0)))),
    "cohere": ("Cohere", dict(SHAPE, logit_scale=0.3)),
    "cohere2": ("Cohere2", dict(LAYERS, head_dim=10, logit_scale=0.3, sliding_window=5, layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "stablelm": ("StableLm", dict(SHAPE, use_qkv_bias=True)),
    "stablelm-parallel": ("StableLm", dict(SHAPE, use_parallel_residual=True)),
    "starcoder2": ("Starcoder2", dict(SHAPE, sliding_window=5)),
    "nemotron": ("Nemotron", dict(SHAPE, head_dim=8)),
    "smollm3": ("SmolLM3", dict(LAYERS, no_rope_layers=[1, 0, 1], pad_token_id=0)),
    "exaone4": ("Exaone4", dict(LAYERS, sliding_window=5, layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "ernie4_5": ("Ernie4_5", dict(SHAPE, head_dim=10, use_bias=True)),
    "phi": ("Phi", dict(SHAPE)),
    "phi3": ("Phi3", dict(SHAPE, sliding_window=5, pad_token_id=0, rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5))),
    "phi3-longrope": ("Phi3", dict(SHAPE, pad_token_id=0, original_max_position_embeddings=12, rope_parameters=dict(
        rope_type="longrope", rope_theta=100.0, partial_rotary_factor=0.5, original_max_position_embeddings=12, short_factor=[1.0, 1.3], long_factor=[1.5, 3.0]))),
    "gpt_neox": ("GPTNeoX", dict(HEADS, rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5))),
    "gpt_neox-sequential": ("GPTNeoX", dict(HEADS, use_parallel_residual=False, attention_bias=False)),
    "gptj": ("GPTJ", dict(GPT, n_inner=24, rotary_dim=4)),
    "falcon": ("Falcon", dict(FALCON, multi_query=True)),
    "falcon-heads": ("Falcon", dict(FALCON, multi_query=False, parallel_attn=False, bias=True)),
    "falcon-groups": ("Falcon", dict(FALCON, num_attention_heads=4, num_kv_heads=2, new_decoder_architecture=True)),
    "bloom": ("Bloom", dict(vocab_size=40, hidden_size=18, n_layer=2, n_head=3, bos_token_id=1, eos_token_id=2)),
    "mpt": ("Mpt", dict(vocab_size=40, d_model=18, n_layers=2, n_heads=3, max_seq_len=32, bos_token_id=1, eos_token_id=2, attn_config=dict(clip_qkv=0.8))),
    "opt": ("OPT", dict(vocab_size=40, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32, word_embed_proj_dim=16, bos_token_id=1, eos_token_id=2,
                        pad_token_id=0)),
    "gpt_neo": ("GPTNeo", dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_layers=2, num_heads=2, max_position_embeddings=32, window_size=5, attention_types=[[["global", "local"], 1]],
                               bos_token_id=1, eos_token_id=2)),
    "gpt_bigcode": ("GPTBigCode", dict(GPT, n_inner=24)),
    "qwen2_moe": ("Qwen2Moe", dict(EXPERTS, num_hidden_layers=3, intermediate_size=12, moe_intermediate_size=6, shared_expert_intermediate_size=5, num_experts=4, mlp_only_layers=[1],
                                   use_sliding_window=True, sliding_window=5, max_window_layers=2)),
    "granitemoe": ("GraniteMoe", dict(EXPERTS, num_local_experts=4, attention_bias=True, embedding_multiplier=2.5, attention_multiplier=0.3, residual_multiplier=0.6, logits_scaling=1.7)),
    "granitemoeshared": ("GraniteMoeShared", dict(EXPERTS, num_local_experts=4, shared_intermediate_size=5, embedding_multiplier=2.5, attention_multiplier=0.3, tie_word_embeddings=True)),
    "flex_olmo": ("FlexOlmo", dict(EXPERTS, num_experts=5, pad_token_id=0)),
    "dbrx": ("Dbrx", dict(vocab_size=40, d_model=16, n_heads=4, n_layers=2, max_seq_len=32, bos_token_id=1, eos_token_id=2, attn_config=dict(clip_qkv=0.8, kv_n_heads=2, rope_theta=10000.0),
                          ffn_config=dict(ffn_hidden_size=6, moe_num_experts=4, moe_top_k=2, moe_normalize_expert_weights=2.0, ffn_act_fn=dict(name="gelu")))),
    "gpt_oss": ("GptOss", dict(EXPERTS, num_local_experts=4, head_dim=6, sliding_window=5, swiglu_limit=1.5, rope_parameters=dict(
        rope_type="yarn", rope_theta=500.0, factor=4.0, original_max_position_embeddings=8, truncate=False))),
    "llama4_text": ("Llama4", dict(LAYERS, head_dim=8, intermediate_size=6, intermediate_size_mlp=12, num_local_experts=4, num_experts_per_tok=1, moe_layers=[0, 2], no_rope_layers=[1, 0, 1],
                                   attention_chunk_size=5, floor_scale=4, attn_scale=0.4)),
    "hunyuan_v1_dense": ("HunYuanDenseV1", dict(SHAPE, head_dim=10, pad_token_id=0, rope_parameters=dict(rope_type="dynamic", alpha=50.0, factor=1.0, rope_theta=100.0))),
    "hunyuan_v1_moe": ("HunYuanMoEV1", dict(SHAPE, head_dim=10, pad_token_id=0, intermediate_size=6, num_experts=4, moe_topk=2,
                                            rope_parameters=dict(rope_type="dynamic", alpha=50.0, factor=1.0, rope_theta=100.0))),
    "marian": ("Marian", dict(BART, decoder_start_token_id=39, eos_token_id=0, pad_token_id=39)),
    "pegasus": ("Pegasus", dict(BART, scale_embedding=True, pad_token_id=0)),
    "m2m_100": ("M2M100", dict(BART, pad_token_id=1)),
    "nllb-moe": ("NllbMoe", dict(BART, decoder_layers=2, encoder_sparse_step=2, decoder_sparse_step=1, num_experts=3, moe_eval_capacity_token_fraction=0.5, moe_token_dropout=0.2,
                                 normalize_router_prob_before_dropping=False, router_ignore_padding_tokens=True)),
    "minimax_m2": ("MiniMaxM2", dict(EXPERTS, num_local_experts=4, head_dim=8, rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5))),
    "minimax": ("MiniMax", dict(EXPERTS, num_hidden_layers=3, num_local_experts=4, head_dim=6, block_size=8, layer_types=["linear_attention", "full_attention", "linear_attention"],
                                sliding_window=9, full_attn_alpha_factor=1.3, full_attn_beta_factor=0.9, linear_attn_alpha_factor=1.5, linear_attn_beta_factor=0.8, mlp_alpha_factor=1.2,
                                mlp_beta_factor=0.7)),
    "lfm2": ("Lfm2", dict(LAYERS, layer_types=["conv", "full_attention", "conv"], conv_L_cache=3, conv_bias=True, block_multiple_of=6, block_ffn_dim_multiplier=1.2)),
    "lfm2_moe": ("Lfm2Moe", dict(LAYERS, layer_types=["conv", "full_attention", "conv"], conv_L_cache=4, num_dense_layers=1, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=6,
                                 routed_scaling_factor=1.5, tie_word_embeddings=False)),
    "kimi_linear": ("KimiLinear", dict({key: value for key, value in LATENT.items() if key not in ("q_lora_rank", "max_position_embeddings")}, moe_intermediate_size=6, num_experts=6,
                                       num_experts_per_token=2, num_expert_group=3, topk_group=2, linear_num_heads=2, linear_head_dim=5, linear_conv_kernel_dim=3, pad_token_id=0,
                                       layer_types=["linear_attention", "full_attention", "linear_attention"], mlp_layer_types=["dense", "sparse", "sparse"])),
    "kda": ("Kda", dict(vocab_size=40, hidden_size=12, intermediate_size=14, num_hidden_layers=2, num_heads=2, head_dim=5, expand_v=1.4, conv_size=3, norm_eps=1e-5, allow_neg_eigval=True,
                        hidden_act="swish", tie_word_embeddings=False, max_position_embeddings=32, bos_token_id=1, eos_token_id=2)),
    "rwkv": ("Rwkv4", dict(STATES, attention_hidden_size=14, intermediate_size=20, layer_norm_epsilon=1e-5, rescale_every=6, context_length=32, tie_word_embeddings=False)),
    "rwkv5": ("Rwkv5", dict(BLINK, attention_hidden_size=15, head_size=5, head_size_divisor=4)),
    "rwkv6": ("Rwkv6", dict(BLINK, attention_hidden_size=12, head_size=4, head_size_divisor=8)),
    "delta_net": ("DeltaNet", dict(FLA, num_heads=2, expand_k=0.5, expand_v=1.5, conv_size=3, use_gate=False, use_short_conv=True, allow_neg_eigval=True)),
    "delta_net-plain": ("DeltaNet", dict(FLA, num_heads=3, expand_k=1.0, expand_v=0.5, conv_size=4, use_gate=True, use_short_conv=False, allow_neg_eigval=False)),
    "gated_deltanet": ("GatedDeltaNet", dict(FLA, num_heads=2, num_v_heads=4, head_dim=5, expand_v=1.4, conv_size=3, use_gate=True, use_short_conv=True, allow_neg_eigval=False)),
    "gated_deltanet-bare": ("GatedDeltaNet", dict(FLA, num_heads=2, num_v_heads=2, head_dim=5, expand_v=2.0, conv_size=4, use_gate=False, use_short_conv=True, allow_neg_eigval=True)),
    "gla": ("Gla", dict(FLA, num_heads=2, expand_k=0.5, expand_v=1.5, clamp_min=-0.05)),
    "retnet": ("RetNet", dict(FLA, num_heads=3, expand_k=0.5, expand_v=1.5)),
    "jetmoe": ("JetMoe", dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_key_value_heads=2, kv_channels=6, intermediate_size=6, num_local_experts=4, num_experts_per_tok=2,
                              max_position_embeddings=32, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False)),
    "minicpm": ("MiniCpm", dict(vocab_size=40, hidden_size=16, intermediate_size=6, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2,
                                max_position_embeddings=32, rms_norm_eps=1e-5, hidden_act="silu", scale_emb=3.0, scale_depth=1.4, dim_model_base=8, tie_word_embeddings=True,
                                bos_token_id=1, eos_token_id=2)),
    "bamba": ("Bamba", dict(LAYERS, attn_layer_indices=[1], mamba_n_heads=4, mamba_n_groups=2, mamba_d_state=5, mamba_d_conv=3, mamba_expand=2, attention_bias=True, mlp_bias=True,
                            mamba_proj_bias=True, time_step_limit=(0.2, 1.1), pad_token_id=0)),
    "nemotron_h": ("NemotronH", dict(SHAPE, layers_block_type=["linear_attention", "moe", "full_attention", "mlp", "linear_attention"], num_hidden_layers=5, head_dim=6, mamba_num_heads=4,
                                     mamba_head_dim=3, n_groups=2, ssm_state_size=5, conv_kernel=3, time_step_min=0.3, use_bias=True, mlp_bias=True, n_routed_experts=4, num_experts_per_tok=2,
                                     n_group=2, topk_group=1, moe_intermediate_size=6, moe_shared_expert_intermediate_size=5, routed_scaling_factor=1.5, pad_token_id=0)),
    "nemotron_h-dense": ("NemotronH", dict(HEADS, num_key_value_heads=2, layers_block_type=["linear_attention", "mlp", "full_attention", "mlp"], num_hidden_layers=4, head_dim=8, mamba_num_heads=2,
                                           mamba_head_dim=16, n_groups=1, ssm_state_size=4, pad_token_id=0)),
    "granitemoehybrid": ("GraniteMoeHybrid", dict(EXPERTS, num_hidden_layers=3, num_local_experts=4, shared_intermediate_size=5, embedding_multiplier=2.5, attention_multiplier=0.3,
                                                  residual_multiplier=0.6, logits_scaling=1.7, position_embedding_type="nope", mamba_n_heads=4, mamba_n_groups=2, mamba_d_state=5,
                                                  mamba_expand=1, layer_types=["linear_attention", "full_attention", "linear_attention"])),
    "granitemoehybrid-dense": ("GraniteMoeHybrid", dict(LAYERS, num_local_experts=0, shared_intermediate_size=7, position_embedding_type="rope", attention_bias=True, mamba_n_heads=4,
                                                        mamba_d_state=5, layer_types=["linear_attention", "linear_attention", "full_attention"], tie_word_embeddings=True)),
    "phimoe-longrope": ("Phimoe", dict(EXPERTS, num_local_experts=4, output_router_logits=False, original_max_position_embeddings=12, rope_parameters=dict(
        rope_type="longrope", rope_theta=100.0, original_max_position_embeddings=12, short_factor=[1.0, 1.1, 1.3, 1.4], long_factor=[1.5, 2.0, 3.0, 4.5], short_mscale=1.1, long_mscale=1.3))),
    "phimoe": ("Phimoe", dict(EXPERTS, num_local_experts=4, attention_bias=True, lm_head_bias=True, sliding_window=7, router_jitter_noise=0.1, output_router_logits=False)),
    "grok1": ("Grok1", dict(vocab_size=40, hidden_size=16, intermediate_size=6, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2,
                            max_position_embeddings=32, rms_norm_eps=1e-5, attn_output_multiplier=0.4, max_attn_value=3.0, embedding_multiplier_scale=3.0, output_multiplier_scale=0.6,
                            tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)),
    "deepseek": ("Deepseek", dict(LAYERS | CHOSEN, rms_norm_eps=1e-5, rope_theta=500.0, n_shared_experts=2, norm_topk_prob=True,
                                  first_k_dense_replace=1, moe_layer_freq=2, scoring_func="softmax", tie_word_embeddings=False)),
    "deepseek_v2": ("DeepseekV2", dict(LATENT | CHOSEN, q_lora_rank=None, n_routed_experts=6, n_group=3, topk_group=2, topk_method="group_limited_greedy", routed_scaling_factor=1.7,
                                       first_k_dense_replace=1, n_shared_experts=2, mlp_bias=True, attention_bias=True,
                                       **rope("yarn", original_max_position_embeddings=8, mscale=0.7, mscale_all_dim=0.9))),
    "deepseek_v3": ("DeepseekV3", dict(LATENT | CHOSEN, n_routed_experts=6, n_group=3, topk_group=2, first_k_dense_replace=1, rope_interleave=False, num_mtp_layers=0, attention_bias=True)),
    # Of fewer heads of the indexer all may give nothing, and equal scores are chosen from differently.
    "deepseek_v32": ("DeepseekV32", dict(LATENT | CHOSEN, num_hidden_layers=2, n_routed_experts=6, n_group=3, topk_group=2, first_k_dense_replace=1, index_topk=5, index_head_dim=7,
                                         index_n_heads=8, attention_bias=True)),
    "deepseek_v3-further": ("DeepseekV3Mtp", dict(LATENT | CHOSEN, num_hidden_layers=2, n_routed_experts=4, n_group=1, topk_group=1, first_k_dense_replace=1, num_mtp_layers=1)),
    "longcat_flash": ("LongcatFlash", dict({key: value for key, value in LATENT.items() if key not in ("intermediate_size", "num_hidden_layers")}, num_layers=2, head_dim=4, ffn_hidden_size=20, expert_ffn_hidden_size=6,
                                           n_routed_experts=3, zero_expert_num=2, moe_topk=2, routed_scaling_factor=1.7)),
    "glm4_moe": ("Glm4Moe", dict(LAYERS | CHOSEN, head_dim=8, attention_bias=True, use_qk_norm=True, routed_scaling_factor=1.3, num_mtp_layers=0,
                                 rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5))),
    "glm4_moe_lite": ("Glm4MoeLite", dict(LATENT | CHOSEN, mlp_layer_types=["sparse", "dense", "sparse"])),
    "solar_open": ("SolarOpen", dict({key: value for key, value in SHAPE.items() if key != "intermediate_size"}, **CHOSEN, head_dim=6, n_shared_experts=2, attention_bias=True, pad_token_id=0)),
    "dots1": ("Dots1", dict(LAYERS | CHOSEN, head_dim=6, n_shared_experts=1, first_k_dense_replace=1, sliding_window=5, max_window_layers=1, attention_bias=True, norm_topk_prob=True)),
    "exaone_moe": ("ExaoneMoe", dict(LAYERS, num_experts_per_tok=2, moe_intermediate_size=6, num_experts=4, head_dim=6, sliding_window=5, mlp_layer_types=["sparse", "dense", "sparse"],
                                     layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "afmoe": ("Afmoe", dict(LAYERS, num_experts_per_tok=2, moe_intermediate_size=6, num_experts=4, num_shared_experts=1, head_dim=6, sliding_window=5, route_scale=1.3, mup_enabled=True,
                            layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    # Flags that others leave alone.
    "llama-proportional": ("Llama", dict(SHAPE, tie_word_embeddings=True, **rope("proportional", partial_rotary_factor=0.5))),
    "olmoe-clip": ("Olmoe", dict(EXPERTS, num_experts=5, clip_qkv=0.8, norm_topk_prob=True, num_experts_per_tok=1)),
    "qwen3_next-gelu": ("Qwen3Next", dict(SHAPE, hidden_act="gelu", head_dim=6, num_experts_per_tok=2, intermediate_size=6, moe_intermediate_size=6, shared_expert_intermediate_size=5, num_experts=4,
                                          partial_rotary_factor=0.5, attention_bias=True, layer_types=["linear_attention", "full_attention"], linear_num_key_heads=2, linear_num_value_heads=2,
                                          linear_key_head_dim=4, linear_value_head_dim=5)),
    "kimi_linear-relu": ("KimiLinear", dict({key: value for key, value in LATENT.items() if key not in ("q_lora_rank", "max_position_embeddings")}, num_hidden_layers=2, hidden_act="relu",
                                            moe_intermediate_size=6, num_experts=4, num_experts_per_token=2, linear_num_heads=2, linear_head_dim=5, pad_token_id=0,
                                            layer_types=["linear_attention", "full_attention"], mlp_layer_types=["dense", "sparse"])),
    "mamba-gelu": ("Mamba", dict(STATES, state_size=3, time_step_rank=2, expand=2, hidden_act="gelu")),
    "bamba-relu": ("Bamba", dict(SHAPE, hidden_size=12, attn_layer_indices=[1], mamba_n_heads=4, mamba_d_state=5, mamba_expand=2, hidden_act="relu", pad_token_id=0)),
    "afmoe-biases": ("Afmoe", dict(SHAPE, num_experts_per_tok=2, moe_intermediate_size=6, num_experts=4, num_dense_layers=0, head_dim=6, sliding_window=5, attention_bias=True,
                                   layer_types=["sliding_attention", "full_attention"])),
    "jetmoe-balanced": ("JetMoe", dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_key_value_heads=2, kv_channels=6, intermediate_size=6, num_local_experts=4, num_experts_per_tok=1,
                                       rms_norm_eps=0.1, output_router_logits=True, aux_loss_coef=0.3, max_position_embeddings=32, bos_token_id=1, eos_token_id=2)),
    "cohere-norms": ("Cohere", dict(SHAPE, num_attention_heads=4, num_key_value_heads=2, logit_scale=0.3, use_qk_norm=True)),
    "stablelm-norms": ("StableLm", dict(SHAPE, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, qk_layernorm=True, rope_parameters=dict(
        rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5))),
    "bloom-behind": ("Bloom", dict(vocab_size=40, hidden_size=18, n_layer=2, n_head=3, apply_residual_connection_post_layernorm=True, bos_token_id=1, eos_token_id=2)),
    "opt-behind": ("OPT", dict(vocab_size=40, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32, word_embed_proj_dim=16,
                               do_layer_norm_before=False, enable_bias=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)),
    "opt-plain": ("OPT", dict(vocab_size=40, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32, word_embed_proj_dim=16,
                              layer_norm_elementwise_affine=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)),
    "opt-narrow": ("OPT", dict(vocab_size=40, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32, word_embed_proj_dim=10,
                               do_layer_norm_before=False, activation_function="leaky_relu", bos_token_id=1, eos_token_id=2, pad_token_id=0)),
    "gemma3_text-both_ways": ("Gemma3", dict(LAYERS, head_dim=10, query_pre_attn_scalar=7, sliding_window=6, use_bidirectional_attention=True, pad_token_id=0,
                                             layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "phi-norms": ("Phi", dict(SHAPE, qk_layernorm=True, hidden_act="mish")),
    "gpt_bigcode-heads": ("GPTBigCode", dict(GPT, multi_query=False, scale_attn_weights=False)),
    "falcon-alibi": ("Falcon", dict(FALCON, num_attention_heads=4, multi_query=False, alibi=True)),
    "switch_transformers-odd": ("SwitchTransformers", dict(TEXT, num_decoder_layers=2, num_sparse_encoder_layers=0, num_sparse_decoder_layers=3, num_experts=3, expert_capacity=4)),
    "ernie4_5_moe": ("Ernie4_5_Moe", dict(LAYERS, moe_k=2, moe_intermediate_size=6, moe_num_experts=4, moe_num_shared_experts=2, moe_layer_start_index=1, moe_layer_end_index=1, use_bias=True,
                                          output_router_logits=True, router_aux_loss_coef=0.05)),
}


# Where the sum of the name draws weights on which float32 is too coarse to judge with.
SEEDS = {"delta_net-plain": 1, "gemma2": 2, "qwen3_next-gelu": 1, "kimi_linear-relu": 1, "granitemoehybrid": 2, "jamba": 2, "kimi_linear": 2, "marian": 3, "qwen3_next": 3, "t5-gated": 4, "t5-untied": 5}


# The objective of those that are not trained to predict the next token, by name or by what follows the family in the name of their class.
SEQ2SEQ = ("t5", "t5-gated", "t5-untied", "mt5", "umt5", "switch_transformers", "switch_transformers-odd", "bart", "mbart", "marian", "pegasus", "m2m_100", "nllb-moe")
LOSS = dict.fromkeys(SEQ2SEQ, "seq2seq") | {"deepseek_v3-further": "multi_token", "llada": "masked_diffusion", "dream": "masked_diffusion",
                                            "ForMaskedLM": "mlm", "ForPreTraining": "mlm+nsp", "ForSequenceClassification": "classification", "Model": None,
                                            "gemma3_text-both_ways": None}


def padding(ids):
    mask = torch.ones_like(ids)
    mask[1, 13:] = 0
    return mask


def frame(ids, config, loss):
    """Inputs of encoders: two token types, labels at some places, or a class for each row."""
    mask = padding(ids)
    inputs = {"input_ids": ids.masked_fill(mask == 0, config.pad_token_id), "attention_mask": mask}
    if getattr(config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = (torch.arange(16) >= torch.tensor([[7], [5]])).long() * (config.type_vocab_size - 1) * mask
    if loss in ("mlm", "mlm+nsp"):
        inputs["labels"] = torch.where((torch.rand(ids.shape) < 0.3) & (mask == 1), torch.randint(0, config.vocab_size, ids.shape), -100)
    if loss == "mlm+nsp":
        inputs["next_sentence_label"] = torch.tensor([1, 0])
    if loss == "classification":
        inputs["labels"] = torch.tensor([2, 0])
    return inputs


def hide(ids, mask_id):
    """Inputs of masked diffusion: a time for each row, tokens hidden with that probability, the first of a row among them."""
    t = [0.25, 0.8125]
    hidden = torch.rand(ids.shape) < torch.tensor(t)[:, None]
    hidden[1, 0] = True
    return {"input_ids": ids.masked_fill(hidden, mask_id), "labels": ids.masked_fill(~hidden, -100), "t": t}


def translate(ids, start):
    """Inputs of sequence to sequence: two sources, what the decoder reads, and what it is to say."""
    mask, seen = torch.ones_like(ids), torch.randint(3, 40, (2, 9))
    mask[1, 11:] = 0
    seen[:, 0] = start
    labels = torch.cat([seen[:, 1:], torch.tensor([[2], [2]])], 1)
    labels[0, 2] = labels[1, 6:] = -100
    return {"input_ids": ids * mask, "attention_mask": mask, "decoder_input_ids": seen, "labels": labels}


def build(name):
    kind, settings = CASES[name]
    suffix = re.search("(For.*|Model)?$", kind)[0]
    loss = LOSS.get(name, LOSS.get(suffix, "causal"))
    seed = SEEDS.get(name, sum(name.encode()))
    torch.manual_seed(seed)
    ours = next((module for module in (reference_models, reference_recurrent) if hasattr(module, kind)), None)
    if ours:
        model = getattr(ours, kind)(settings)
        config = model.config
    else:
        config = getattr(transformers, {"Gemma3": "Gemma3Text", "Llama4": "Llama4Text"}.get(kind, kind.removesuffix(suffix)) + "Config")(**settings)
        config._experts_implementation = "eager"  # the grouped one knows no float64
        model = reference_models.in_float64({"GPT2": "GPT2LMHeadModel", "Marian": "MarianMTModel"}[kind] if kind in ("GPT2", "Marian") else kind if suffix else kind + ("ForConditionalGeneration" if loss == "seq2seq" else "ForCausalLM"))(config)
    if name == "t5-untied":  # as the files of version 1.1 are; transformers writes none such
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        config.tie_word_embeddings = False
    with torch.no_grad():  # spread: a gain that is 1, a bias that is 0 or a router that cannot decide would hide mistakes
        for key, weight in model.named_parameters():
            if not weight.requires_grad:
                continue  # fixed positions
            scale = 0.3 if weight.ndim == 1 else 1.5 / weight.shape[-1] ** 0.5
            noise = torch.randn(weight.shape) * scale
            weight.copy_(1 + noise if weight.ndim == 1 and "norm" in key.lower() or key.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")) else noise)
        for key, buffer in model.named_buffers():
            if key.endswith(("final_logits_bias", "e_score_correction_bias", "expert_bias")):
                buffer.copy_(torch.randn(buffer.shape) * 0.3)
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None  # would hide a part of the gradient
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    ids = torch.randint(3, config.vocab_size, (2, 16))
    if loss == "seq2seq":
        inputs = translate(ids, config.decoder_start_token_id)
    elif loss == "masked_diffusion":
        inputs = hide(ids, config.mask_token_id)
    elif loss in ("causal", "multi_token"):
        mask = padding(ids)
        inputs = {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}
    else:
        inputs = frame(ids, config, loss)
    (folder / "input.json").write_text(json.dumps({key: value.tolist() if isinstance(value, torch.Tensor) else value for key, value in inputs.items()}) + "\n")
    if loss != "causal":
        (folder / "about.json").write_text(json.dumps({"loss": loss}) + "\n")
    model.double().eval()  # without dropout
    out = model(**inputs)
    given = (out if isinstance(out, dict) else vars(out)).items()
    expected = {key.replace("prediction_logits", "logits"): value for key, value in given if isinstance(value, torch.Tensor) and key not in ("loss", "aux_loss", "encoder_last_hidden_state")}
    if loss:
        out.loss.backward()
        expected["loss"] = out.loss.reshape(())
        expected |= {"grad." + key: value for key, value in gradients_of(model).items()}
    save_file({key: value.detach().float().contiguous().clone() for key, value in expected.items()}, folder / "expected.safetensors")

    if loss == "seq2seq" and not hasattr(config, "expert_capacity"):  # a capacity counts the tokens of a call: whole rows here, one at a time when writing
        source, row = ids[:1, :7], inputs["decoder_input_ids"][:1, :1]
        with torch.no_grad():
            for _ in range(15):
                row = torch.cat([row, model(input_ids=source, decoder_input_ids=row, use_cache=False).logits[:, -1:].argmax(-1)], 1)
        (folder / "greedy.json").write_text(json.dumps({"sources": source.tolist(), "input_ids": row[:, :1].tolist(), "output_ids": row.tolist()}) + "\n")
    if loss == "causal":
        generate(name, model, ids[:1, :6], folder)
    if loss == "masked_diffusion":
        unmask(model, ids[:1, :5], folder)
    print(f"{name:16} loss {out.loss.item() if loss else 0:.4f}  {sum(f.stat().st_size for f in folder.iterdir()) / 1024:.0f} KiB")


def unmask(model, prompt, folder, length=8, block=4, steps=6):
    """canvas.json: the greedy sampler of LLaDA [Nie et al. 2025, algorithm 5], blocks from the left, the surest places first."""
    mask, canvases = model.config.mask_token_id, []
    canvas = torch.cat([prompt, torch.full((1, length), mask)], 1)
    with torch.no_grad():
        for first in range(prompt.shape[1], canvas.shape[1], block):
            parts = steps // (length // block)
            for step in range(parts):
                logits = model(input_ids=canvas).logits
                if model.shift:
                    logits = torch.cat([logits[:, :1], logits[:, :-1]], 1)
                sure, token = logits.softmax(-1).max(-1)
                sure = torch.where(canvas == mask, sure, -1.0)
                sure[:, :first] = sure[:, first + block:] = -1.0
                for place in sure[0].topk(block // parts + (step < block % parts)).indices:
                    canvas[0, place] = token[0, place]
                canvases.append(canvas[0].tolist())
    (folder / "canvas.json").write_text(json.dumps({"input_ids": prompt.tolist(), "length": length, "block": block, "steps": steps, "canvases": canvases}) + "\n")


def generate(name, model, prompt, folder):
    with torch.no_grad():
        row = prompt
        for _ in range(16 if name not in ("llama-dynamic", "phi3-longrope", "phimoe-longrope") else 4):  # keys of earlier lengths are kept there
            row = torch.cat([row, model(input_ids=row, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    (folder / "greedy.json").write_text(json.dumps({"input_ids": prompt.tolist(), "output_ids": row.tolist()}) + "\n")


def gradients_of(model):
    """Gradients under the names and in the shapes of the saved file."""
    gradients = {key: weight.grad.float() for key, weight in model.named_parameters() if weight.grad is not None}
    if not isinstance(model, transformers.PreTrainedModel):
        return gradients
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, state_dict=gradients)
        return load_file(pathlib.Path(folder) / "model.safetensors")


for case in sys.argv[1:] or CASES:
    build(case)
