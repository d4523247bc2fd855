"""What the lowest layers made of a sentence is kept: the layers above notice nothing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import packed_model
from models.contexts import shared_prefix
from models.model import LanguageModel
from models.packed_model import PackedModel
from models.teacher import TargetSentence


@pytest.fixture
def below(lm: LanguageModel) -> nn.ModuleList:
    return lm.layers[:1].requires_grad_(False)


@pytest.fixture
def kept(lm: LanguageModel, below: nn.ModuleList, sentences: list[TargetSentence]) -> PackedModel:
    lm.model.get_input_embeddings().requires_grad_(False)
    packed = PackedModel(lm, row_tokens=64, below=list(below))
    packed.keep(sentences)
    return packed


def states_and_gradients(packed: PackedModel, some: Sequence[TargetSentence]) -> tuple[Tensor, dict[str, Tensor]]:
    packed.lm.model.zero_grad()
    hidden_ND = packed.hidden_ND(some)
    hidden_ND.square().sum().backward()
    gradients = {n: p.grad.clone() for n, p in packed.lm.model.named_parameters() if p.grad is not None}
    return hidden_ND.detach(), gradients


def calls(layer: nn.Module) -> list[Any]:
    """Grows by one each time that `layer` computes."""
    found: list[Any] = []
    layer.get_submodule("mlp").register_forward_pre_hook(lambda *_: found.append(None))
    return found


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0], [1]])
def test_states_and_gradients_are_those_of_the_whole_model(
    lm: LanguageModel, kept: PackedModel, below: nn.ModuleList, sentences: list[TargetSentence], order: list[int]
) -> None:
    some = [sentences[i] for i in order]
    whole_ND, whole = states_and_gradients(PackedModel(lm, row_tokens=64), some)
    computed = calls(below[0])
    ours_ND, ours = states_and_gradients(kept, some)
    assert not computed
    torch.testing.assert_close(ours_ND, whole_ND, atol=1e-4, rtol=1e-4)
    assert ours.keys() == whole.keys()
    assert not any(name.startswith("model.layers.0.") for name in ours)
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, whole[name], atol=1e-3, rtol=1e-3)


def test_the_layers_are_as_they_were_afterwards(
    kept: PackedModel, below: nn.ModuleList, sentences: list[TargetSentence]
) -> None:
    own = below[0].forward
    below[0].forward = own  # as a library does that changes one model and not its class
    kept.hidden_ND(sentences)
    assert vars(below[0])["forward"] is own
    del below[0].forward
    kept.hidden_ND(sentences)
    assert "forward" not in vars(below[0])
    assert not below[0]._forward_hooks


def test_what_is_not_kept_is_computed(
    lm: LanguageModel, kept: PackedModel, below: nn.ModuleList, sentences: list[TargetSentence],
    unrelated: list[TargetSentence],
) -> None:  # fmt: skip
    both = [sentences[0], unrelated[0]]
    computed = calls(below[0])
    hidden_ND = kept.hidden_ND(both)
    assert len(computed) == 1
    torch.testing.assert_close(hidden_ND, PackedModel(lm, row_tokens=64).hidden_ND(both))
    kept.keep(both)
    assert len(computed) == 3  # the whole model above, and what was not kept yet
    kept.keep(both)
    kept.hidden_ND(both)
    assert len(computed) == 3


def test_nothing_is_kept_beyond_the_limit(
    lm: LanguageModel, below: nn.ModuleList, sentences: list[TargetSentence], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_model, "MOST", 100)
    packed = PackedModel(lm, row_tokens=64, below=list(below))
    computed = calls(below[0])
    packed.keep(sentences)
    assert not computed
    packed.hidden_ND(sentences)
    assert len(computed) == 1


def test_layers_that_hand_on_more_than_states_are_computed(
    lm: LanguageModel, below: nn.ModuleList, sentences: list[TargetSentence], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = PackedModel(lm, row_tokens=64, below=list(below))
    monkeypatch.setattr(packed, "_below_BLD", lambda _: (torch.zeros(1), None))
    packed.keep(sentences)
    torch.testing.assert_close(packed.hidden_ND(sentences), PackedModel(lm, row_tokens=64).hidden_ND(sentences))


@pytest.mark.parametrize("at_once", [1, 16, 40, 100_000])
def test_portions_are_all_sentences_in_their_order_and_of_much_the_same_size(
    lm: LanguageModel, sentences: list[TargetSentence], at_once: int
) -> None:
    many = [replace(s, experience=str(i)) for i, s in enumerate(sentences * 4)]
    portions = PackedModel(lm, row_tokens=64, at_once=at_once).portions(many)
    assert [s for portion in portions for s in portion] == many
    prefix = shared_prefix([s.prompt for s in many])
    own = {s.experience: len(s.prompt) + len(s.answer) - prefix for s in many}
    sizes = [sum(own[s.experience] for s in portion) for portion in portions]
    assert max(sizes) <= at_once + max(own.values())
    assert max(sizes) - min(sizes) <= 2 * max(own.values())
    assert (len(portions) == 1) == (sum(own.values()) <= at_once)
    assert len(portions) <= -(-sum(own.values()) // at_once)
