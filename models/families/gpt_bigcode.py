"""GPT-BigCode: StarCoder, and Granite-Code 20B and 34B. Learned positions, one key head, LayerNorm, an MLP without a gate."""

from __future__ import annotations

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.families.family import Family, Scales, TensorNames
from dovetail.models.fields import Fields


def _scales(fields: Fields) -> Scales:
    if not fields.flag("multi_query", True):
        raise ModelDirectoryError(f"{fields.where}: multi_query false is not supported; supported: one key head")
    return Scales(attention=None if fields.flag("scale_attn_weights", True) else 1.0)


GPT_BIGCODE = Family(
    name="gpt-bigcode",
    architecture="GPTBigCodeForCausalLM",
    attention_bias="always",
    mlp_bias="always",
    norm="layer",
    eps_key="layer_norm_epsilon",
    activation_key="activation_function",
    gated=False,
    scales=_scales,
    keys={
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
        "intermediate_size": "n_inner",
    },
    names=TensorNames(
        embedding="transformer.wte",
        positions="transformer.wpe",
        final_norm="transformer.ln_f",
        input_norm="transformer.h.{i}.ln_1",
        post_attention_norm="transformer.h.{i}.ln_2",
        qkv="transformer.h.{i}.attn.c_attn",
        output="transformer.h.{i}.attn.c_proj",
        up="transformer.h.{i}.mlp.c_fc",
        down="transformer.h.{i}.mlp.c_proj",
    ),
    defaults={
        "num_key_value_heads": 1,
        "activation_function": "gelu_pytorch_tanh",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
    },
)
