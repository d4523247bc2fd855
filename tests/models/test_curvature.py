"""Roots of the Kronecker factors: what they whiten, and that learning in their coordinates is learning all the same."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from models import curvature
from models.curvature import DAMPING, Roots
from models.model import LanguageModel
from models.packed_model import PackedModel
from models.teacher import TargetSentence, target_sentences


def linear_layers(lm: LanguageModel) -> list[nn.Linear]:
    head = lm.model.get_output_embeddings()
    return [layer for layer in lm.model.modules() if isinstance(layer, nn.Linear) and layer is not head]


def measured(lm: LanguageModel, sentences: Sequence[TargetSentence], *, seed: int = 0) -> dict[nn.Module, Roots]:
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
    layer = lm.model.base_model.layers[1].get_submodule(name)
    right_DD = measured(lm, unrelated)[layer].right_DD
    assert right_DD is not None
    x_ND = inputs_of(lm, layer, unrelated).double()
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
    few = [
        curvature.roots(PackedModel(lm, row_tokens=64), given, layers, seed=seed, tokens=1)[layers[0]].right_DD
        for given, seed in ((sentences, 0), (sentences, 0), (sentences, 1), (sentences[:32], 0))
    ]
    torch.testing.assert_close(few[0], few[1], atol=0, rtol=0)
    assert not any(torch.allclose(few[0], other, atol=1e-3) for other in few[2:])


def test_layers_that_read_the_same_share_a_root_and_others_do_not(
    lm: LanguageModel, unrelated: list[TargetSentence]
) -> None:
    found = measured(lm, unrelated)
    attention, mlp = (lm.model.base_model.layers[0].get_submodule(name) for name in ("self_attn", "mlp"))
    assert found[attention.q_proj].right_DD is found[attention.k_proj].right_DD is found[attention.v_proj].right_DD
    assert found[mlp.gate_proj].right_DD is found[mlp.up_proj].right_DD
    assert found[mlp.gate_proj].right_DD is not found[attention.q_proj].right_DD


def test_the_seed_decides_and_nothing_is_left_behind(lm: LanguageModel, unrelated: list[TargetSentence]) -> None:
    before = [p.detach().clone() for p in lm.model.parameters()]
    a, b, c = measured(lm, unrelated), measured(lm, unrelated), measured(lm, unrelated, seed=1)
    layer = linear_layers(lm)[0]
    assert torch.equal(a[layer].left_OO, b[layer].left_OO)  # type: ignore[arg-type]
    # All is measured, in another order: sums of float32 differ in their last digits.
    torch.testing.assert_close(a[layer].right_DD, c[layer].right_DD, atol=1e-4, rtol=0)
    assert not torch.equal(a[layer].left_OO, c[layer].left_OO)  # type: ignore[arg-type]
    assert all(p.grad is None for p in lm.model.parameters())
    assert all(torch.equal(p, q) for p, q in zip(lm.model.parameters(), before, strict=True))
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in linear_layers(lm))


def test_a_change_of_equal_size_disturbs_unrelated_text_less_in_these_coordinates(lm: LanguageModel) -> None:
    turns = [(f"Say {word} {n}.", word * n) for word in ("sun", "rain", "wind", "snow", "fog") for n in (1, 2, 3)]
    sentences = target_sentences(lm, None, turns, origin="unrelated")
    layer = lm.model.base_model.layers[0].self_attn.o_proj
    root = measured(lm, sentences)[layer]
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
    block = lm.model.base_model.layers[1]
    up, down, query = block.mlp.up_proj, block.mlp.down_proj, block.self_attn.q_proj
    assert found[up].left_OO is None
    assert found[down].right_DD is None
    for one, other in ((found[up].right_DD, whole[up].right_DD), (found[query].left_OO, whole[query].left_OO)):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)
