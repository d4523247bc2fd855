"""A model that is not computed here as its own code computes it is refused before anything is made of it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoTokenizer

from models import attention, fit
from models.model import LanguageModel, load

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "bos_token_id": 1,
    "initializer_range": 0.3,
}


def made(name: str, tiny_model: Path, folder: Path, **settings: Any) -> LanguageModel:
    """A tiny model of another architecture, with the tiny model's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer), **SHAPE, **settings)
    torch.manual_seed(0)
    getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load(folder, dtype=torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_usual_model_is_taken_and_left_as_it_was(tiny_model: Path, dtype: torch.dtype) -> None:
    lm = load(tiny_model, dtype=dtype)
    fit.check(lm)
    assert lm.model.config._attn_implementation == attention.NAME


@pytest.mark.parametrize("name", ["Qwen2", "Qwen3", "Mistral"])
def test_others_are_taken_too(name: str, tiny_model: Path, tmp_path: Path) -> None:
    fit.check(made(name, tiny_model, tmp_path))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("StableLm", {}),  # passes no prefix on to its attention
        ("Mistral", {"sliding_window": 32}),  # looks back at less than the prefix
        ("Granite", {"logits_scaling": 4.0}),  # scales its logits
    ],
)
def test_what_is_computed_otherwise_is_refused(
    name: str, settings: dict[str, Any], tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"base\.model: {name}ForCausalLM is computed otherwise"):
        fit.check(made(name, tiny_model, tmp_path, **settings))


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("GPTJ", {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4}, "takes no attention but its own"),
        ("Bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, "BloomForCausalLM cannot be computed here"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(
    name: str, shape: dict[str, int], said: str, tiny_model: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer), **shape)
    getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"base\.model: .*{said}.* Choose a model of another architecture"):
        fit.check(load(tmp_path, dtype=torch.float32))


def test_weights_that_are_no_numbers_are_refused(lm: LanguageModel) -> None:
    with torch.no_grad():
        lm.output_matrix_VD.fill_(math.nan)
    with pytest.raises(ValueError, match="computed otherwise"):
        fit.check(lm)
