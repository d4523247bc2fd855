"""LoRA (Hu et al. 2021, arXiv:2106.09685) by PEFT, with a forward and backward pass of our own.

PEFT computes `x W^T + s (x A^T) B^T` as five operations in float32, and autograd keeps and adds what each of them
needs. For a small model that costs more than the frozen product itself. Here it is one differentiable operation in
the model's number format; the float32 master weights are the optimiser's (`models.masters.MasterWeights`).

Axes: N tokens, D width in, O width out, R rank.
"""

import warnings
from collections.abc import Collection
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.curvature import Roots

ADAPTER = "default"  # PEFT's name for the only adapter


def adapt(model: PreTrainedModel, *, rank: int, alpha: int, leave: Collection[nn.Module]) -> PeftModel:
    """Put adapters into the linear layers of `model`, in place, but those in `leave`, and freeze all else.

    Half of an adapter begins as random numbers: seed torch before. `merge_and_unload()` of what this returns adds the
    adapters to the weights and takes them out again. Raises ValueError where there are no linear layers.
    """
    # not those derived from it: a router returns more than a product, and quantised weights are another
    linear = [name for name, module in model.named_modules() if type(module) is nn.Linear and module not in leave]
    if not linear:
        raise ValueError(f"{type(model).__name__} has no linear layers for LoRA: set integrate.method to full")
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=linear,
        task_type="CAUSAL_LM",
    )
    config._register_custom_module({nn.Linear: OneOperationLinear})
    with warnings.catch_warnings():  # PEFT asks transformers in a way that the latter will give up
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        return get_peft_model(model, config, autocast_adapter_dtype=False)


class OneOperationLinear(Linear):
    """PEFT's LoRA layer over a frozen `nn.Linear`, in one differentiable operation."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[..., D] to [..., O]. Merged or switched off it is PEFT's."""
        if self.merged or self.disable_adapters:
            return super().forward(x, *args, **kwargs)
        frozen = self.get_base_layer()
        out = _LowRank.apply(
            x.reshape(-1, x.shape[-1]),
            frozen.weight,
            frozen.bias,
            self.lora_A[ADAPTER].weight,
            self.lora_B[ADAPTER].weight,
            self.scaling[ADAPTER],
        )
        return out.view(*x.shape[:-1], -1)

    @torch.no_grad()
    def begin_in(self, roots: Roots) -> dict[Tensor, Roots]:
        """Draw A in the directions that `roots` prefers, and return the coordinates in which A and B learn."""
        a_RD, b_OR = (side[ADAPTER].get_parameter("weight") for side in (self.lora_A, self.lora_B))
        a_RD.copy_(roots._replace(left_OO=None).of_change(a_RD, torch.float32))
        return {a_RD: Roots(None, roots.right_DD), b_OR: Roots(roots.left_OO, None)}


class _LowRank(torch.autograd.Function):
    """`x W^T + b + s (x A^T) B^T`, with gradients for x, A and B."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,  # torch gives its type no fields
        x_ND: Tensor,
        weight_OD: Tensor,
        bias_O: Tensor | None,
        a_RD: Tensor,
        b_OR: Tensor,
        scale: float,
    ) -> Tensor:
        inner_NR = x_ND @ a_RD.T
        ctx.save_for_backward(x_ND, weight_OD, a_RD, b_OR, inner_NR)
        ctx.scale = scale
        out_NO = nn.functional.linear(x_ND, weight_OD, bias_O)
        return out_NO.addmm_(inner_NR, b_OR.T, alpha=scale)

    @staticmethod
    def backward(ctx: Any, grad_NO: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x_ND, weight_OD, a_RD, b_OR, inner_NR = ctx.saved_tensors
        grad_NR = (grad_NO @ b_OR).mul_(ctx.scale)
        grad_ND = None
        if ctx.needs_input_grad[0]:
            grad_ND = (grad_NO @ weight_OD).addmm_(grad_NR, a_RD)
        return grad_ND, None, None, grad_NR.T @ x_ND, (grad_NO.T @ inner_NR).mul_(ctx.scale), None
