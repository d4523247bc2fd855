"""The adapters' one operation against PEFT's own layer, and what is left of them afterwards."""

from typing import Any

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora import Linear
from torch import nn

from models.lora import OneOperationLinear, adapt
from models.model import LanguageModel


def adapters(lm: LanguageModel) -> dict[str, OneOperationLinear]:
    return {n: m for n, m in lm.model.named_modules() if isinstance(m, OneOperationLinear)}


@pytest.fixture
def adapted(lm: LanguageModel) -> Any:
    """Every layer but the output matrix, with adapters that are no longer zero."""
    torch.manual_seed(0)
    peft = adapt(lm.model, rank=4, alpha=12, leave=[lm.model.get_output_embeddings()])
    for layer in adapters(lm).values():
        nn.init.normal_(layer.lora_B["default"].weight)
    return peft


@pytest.mark.parametrize("bias", [False, True])
def test_values_and_gradients_are_those_of_peft(bias: bool) -> None:
    torch.manual_seed(0)
    frozen = nn.Linear(6, 10, bias=bias).requires_grad_(False)
    layer = OneOperationLinear(frozen, "default", config=LoraConfig(), r=3, lora_alpha=6).double()
    nn.init.normal_(layer.lora_B["default"].weight)
    found = []
    for forward in (OneOperationLinear.forward, Linear.forward):
        x = torch.linspace(-1, 1, 2 * 5 * 6, dtype=torch.float64).view(2, 5, 6).requires_grad_()
        layer.zero_grad()
        out = forward(layer, x)
        out.pow(3).sum().backward()
        a, b = layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad
        found.append((out.detach(), x.grad, a.clone(), b.clone()))
    for mine, theirs in zip(*found, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-12)


def test_merged_and_taken_out_the_model_says_the_same(lm: LanguageModel, adapted: Any) -> None:
    ids_BL = torch.tensor([[5, 6, 7, 8]], device=lm.device)
    with torch.no_grad():
        with_adapters = lm.hidden_BLD(input_ids=ids_BL)
        with adapted.disable_adapter():
            without = lm.hidden_BLD(input_ids=ids_BL)
        adapted.merge_and_unload()
        merged = lm.hidden_BLD(input_ids=ids_BL)
    assert not adapters(lm)
    assert torch.allclose(merged, with_adapters, atol=1e-4)
    assert not torch.allclose(without, with_adapters, atol=1e-1)


def test_what_is_more_than_a_linear_layer_is_left_alone(lm: LanguageModel) -> None:
    class Router(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).softmax(-1)

    mlp = lm.layers[0].mlp
    mlp.up_proj.__class__ = Router
    adapt(lm.model, rank=4, alpha=12, leave=[lm.model.get_output_embeddings()])
    assert type(mlp.up_proj) is Router
    assert isinstance(mlp.down_proj, OneOperationLinear)


def test_only_adapters_learn_and_what_is_left_alone_has_none(lm: LanguageModel) -> None:
    left = lm.model.base_model.layers[0]
    adapt(lm.model, rank=4, alpha=8, leave=[lm.model.get_output_embeddings(), *left.modules()])
    assert {n.split(".")[2] for n in adapters(lm)} == {"1"}
    assert {n.rsplit(".", 3)[1] for n, p in lm.model.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}
