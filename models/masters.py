"""What is learnt, in float32, and the optimiser's state, beside a model that may compute in bfloat16.

Knows parameters and gradients, and no loss.

Axes: O width out, D width in.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from models.curvature import Roots
from models.files import written_aside

StepLog = dict[str, float]
Rewritten = tuple[int, list[int], Tensor]  # a new sentence's index, its answer's tokens, the teacher's states


class OptimizerConfig(BaseModel):
    """How a step is made from a gradient."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="AdamW, or Muon for matrices and AdamW for the rest, at the same learning rate"
    )
    adam_epsilon: float = Field(
        1e-8, gt=0, description="AdamW's; near the gradients' own size it spares weights that hardly matter"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's, decoupled")
    clip_norm: float = Field(1.0, gt=0, description="largest norm of the gradient")


class MasterWeights:
    """What has changed since the start, in float32, and the optimiser's state, beside a model that may be in bfloat16.

    A parameter is `origin + L change P`, with the roots L and P of its layer where there are any. The model's own
    parameters are the working copy: gradients are read from them, new values written to them.
    """

    def __init__(
        self,
        parameters: list[nn.Parameter],
        config: OptimizerConfig,
        roots: Mapping[Tensor, Roots] | None = None,
    ) -> None:
        self.parameters: list[Tensor] = [*parameters]
        self.origins = [p.detach().clone() for p in parameters]
        self.roots = [(roots or {}).get(p, Roots(None, None)).to(p.dtype) for p in parameters]
        self.changes = [torch.zeros_like(p, dtype=torch.float32).requires_grad_() for p in parameters]
        self.clip_norm = config.clip_norm
        self.optimizers = _optimizers(self.changes, config)

    @torch.no_grad()
    def step(self, learning_rate: float) -> float:
        """One step from the parameters' gradients, which are then cleared; returns the gradient's norm."""
        for change, parameter, root in zip(self.changes, self.parameters, self.roots, strict=True):
            change.grad = None if parameter.grad is None else root.of_gradient(parameter.grad).float()
            parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self.changes, self.clip_norm)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._publish()
        return norm.item()

    @torch.no_grad()
    def _publish(self) -> None:
        for parameter, origin, change, root in zip(
            self.parameters, self.origins, self.changes, self.roots, strict=True
        ):
            parameter.copy_(origin.float() + root.of_change(change, parameter.dtype).float())

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
        self._publish()
        return state["rows"], state["written"]


def _optimizers(masters: list[Tensor], config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Fused AdamW (Loshchilov and Hutter 2019); or Muon (Jordan et al. 2024) for matrices, AdamW for the rest.

    Muon's steps are scaled to AdamW's usual length (Liu et al. 2025), so that the same learning rate serves. Each step
    is given its rate.
    """
    muon = config.optimizer == "muon"
    rest = [m for m in masters if not muon or m.ndim != 2]
    found: list[torch.optim.Optimizer] = []
    if muon:
        found.append(
            torch.optim.Muon(
                [m for m in masters if m.ndim == 2],
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
