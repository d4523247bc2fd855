"""What is learnt, in float32, and the optimiser's state, beside a model that may compute in bfloat16.

Knows parameters and gradients, and no loss.

Axes: G parameters of one shape, O width out, D width in.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.configs import OptimizerConfig
from models.curvature import Roots
from models.files import written_aside

StepLog = dict[str, float]
TOGETHER = 2**24  # numbers of the parameters of a group, at most
Rewritten = tuple[int, list[int], Tensor]  # a new sentence's index, its answer's tokens, the teacher's states


class MasterWeights:
    """What has changed since the start, in float32, and the optimiser's state, beside a model that may be in bfloat16.

    A parameter is `origin + L change P`, with the roots L and P of its layer where there are any. The model's own
    parameters are the working copy: gradients are read from them, new values written to them. Small ones of one shape
    are handled together: a GPU would take longer to be asked for each than to compute it.
    """

    def __init__(
        self,
        parameters: list[nn.Parameter],
        config: OptimizerConfig,
        roots: Mapping[Tensor, Roots] | None = None,
    ) -> None:
        roots = roots or {}
        self._groups = [_Group(together, roots) for together in _of_one_shape(parameters, roots)]
        self.changes = [change for group in self._groups for change in group.changes]
        self.clip_norm = config.clip_norm
        self.optimizers = _optimizers(self.changes, config)

    @torch.no_grad()
    def step(self, learning_rate: float) -> float:
        """One step from the parameters' gradients, which are then cleared; returns the gradient's norm."""
        for group in self._groups:
            group.take_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.changes, self.clip_norm)
        for optimizer in self.optimizers:
            for options in optimizer.param_groups:
                options["lr"] = learning_rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.publish()
        return norm.item()

    @torch.no_grad()
    def publish(self) -> None:
        """Write the parameters' values in the parameters' own number format, which may be wider by now."""
        for group in self._groups:
            group.publish()

    def save(self, path: Path, rows: list[StepLog], written: list[Rewritten]) -> None:
        """Write everything that the next step depends on, atomically."""
        state: dict[str, Any] = {"changes": self.changes, "rows": rows, "written": written}
        state["optimizers"] = [optimizer.state_dict() for optimizer in self.optimizers]
        with written_aside(path) as aside:
            torch.save(state, aside)

    def restore(self, path: Path) -> tuple[list[StepLog], list[Rewritten]]:
        """Take up the state that `save` wrote; returns the rows of the steps done, and what the student wrote."""
        state = torch.load(path, weights_only=True)
        with torch.no_grad():
            for change, saved in zip(self.changes, state["changes"], strict=True):
                change.copy_(saved)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.publish()
        return state["rows"], state["written"]


class _Group:
    """Parameters of one shape, stacked: G of them, or one alone."""

    def __init__(self, parameters: list[nn.Parameter], roots: Mapping[Tensor, Roots]) -> None:
        self.parameters = parameters
        for parameter in parameters:
            parameter.grad_dtype = torch.float32  # in which those of a step's portions are added
        self.origin_G = torch.stack([p.detach() for p in parameters])
        own = [roots.get(p, Roots(None, None)).to(p.dtype) for p in parameters]
        self.root = Roots(*(None if sides[0] is None else torch.stack(sides) for sides in zip(*own, strict=True)))
        self.change_G = torch.zeros_like(self.origin_G, dtype=torch.float32)
        self.changes = [change.requires_grad_() for change in self.change_G.unbind()]  # what an optimiser is given

    def take_gradients(self) -> None:
        """Move the parameters' gradients to the changes."""
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad.to(p.dtype) for p in self.parameters]
        for parameter in self.parameters:
            parameter.grad = None
        gradient_G = self.root.of_gradient(torch.stack(gradients)).float()
        for change, gradient in zip(self.changes, gradient_G.unbind(), strict=True):
            change.grad = gradient

    def publish(self) -> None:
        """Write the parameters' new values."""
        dtype = self.parameters[0].dtype
        new_G = self.origin_G.float() + self.root.to(dtype).of_change(self.change_G, dtype).float()
        for parameter, new in zip(self.parameters, new_G.unbind(), strict=True):
            parameter.copy_(new)


def _of_one_shape(parameters: list[nn.Parameter], roots: Mapping[Tensor, Roots]) -> list[list[nn.Parameter]]:
    """Parameters of one shape with roots on the same sides, together up to `TOGETHER` numbers."""
    open_groups: dict[tuple[Any, ...], list[nn.Parameter]] = {}
    groups = []
    for parameter in parameters:
        has = tuple(side is not None for side in roots.get(parameter, Roots(None, None)))
        kind = (parameter.shape, parameter.dtype, parameter.device, has)
        group = open_groups.get(kind)
        if group is None or (len(group) + 1) * parameter.numel() > TOGETHER:
            group = open_groups[kind] = []
            groups.append(group)
        group.append(parameter)
    return groups


def _optimizers(masters: list[Tensor], config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Fused AdamW (Loshchilov and Hutter 2019); or Muon (Jordan et al. 2024) for matrices, AdamW for the rest.

    Muon's steps are scaled to AdamW's usual length (Liu et al. 2025), so that the same learning rate serves. Each step
    is given its rate.
    """
    muon = config.optimizer == "muon"
    matrices = [m for m in masters if muon and m.ndim == 2]
    rest = [m for m in masters if not muon or m.ndim != 2]
    found: list[torch.optim.Optimizer] = []
    if matrices:
        found.append(
            torch.optim.Muon(
                matrices,
                lr=0.0,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    if rest:
        found.append(
            torch.optim.AdamW(
                rest,
                lr=0.0,
                betas=(0.9, 0.99),
                eps=config.adam_epsilon,
                weight_decay=config.weight_decay,
                fused=True,
            )
        )
    return found
