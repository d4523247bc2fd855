"""Roots of the Kronecker factors: what they whiten, and that learning in their coordinates is learning all the same."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import curvature
from models.curvature import DAMPING, Roots
from models.model import LanguageModel
from models.packed_model import PackedModel
from models.teacher import TargetSentence, target_sentences
from tests.models.conftest import Opener


def linear_layers(lm: LanguageModel) -> dict[str, nn.Linear]:
    modules = lm.model.base_model.named_modules()
    return {name: layer for name, layer in modules if isinstance(layer, nn.Linear)}


def measured(lm: LanguageModel, sentences: Sequence[TargetSentence], *, seed: int = 0) -> dict[str, Roots]:
    return curvature.roots(PackedModel(lm, row_tokens=64), sentences, linear_layers(lm), seed=seed, tokens=10_000)


def inputs_of(lm: LanguageModel, layer: nn.Module, sentences: Sequence[TargetSentence]) -> Tensor:
    """What `layer` reads, sentence by sentence, without the beginning that all share."""
    prompts = [s.prompt for s in sentences]
    shared = next(i for i in range(len(prompts[0])) if len({p[i] for p in prompts}) > 1)
    found: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, arguments: found.append(arguments[0][0, shared:].detach()))
    for s in sentences:
        lm.hidden_BLD(input_ids=torch.tensor([[*s.prompt, *s.answer[:-1]]], device=lm.device))
    handle.remove()
    return torch.cat(found)


@pytest.fixture(params=[curvature.TILE, 20])
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices narrower than a tile, and of several, the last one cut."""
    monkeypatch.setattr(curvature, "TILE", request.param)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("name", ["self_attn.k_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"])
def test_the_right_root_makes_all_directions_of_what_a_layer_reads_alike(
    lm: LanguageModel, unrelated: list[TargetSentence], name: str
) -> None:
    right_DD = measured(lm, unrelated)[f"layers.1.{name}"].right_DD
    assert right_DD is not None
    x_ND = inputs_of(lm, linear_layers(lm)[f"layers.1.{name}"], unrelated).double()
    a_DD = x_ND.T @ x_ND
    a_DD = a_DD / a_DD.diagonal().mean() + DAMPING * torch.eye(len(a_DD), device=lm.device)
    white_DD = right_DD.double() @ a_DD @ right_DD.double().T
    scale = white_DD.diagonal().mean()
    torch.testing.assert_close(white_DD / scale, torch.eye(len(a_DD)).to(a_DD), atol=2e-3, rtol=0)
    assert right_DD.square().sum(-1).mean().item() == pytest.approx(1, rel=1e-5)


@pytest.mark.usefixtures("tile")
def test_the_left_root_makes_what_unrelated_text_asks_of_the_outputs_alike(
    lm: LanguageModel, unrelated: list[TargetSentence], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[int, Tensor] = {}
    real = curvature._inverse_root

    def heard(total_DD: Tensor) -> Tensor:
        root = real(total_DD)
        asked[id(root)] = total_DD.tril() + total_DD.tril(-1).T
        return root

    monkeypatch.setattr(curvature, "_inverse_root", heard)
    found = measured(lm, unrelated)
    factors = [total / total.diagonal().mean() + DAMPING * torch.eye(len(total)).to(total) for total in asked.values()]
    for root in found.values():
        assert root.left_OO is not None
        alike = [root.left_OO.T @ g @ root.left_OO for g in factors if len(g) == len(root.left_OO)]
        errors = [(m / m.diagonal().mean() - torch.eye(len(m)).to(m)).abs().max() for m in alike]
        assert min(errors) < 2e-3


def test_which_sentences_are_measured_is_drawn_from_all(lm: LanguageModel) -> None:
    texts = [(f"What is {n}?", f"{n} is a number.") for n in range(64)]
    sentences = target_sentences(lm, None, texts, origin="unrelated")
    layers = linear_layers(lm)
    first = next(iter(layers))
    few = [
        curvature.roots(PackedModel(lm, row_tokens=64), given, layers, seed=seed, tokens=1)[first].right_DD
        for given, seed in ((sentences, 0), (sentences, 0), (sentences, 1), (sentences[:32], 0))
    ]
    torch.testing.assert_close(few[0], few[1], atol=0, rtol=0)
    assert not any(torch.allclose(few[0], other, atol=1e-3) for other in few[2:])


def test_layers_that_read_the_same_share_a_root_and_others_do_not(
    lm: LanguageModel, unrelated: list[TargetSentence]
) -> None:
    found = measured(lm, unrelated)
    query, key, value = (found[f"layers.0.self_attn.{name}_proj"].right_DD for name in "qkv")
    gate, up = (found[f"layers.0.mlp.{name}_proj"].right_DD for name in ("gate", "up"))
    assert query is key is value
    assert gate is up
    assert gate is not query


def test_the_seed_decides_and_nothing_is_left_behind(lm: LanguageModel, unrelated: list[TargetSentence]) -> None:
    before = [p.detach().clone() for p in lm.model.parameters()]
    a, b, c = measured(lm, unrelated), measured(lm, unrelated), measured(lm, unrelated, seed=1)
    layer = next(iter(a))
    assert torch.equal(a[layer].left_OO, b[layer].left_OO)  # type: ignore[arg-type]
    # All is measured, in another order: sums of float32 differ in their last digits.
    torch.testing.assert_close(a[layer].right_DD, c[layer].right_DD, atol=1e-4, rtol=0)
    assert not torch.equal(a[layer].left_OO, c[layer].left_OO)  # type: ignore[arg-type]
    assert all(p.grad is None for p in lm.model.parameters())
    assert all(torch.equal(p, q) for p, q in zip(lm.model.parameters(), before, strict=True))
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in linear_layers(lm).values())


