"""Tiny configurations of every family, by transformers' own classes."""

from __future__ import annotations

from typing import Any

import transformers

SHAPE: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": None,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
IN_TURN = ["sliding_attention", "full_attention"]


def longrope(width: int, original: int) -> dict[str, Any]:
    """Phi-3's parameters for heads of which ``width`` dimensions are turned."""
    return {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0 + 0.1 * i for i in range(width // 2)],
        "long_factor": [2.0 + 0.5 * i for i in range(width // 2)],
        "original_max_position_embeddings": original,
    }


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama, biases, tied": ("Llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "llama, one key head": ("Llama", {"num_key_value_heads": 1, "rms_norm_eps": 1e-3}),
    "llama, llama3 rope": ("Llama", {"rope_parameters": LLAMA3}),
    "llama, linear rope (deepseek-coder)": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100000.0}},
    ),
    "llama, dynamic rope": (
        "Llama",
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}},
    ),
    "mistral": ("Mistral", {"sliding_window": None}),
    "mistral, window, wide heads": ("Mistral", {"sliding_window": 7, "head_dim": 16}),
    "ministral3 (devstral 2)": (
        "Ministral3",
        {
            "head_dim": 8,
            "rope_parameters": {
                **YARN,
                "original_max_position_embeddings": 12,
                "mscale": 1.0,
                "mscale_all_dim": 1.0,
                "llama_4_scaling_beta": 0.5,
            },
        },
    ),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2, window from layer 1": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
    "qwen2, window by layer type": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 5, "layer_types": IN_TURN},
    ),
    "qwen2, window switched off": ("Qwen2", {"use_sliding_window": False, "sliding_window": 3}),
    "qwen2, yarn": ("Qwen2", {"rope_parameters": YARN}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "qwen3, biases, tied": ("Qwen3", {"head_dim": 8, "attention_bias": True, "tie_word_embeddings": True}),
    "qwen3-moe": (
        "Qwen3Moe",
        {"head_dim": 16, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 12}
        | {"norm_topk_prob": True},
    ),
    "qwen3-moe, dense layer, plain weights": (
        "Qwen3Moe",
        {
            "head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 20,
            "mlp_only_layers": [0],
        },
    ),
    "starcoder2": ("Starcoder2", {"sliding_window": 9, "norm_epsilon": 1e-4}),
    "starcoder2, no biases": ("Starcoder2", {"use_bias": False, "tie_word_embeddings": False}),
    "gpt-bigcode": (
        "GPTBigCode",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "vocab_size": 96, "pad_token_id": None},
    ),
    "granite": (
        "Granite",
        {"embedding_multiplier": 12.0, "residual_multiplier": 0.22, "attention_multiplier": 0.2, "logits_scaling": 8.0},
    ),
    "phi3": ("Phi3", {"sliding_window": 11, "eos_token_id": 1}),
    "phi3, longrope, short": ("Phi3", {"rope_parameters": longrope(8, 64), "eos_token_id": 1}),
    "phi3, longrope, long": ("Phi3", {"rope_parameters": longrope(8, 16), "eos_token_id": 1}),
    "phi4-mini, turned in part": (
        "Phi3",
        {
            "rope_parameters": {**longrope(6, 16), "partial_rotary_factor": 0.75},
            "tie_word_embeddings": True,
            "eos_token_id": 1,
        },
    ),
    "gemma2": (
        "Gemma2",
        {"head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 6, "attn_logit_softcapping": 2.0}
        | {"final_logit_softcapping": 4.0},
    ),
    "gemma3": (
        "Gemma3Text",
        {"head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 6, "num_hidden_layers": 3}
        | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    "gemma3, stretched": (
        "Gemma3Text",
        {
            "head_dim": 8,
            "sliding_window": 4,
            "layer_types": IN_TURN,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        },
    ),
    "gemma3, with pictures": (
        "Gemma3",
        {
            "text_config": {**SHAPE, "head_dim": 8, "sliding_window": 6},
            "vision_config": VISION,
            "mm_tokens_per_image": 4,
        },
    ),
    "mistral3": (
        "Mistral3",
        {
            "text_config": {**SHAPE, "model_type": "mistral", "head_dim": 8, "sliding_window": None},
            "vision_config": {**VISION, "model_type": "pixtral", "head_dim": 8},
            "tie_word_embeddings": False,
        },
    ),
    "smollm3": ("SmolLM3", {"no_rope_layers": [1, 0], "eos_token_id": 1, "bos_token_id": 0}),
    "gpt-oss": (
        "GptOss",
        {"head_dim": 8, "num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": 6, "swiglu_limit": 1.5}
        | {"rope_parameters": {**YARN, "truncate": False}},
    ),
}


def configuration(case: str) -> Any:
    """The configuration of one case."""
    family, changes = CASES[case]
    values = {} if family in ("GPTBigCode", "Gemma3", "Mistral3") else SHAPE
    return getattr(transformers, f"{family}Config")(**{**values, **changes})
