"""In which coordinates to learn: those in which every direction disturbs unrelated text alike.

For a linear layer `y = W x`, KL(before || after) on unrelated text grows near the start like `½ tr(G Δ A Δᵀ)`, where
Δ is the change of W, `A = E[x xᵀ]` of the layer's inputs and `G = E[g gᵀ]` of the gradients of `-log p(token)` at its
outputs, with tokens drawn from the model itself: the Kronecker factors of the Fisher matrix (K-FAC, Martens and Grosse
2015). A and G have a few very large eigenvalues: unrelated text lies in few directions, and an optimiser that steps
equally far in all of them disturbs these most. Here `Δ = L M P` with `Lᵀ G L = 1` and `P A Pᵀ = 1`, up to a factor,
and M is what is learnt: in these coordinates all directions cost alike. Sparing what shall stay by its covariance
is how MEMIT (Meng et al. 2023) and AlphaEdit (Fang et al. 2025) write single facts in closed form.

Axes: N tokens, D width in, O width out.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.answers import drawn
from models.kl import CHUNK, block_size
from models.packed_model import PackedModel
from models.teacher import TargetSentence

log = logging.getLogger("selfparam")

DAMPING = 0.01  # of the mean eigenvalue, added to all: what no text used is not free
WIDEST = 8192  # numbers in or out of a layer; of a wider side no root is taken: it would have 4 * width² bytes
TILE = 384  # rows and columns of a symmetric matrix that are computed at once, or left out as the mirror of others


class Roots(NamedTuple):
    """`left_OO` (L) and `right_DD` (P) of a matrix that is learnt, or of several, stacked ([G, O, O], [G, D, D]).

    None where nothing is to be multiplied.
    """

    left_OO: Tensor | None
    right_DD: Tensor | None

    def to(self, dtype: torch.dtype) -> "Roots":
        return Roots(*(None if root is None else root.to(dtype) for root in self))

    def of_gradient(self, gradient_OD: Tensor) -> Tensor:
        """The gradient for M, from that for `L M P`."""
        if self.left_OO is not None:
            gradient_OD = self.left_OO.mT @ gradient_OD
        return gradient_OD if self.right_DD is None else gradient_OD @ self.right_DD.mT

    def of_change(self, change_OD: Tensor, dtype: torch.dtype) -> Tensor:
        """`L M P`; the products are computed in `dtype`. M itself where there are none."""
        if self.left_OO is not None:
            change_OD = self.left_OO @ change_OD.to(dtype)
        return change_OD if self.right_DD is None else change_OD.to(dtype) @ self.right_DD


def roots(
    student: PackedModel,
    sentences: Sequence[TargetSentence],
    layers: Sequence[nn.Module],
    *,
    seed: int,
    tokens: int,
) -> dict[nn.Module, Roots]:
    """For each of `layers`, linear ones of `student` in which something learns, its roots over some `tokens`
    of `sentences`.

    Sentences and the tokens whose gradients are taken are drawn with `seed`. Some layer's parameters must require
    gradients; theirs are cleared. No root is taken of sides wider than `WIDEST`; the others take 4 * width² bytes each.
    """
    lm = student.lm
    inputs: dict[nn.Module, Tensor] = {}
    outputs: dict[nn.Module, Tensor] = {}
    same: dict[nn.Module, nn.Module] = {}  # layers that read what another one reads
    generator = torch.Generator(lm.device).manual_seed(seed)
    seen = 0
    order = torch.randperm(len(sentences), generator=torch.Generator().manual_seed(seed)).tolist()
    sample = [sentences[i] for i in order]
    for some in student.portions(sample):
        packed = student.pack(some)
        own_N = packed.segments_BL.flatten() > 0  # neither padding nor the template's beginning
        with _watched(layers, own_N, inputs, outputs, same):
            hidden_ND = student.hidden_ND(some, packed)
            hidden_ND.backward(_surprise(hidden_ND.detach(), lm.output_matrix_VD.detach(), generator))
        seen += int(own_N.sum())
        log.info("curvature of unrelated text measured on %d/%d tokens", min(seen, tokens), tokens)
        if seen >= tokens:
            break
    lm.model.zero_grad(set_to_none=True)
    # One after the other: of a large model all sums and all roots together would not fit.
    right = {layer: _inverse_root(inputs.pop(layer)) for layer in list(inputs)}
    # C Cᵀ = G, so L = C⁻ᵀ
    left = {layer: _inverse_root(outputs.pop(layer)).T.contiguous() for layer in list(outputs)}
    return {layer: Roots(left.get(layer), right.get(same.get(layer, layer))) for layer in layers}


@contextmanager
def _watched(
    layers: Sequence[nn.Module],
    own_N: Tensor,
    inputs: dict[nn.Module, Tensor],
    outputs: dict[nn.Module, Tensor],
    same: dict[nn.Module, nn.Module],
) -> Iterator[None]:
    """While inside, adds up `x xᵀ` and `g gᵀ` of the layers, over the tokens `own_N`: their lower triangles."""
    read: list[tuple[Tensor, nn.Module]] = []  # what was read in this pass, and by whom first

    def add(sums: dict[nn.Module, Tensor], layer: nn.Module, x: Tensor) -> None:
        if x.shape[-1] > WIDEST:
            return
        x_ND = x.detach().reshape(-1, x.shape[-1])[own_N]
        if layer not in sums:
            sums[layer] = x_ND.new_zeros(x_ND.shape[-1], x_ND.shape[-1], dtype=torch.float32)
        wide_ND = x_ND.float()
        with _factors_in(x_ND.dtype):
            for start in range(0, wide_ND.shape[1], TILE):
                end = start + TILE
                sums[layer][start:end, :end].addmm_(wide_ND[:, start:end].T, wide_ND[:, :end])

    def reads(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        x = arguments[0]
        first = next((other for tensor, other in read if tensor is x), None)
        if first is None:
            read.append((x, layer))
            add(inputs, layer, x)
        else:
            same[layer] = first

    def writes(layer: nn.Module, _arguments: Any, y: Tensor) -> None:
        y.register_hook(lambda gradient: add(outputs, layer, gradient))

    handles = [handle for layer in layers for handle in (
        layer.register_forward_pre_hook(reads), layer.register_forward_hook(writes),
    )]  # fmt: skip
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _factors_in(dtype: torch.dtype) -> Iterator[None]:
    """While inside, a processor may multiply float32 numbers that came from `dtype` as such; sums stay float32.

    Exact, and in bfloat16 three times as fast where the processor has products of it.
    """
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # torch puts it there when imported
    before = products.fp32_precision
    products.fp32_precision = "bf16" if dtype == torch.bfloat16 else before
    try:
        yield
    finally:
        products.fp32_precision = before


def _surprise(hidden_ND: Tensor, matrix_VD: Tensor, generator: torch.Generator) -> Tensor:
    """The gradient of `-log p(token)` for the hidden states, at tokens drawn from p."""
    result = torch.empty_like(hidden_ND)
    block = block_size(hidden_ND.device, CHUNK)
    for start in range(0, len(hidden_ND), CHUNK):
        part = slice(start, start + CHUNK)
        logits_CV = hidden_ND[part] @ matrix_VD.T
        for first in range(0, len(logits_CV), block):
            here = slice(first, first + block)
            p_CV = logits_CV[here].float().softmax(-1)
            if not p_CV[:, 0].isfinite().all():  # one entry that is not makes its whole row so
                raise ValueError("the model that is to learn gives no finite distribution: its weights are damaged")
            drawn_C1 = drawn(p_CV, generator)[:, None]
            # d -log p(token) / dz = p - onehot(token), written where the logits were
            logits_CV[here] = p_CV.scatter_add_(1, drawn_C1, -torch.ones_like(drawn_C1, dtype=p_CV.dtype))
        result[part] = logits_CV @ matrix_VD
    return result


def _inverse_root(total_DD: Tensor) -> Tensor:
    """C⁻¹, lower triangular, for C Cᵀ = the matrix with damping; scaled to a mean squared row of 1.

    Of the matrix, which is symmetric, the lower triangle is read.
    """
    width = len(total_DD)
    mean = total_DD.diagonal().mean()
    identity = torch.eye(width, device=total_DD.device)
    damped = total_DD / mean + DAMPING * identity if mean > 0 else identity
    root_DD = torch.linalg.solve_triangular(torch.linalg.cholesky(damped), identity, upper=False)
    return root_DD / root_DD.square().sum(-1).mean().sqrt()
