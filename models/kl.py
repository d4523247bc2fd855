"""The objective: KL(target || student) over the full vocabulary, from hidden states, in chunks.

Axes: N positions that carry loss, C positions of one chunk or block, V vocabulary, D width.

The target of position n is `(1 - w_n) * teacher_n + w_n * onehot(token_n)`: with w = 0 it is the paper's
KL(P_theta(s|x) || P_theta'(s)); with w > 0 the written token counts too. Logits exist for one chunk at a
time, for both models: beyond inputs and gradients a call needs 2 * chunk * V numbers of the model's format and
5 * block * V floats, whatever N is. A block is what stays in a processor's cache between one operation and the next.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK = 128  # positions that go through the output matrix at once
BLOCK = 8  # positions of a chunk whose distributions are computed at once, on a processor


def block_size(device: torch.device, chunk: int) -> int:
    """Positions of a chunk of `chunk` whose distributions are computed at once: few on a processor, else all."""
    return BLOCK if device.type == "cpu" else chunk


def kl_from_states(
    student_ND: Tensor,
    student_matrix_VD: Tensor,
    teacher_ND: Tensor,
    teacher_matrix_VD: Tensor,
    *,
    token_N: Tensor,
    written_N: Tensor,
    weight_N: Tensor,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Weighted sum over positions of KL(target || student), and the KL of every position.

    Args:
        student_ND: the student's last hidden states; gradients flow into them.
        student_matrix_VD: the student's output matrix; gradients flow into it if it requires them.
        teacher_ND, teacher_matrix_VD: the teacher's, constant.
        token_N: the written token at each position.
        written_N: its share w of the target distribution, in [0, 1].
        weight_N: the weight of each position in the sum.

    Returns:
        (scalar sum of weight * KL, KL_N detached), both float32, in nats. KL >= 0, and 0 where both agree.
    """
    total, kl_N = _ChunkedKL.apply(
        student_ND, student_matrix_VD, teacher_ND, teacher_matrix_VD, token_N, written_N, weight_N, chunk
    )
    return total, kl_N


class _ChunkedKL(torch.autograd.Function):
    """Computes gradients in the forward pass, chunk by chunk, so that no logits outlive their chunk."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,  # torch gives its type no fields
        student_ND: Tensor,
        student_matrix_VD: Tensor,
        teacher_ND: Tensor,
        teacher_matrix_VD: Tensor,
        token_N: Tensor,
        written_N: Tensor,
        weight_N: Tensor,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        want_states, want_matrix = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        grad_ND = torch.empty_like(student_ND) if want_states else None
        grad_VD = torch.zeros_like(student_matrix_VD) if want_matrix else None
        kl_N = torch.empty(len(student_ND), dtype=torch.float32, device=student_ND.device)
        block = block_size(student_ND.device, chunk)
        for start in range(0, len(student_ND), chunk):
            part = slice(start, start + chunk)
            teacher_CV = teacher_ND[part] @ teacher_matrix_VD.T
            student_CV = student_ND[part] @ student_matrix_VD.T
            for first in range(0, len(student_CV), block):
                here = slice(first, first + block)
                at = slice(start + first, min(start + first + block, start + chunk))
                q_CV, logq_CV = _target(teacher_CV[here], token_N[at], written_N[at])
                logp_CV = student_CV[here].float().log_softmax(-1)
                kl_N[at] = torch.linalg.vecdot(q_CV, logq_CV.sub_(logp_CV))
                if want_states or want_matrix:
                    # d KL(q || softmax(z)) / dz = softmax(z) - q, written where the logits were
                    student_CV[here] = logp_CV.exp_().sub_(q_CV).mul_(weight_N[at, None])
            if grad_ND is not None:
                torch.mm(student_CV, student_matrix_VD, out=grad_ND[part])
            if grad_VD is not None:
                grad_VD.addmm_(student_CV.T, student_ND[part])
        ctx.save_for_backward(grad_ND, grad_VD)
        ctx.mark_non_differentiable(kl_N)
        return torch.dot(kl_N, weight_N.float()), kl_N

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, _grad_kl: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad_ND, grad_VD = ctx.saved_tensors
        return (
            None if grad_ND is None else grad_ND * grad_total,
            None if grad_VD is None else grad_VD * grad_total,
            *[None] * 6,
        )


def _target(logits_CV: Tensor, token_C: Tensor, written_C: Tensor) -> tuple[Tensor, Tensor]:
    """The target distribution q and log q (0 at most, finite where q is 0), both float32."""
    logq_CV = logits_CV.float().log_softmax(-1)
    q_CV = logq_CV.exp()
    if written_C.any():
        q_CV.mul_(1 - written_C[:, None]).scatter_add_(1, token_C[:, None], written_C[:, None].to(q_CV.dtype))
        logq_CV = q_CV.clamp_min(torch.finfo(q_CV.dtype).tiny).log()
    return q_CV, logq_CV
