"""Master weights: small steps add up, and roots turn gradients and changes, not where a parameter began."""

from typing import Literal

import pytest
import torch

from models import masters
from models.configs import OptimizerConfig
from models.curvature import Roots
from models.masters import MasterWeights

CONFIG = OptimizerConfig()


def test_steps_too_small_for_bfloat16_add_up() -> None:
    parameter = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))  # the next number below 1 is 1 - 2**-8
    weights = MasterWeights([parameter], CONFIG)

    def step() -> float:
        parameter.grad = torch.ones(4)
        weights.step(5e-4)
        return parameter[0].item()

    assert step() == 1.0
    assert [step() for _ in range(11)][-1] == pytest.approx(1 - 12 * 5e-4, abs=2**-8)
    assert parameter[0].item() < 1.0


def test_gradients_too_small_beside_the_first_for_bfloat16_add_up() -> None:
    parameter = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    weights = MasterWeights([parameter], CONFIG)
    for gradient in (1.0, *[2**-9] * 64):  # one after the other they would all be lost
        (parameter * gradient).sum().backward()
    norm = weights.step(0.0)
    assert norm == pytest.approx(2 * (1 + 64 * 2**-9), rel=2**-8)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_parameters_of_one_shape_learn_together_as_each_alone(
    optimizer: Literal["adamw", "muon"], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update={"optimizer": optimizer, "clip_norm": 1e9})
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    starts = [drawn(3, 4), drawn(3, 4), drawn(4, 4), drawn(3, 4), drawn(3, 4), drawn(5)]
    gradients = [[drawn(*start.shape) for start in starts] for _ in range(3)]
    lefts, rights = [drawn(3, 3) for _ in starts], [drawn(4, 4) for _ in starts]
    roots = [Roots(lefts[0], None), Roots(lefts[1], None), Roots(None, rights[2]), Roots(lefts[3], rights[3])]
    roots += [Roots(None, None)] * 2

    def learnt(together: list[int]) -> list[torch.Tensor]:
        parameters = [torch.nn.Parameter(starts[i].clone()) for i in together]
        weights = MasterWeights(parameters, config, {p: roots[i] for p, i in zip(parameters, together, strict=True)})
        for step in gradients:
            for parameter, i in zip(parameters, together, strict=True):
                parameter.grad = step[i].clone()
            weights.step(1e-2)
        return [parameter.detach() for parameter in parameters]

    alone = [learnt([i])[0] for i in range(len(starts))]
    for most in (1, 24, 2**24):  # numbers in a group
        monkeypatch.setattr(masters, "TOGETHER", most)
        torch.testing.assert_close(learnt([*range(len(starts))]), alone, atol=1e-6, rtol=1e-5)
    assert not any(torch.equal(a, start) for a, start in zip(alone, starts, strict=True))


def test_what_no_gradient_reaches_stays() -> None:
    used, unused = (torch.nn.Parameter(torch.ones(4)) for _ in range(2))
    weights = MasterWeights([used, unused], CONFIG)
    used.grad = torch.ones(4)
    weights.step(1e-2)
    assert used.max() < 1
    assert torch.equal(unused, torch.ones(4))
    assert all(change.grad is None for change in weights.changes)  # nothing is kept through the next pass


def test_a_parameter_is_its_origin_and_the_change_between_its_roots() -> None:
    generator = torch.Generator().manual_seed(0)
    start, left, right, gradient = (
        torch.randn(shape, generator=generator) for shape in ((3, 4), (3, 3), (4, 4), (3, 4))
    )
    parameter = torch.nn.Parameter(start.clone())
    weights = MasterWeights([parameter], CONFIG, {parameter: Roots(left, right)})
    for _ in range(3):
        parameter.grad = gradient.clone()
        weights.step(1e-2)
    # AdamW on one gradient, again and again, steps by the rate against its sign
    change = -3e-2 * (left.T @ gradient @ right.T).sign()
    torch.testing.assert_close(weights.changes[0].detach(), change, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(parameter.detach(), start + left @ change @ right, atol=1e-5, rtol=1e-4)