def test_a_change_of_equal_size_disturbs_unrelated_text_less_in_these_coordinates(lm: LanguageModel) -> None:
    turns = [(f"Say {word} {n}.", word * n) for word in ("sun", "rain", "wind", "snow", "fog") for n in (1, 2, 3)]
    sentences = target_sentences(lm, None, turns, origin="unrelated")
    layer = lm.model.base_model.layers[0].self_attn.o_proj
    root = measured(lm, sentences)["layers.0.self_attn.o_proj"]
    x_ND = inputs_of(lm, layer, sentences)
    change_OD = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0)).to(lm.device)
    moved = root._replace(left_OO=None).of_change(change_OD, torch.float32)
    plain, spared = ((x_ND @ m.T).square().mean() / m.square().mean() for m in (change_OD, moved))
    assert spared < 0.5 * plain


def test_gradient_and_change_are_adjoint() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right, change, gradient = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((5, 5), (7, 7), (5, 7), (5, 7))
    )
    for root in (Roots(left, right), Roots(None, right), Roots(left, None), Roots(None, None)):
        forward = (gradient * root.of_change(change, torch.float64)).sum()
        torch.testing.assert_close((root.of_gradient(gradient) * change).sum(), forward)


def test_of_a_side_that_is_too_wide_no_root_is_taken(
    lm: LanguageModel, unrelated: list[TargetSentence], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measured(lm, unrelated)
    monkeypatch.setattr(curvature, "WIDEST", 32)  # the model's width; 64 within its feed-forward layers
    found = measured(lm, unrelated)
    up, down, query = (f"layers.1.{name}_proj" for name in ("mlp.up", "mlp.down", "self_attn.q"))
    assert found[up].left_OO is None
    assert found[down].right_DD is None
    for one, other in ((found[up].right_DD, whole[up].right_DD), (found[query].left_OO, whole[query].left_OO)):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_frozen_parameters_measure_the_same_and_nothing_below_is_propagated_into(
    lm: LanguageModel, unrelated: list[TargetSentence]
) -> None:
    upper = {name: layer for name, layer in linear_layers(lm).items() if name.startswith("layers.1.")}
    whole = measured(lm, unrelated)
    lm.model.requires_grad_(False)
    went_back: list[Tensor] = []
    lm.layers[0].register_forward_hook(lambda _layer, _arguments, handed_on: went_back.append(handed_on))
    found = curvature.roots(PackedModel(lm, row_tokens=64), unrelated, upper, seed=0, tokens=10_000)
    assert went_back
    assert not any(states.requires_grad for states in went_back)
    assert list(found) == list(upper)
    for name, root in found.items():
        assert torch.equal(root.left_OO, whole[name].left_OO)  # type: ignore[arg-type]
        assert torch.equal(root.right_DD, whole[name].right_DD)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_kept_is_read_back_bit_for_bit(
    fresh: Opener, unrelated: list[TargetSentence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(curvature, "WIDEST", 32)  # of the feed-forward layers' inner side there is no root
    lm, file = fresh(dtype), tmp_path / "work" / "curvature.pt"
    found = measured(lm, unrelated)
    assert curvature.kept(file, "this", lm.device) is None
    curvature.keep(file, found, "this")
    assert curvature.kept(file, "that", lm.device) is None
    again = curvature.kept(file, "this", lm.device)
    assert again is not None
    assert list(again) == list(found)
    for name, root in found.items():
        for mine, theirs in zip(root, again[name], strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None:
                assert theirs.dtype == dtype
                assert torch.equal(mine, theirs)
                assert mine.stride() == theirs.stride()
    query, key = (again[f"layers.0.self_attn.{name}_proj"].right_DD for name in "qk")
    assert query is key
