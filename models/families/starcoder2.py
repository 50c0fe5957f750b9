"""StarCoder2: LayerNorm, an MLP without a gate, biases."""

from __future__ import annotations

from dovetail.models.families.family import Family, TensorNames

STARCODER2 = Family(
    name="starcoder2",
    architecture="Starcoder2ForCausalLM",
    attention_bias="as configured",
    mlp_bias="as configured",
    bias_key="use_bias",
    windows="every layer",
    norm="layer",
    eps_key="norm_epsilon",
    gated=False,
    names=TensorNames(up="model.layers.{i}.mlp.c_fc", down="model.layers.{i}.mlp.c_proj"),
    defaults={
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "hidden_act": "gelu_pytorch_tanh",
        "norm_epsilon": 1e-5,
        "use_bias": True,
        "tie_word_embeddings": True,
    },
)
