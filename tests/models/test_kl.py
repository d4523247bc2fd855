"""The chunked KL against the formula written out in float64, and what it may cost."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.kl import kl_from_states


def numbers(count: int = 7, vocabulary: int = 11, width: int = 5) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(0)
    return {
        "student_ND": torch.randn(count, width, generator=g),
        "student_matrix_VD": torch.randn(vocabulary, width, generator=g),
        "teacher_ND": torch.randn(count, width, generator=g),
        "teacher_matrix_VD": torch.randn(vocabulary, width, generator=g),
        "token_N": torch.randint(vocabulary, (count,), generator=g),
        "written_N": torch.zeros(count),
        "weight_N": torch.rand(count, generator=g),
    }


def measured(n: dict[str, Tensor], **changes: Any) -> tuple[Tensor, Tensor]:
    n = n | {k: v for k, v in changes.items() if isinstance(v, Tensor)}
    return kl_from_states(**n, chunk=changes.get("chunk", 3))


def by_formula(n: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    teacher_NV = (n["teacher_ND"] @ n["teacher_matrix_VD"].T).softmax(-1)
    one_NV = torch.nn.functional.one_hot(n["token_N"], teacher_NV.shape[-1])
    share_N1 = n["written_N"][:, None]
    q_NV = (1 - share_N1) * teacher_NV + share_N1 * one_NV
    logp_NV = (n["student_ND"] @ n["student_matrix_VD"].T).log_softmax(-1)
    kl_N = (torch.xlogy(q_NV, q_NV) - q_NV * logp_NV).sum(-1)
    return (kl_N * n["weight_N"]).sum(), kl_N


@pytest.mark.parametrize("written", [(0.0,) * 7, (0.0, 0.3, 1.0, 0.5, 0.0, 0.9, 0.1), (1.0,) * 7])
def test_values_and_gradients_are_those_of_the_formula(written: tuple[float, ...]) -> None:
    n = numbers() | {"written_N": torch.tensor(written)}
    exact = {k: v.double() if v.is_floating_point() else v for k, v in n.items()}
    for name in ("student_ND", "student_matrix_VD"):
        n[name].requires_grad_()
        exact[name].requires_grad_()
    total, kl_N = measured(n)
    wanted, wanted_N = by_formula(exact)
    (2.5 * total).backward()
    (2.5 * wanted).backward()
    assert torch.allclose(kl_N.double(), wanted_N, atol=1e-5)
    assert torch.allclose(total.double(), wanted, atol=1e-5)
    for name in ("student_ND", "student_matrix_VD"):
        assert torch.allclose(n[name].grad.double(), exact[name].grad, atol=1e-5), name


def test_it_is_positive_and_zero_where_both_agree() -> None:
    n = numbers(count=200)
    _, kl_N = measured(n)
    assert kl_N.min() > 0.01
    same = {"student_ND": n["teacher_ND"], "student_matrix_VD": n["teacher_matrix_VD"].clone().requires_grad_()}
    total, kl_N = measured(n | same)
    assert kl_N.abs().max() < 1e-6
    total.backward()
    assert same["student_matrix_VD"].grad.abs().max() < 1e-5


def test_direction_is_teacher_to_student() -> None:
    """Where the teacher rules a token out, a student that allows it pays little; the other way round it pays much."""
    sure, unsure = torch.tensor([[20.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    n = numbers(count=1, vocabulary=2, width=2) | {"student_matrix_VD": torch.eye(2), "teacher_matrix_VD": torch.eye(2)}
    _, sure_teacher_N = measured(n, teacher_ND=sure, student_ND=unsure)
    _, sure_student_N = measured(n, teacher_ND=unsure, student_ND=sure)
    assert sure_teacher_N.item() == pytest.approx(0.6931, abs=1e-3)  # log 2
    assert sure_student_N.item() == pytest.approx(10 - 0.6931, abs=1e-3)


@pytest.mark.parametrize("chunk", [1, 2, 7, 100])
def test_chunks_change_nothing(chunk: int) -> None:
    def run(chunk: int) -> tuple[Tensor, Tensor, Tensor]:
        n = numbers()
        n["student_ND"].requires_grad_()
        n["student_matrix_VD"].requires_grad_()
        total, kl_N = measured(n, chunk=chunk)
        total.backward()
        return kl_N, n["student_ND"].grad, n["student_matrix_VD"].grad

    for mine, other in zip(run(chunk), run(3), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_a_weight_of_zero_takes_a_position_out() -> None:
    n = numbers()
    n["student_ND"].requires_grad_()
    n["weight_N"][2] = 0
    total, kl_N = measured(n)
    total.backward()
    assert n["student_ND"].grad[2].abs().max() == 0
    assert n["student_ND"].grad[3].abs().max() > 0
    assert total.item() == pytest.approx((kl_N * n["weight_N"]).sum().item(), rel=1e-6)


def test_frozen_matrix_gets_no_gradient() -> None:
    n = numbers()
    n["student_ND"].requires_grad_()
    total, _ = measured(n)
    total.backward()
    assert n["student_matrix_VD"].grad is None


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation gives back."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [t.numel() for t in tree_leaves(result) if isinstance(t, Tensor)]
        self.numel = max([self.numel, *sizes])
        return result


def test_no_tensor_of_all_positions_and_the_whole_vocabulary_is_made() -> None:
    count, vocabulary, width, chunk = 600, 500, 8, 16
    for written in (0.0, 0.5):
        n = numbers(count, vocabulary, width) | {"written_N": torch.full((count,), written)}
        n["student_ND"].requires_grad_()
        n["student_matrix_VD"].requires_grad_()
        with Largest() as largest:
            total, _ = measured(n, chunk=chunk)
            total.backward()
        assert chunk * vocabulary <= largest.numel <= max(chunk * vocabulary, vocabulary * width, count * width)
