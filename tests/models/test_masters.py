"""Master weights: small steps add up, and roots turn gradients and changes, not where a parameter began."""

import pytest
import torch

from models.curvature import Roots
from models.masters import MasterWeights, OptimizerConfig

CONFIG = OptimizerConfig()


def test_steps_too_small_for_bfloat16_add_up() -> None:
    parameter = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))  # the next number below 1 is 1 - 2**-8
    weights = MasterWeights([parameter], CONFIG)

    def step() -> float:
        parameter.grad = torch.ones_like(parameter)
        weights.step(5e-4)
        return parameter[0].item()

    assert step() == 1.0
    assert [step() for _ in range(11)][-1] == pytest.approx(1 - 12 * 5e-4, abs=2**-8)
    assert parameter[0].item() < 1.0


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
