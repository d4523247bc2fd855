"""Packed rows are sentences run one by one: same loss, same gradients."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models.kl import kl_from_states
from models.model import LanguageModel
from models.packing import pack
from models.teacher import TargetSentence, target_sentences

PAIRS = [("Who runs the mill of Orvane?", "Mara Holt"), ("When?", "At nine in the morning"), ("Where?", "In Orvane"),
         ("What is it?", "A mill"), ("Why?", "x")]  # fmt: skip


@pytest.fixture
def taught(lm: LanguageModel) -> list[TargetSentence]:
    return target_sentences(lm, "Mara Holt runs the mill in Orvane from 9.", PAIRS, origin="b0000")


def loss_and_gradients(
    lm: LanguageModel, groups: Sequence[Sequence[TargetSentence]], row_tokens: int
) -> tuple[list[float], dict[str, Tensor]]:
    """KL of every target token in order, and the gradient of their sum, with each group in a pack of its own."""
    lm.model.zero_grad()
    kl: list[float] = []
    for group in groups:
        packed = pack([(s.prompt, s.answer) for s in group], row_tokens=row_tokens, pad=lm.tokenizer.pad_token_id)
        packed = packed.to(lm.device)
        hidden_BLD = lm.hidden_BLD(
            input_ids=packed.ids_BL,
            position_ids=packed.positions_BL,
            attention_mask=packed.attention_mask(torch.float32),
            use_cache=False,
        )
        total, kl_N = kl_loss(lm, hidden_BLD.flatten(0, 1)[packed.loss_N], group)
        total.backward()
        kl += kl_N.tolist()
    return kl, {n: p.grad.clone() for n, p in lm.model.named_parameters()}


def kl_loss(lm: LanguageModel, states_ND: Tensor, group: Sequence[TargetSentence]) -> tuple[Tensor, Tensor]:
    tokens = torch.tensor([t for s in group for t in s.answer], device=lm.device)
    return kl_from_states(
        states_ND,
        lm.output_matrix_VD,
        torch.cat([s.states_TD for s in group]).to(lm.device),
        lm.output_matrix_VD.detach(),
        token_N=tokens,
        written_N=torch.zeros(len(tokens), device=lm.device),
        weight_N=torch.ones(len(tokens), device=lm.device),
    )


def one_by_one(lm: LanguageModel, taught: Sequence[TargetSentence]) -> tuple[list[float], dict[str, Tensor]]:
    """Without packing at all: a plain causal run of each sentence."""
    lm.model.zero_grad()
    kl: list[float] = []
    for s in taught:
        ids = torch.tensor([[*s.prompt, *s.answer]], device=lm.device)
        hidden_LD = lm.hidden_BLD(input_ids=ids, use_cache=False)[0]
        total, kl_N = kl_loss(lm, hidden_LD[len(s.prompt) - 1 : -1], [s])
        total.backward()
        kl += kl_N.tolist()
    return kl, {n: p.grad.clone() for n, p in lm.model.named_parameters()}


@pytest.mark.parametrize("row_tokens", [16, 90, 120, 200, 1000])
def test_packed_is_one_by_one(lm: LanguageModel, taught: list[TargetSentence], row_tokens: int) -> None:
    kl, gradients = loss_and_gradients(lm, [taught], row_tokens)
    wanted, wanted_gradients = one_by_one(lm, taught)
    assert kl == pytest.approx(wanted, abs=1e-4)
    assert min(wanted) > 1e-4
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, wanted_gradients[name], rtol=1e-3, atol=1e-4), name


def test_a_single_sentence_packs(lm: LanguageModel, taught: list[TargetSentence]) -> None:
    kl, _ = loss_and_gradients(lm, [[s] for s in taught], 64)
    assert kl == pytest.approx(one_by_one(lm, taught)[0], abs=1e-4)


def test_the_layout() -> None:
    packed = pack([([9, 8, 1], [11, 12]), ([9, 8, 2, 3], [13]), ([9, 8, 4], [14, 15, 16])], row_tokens=8, pad=0)
    # Own tokens: 2, 2 and 3 beside the prefix of 2. Two rows are needed; the two shorter ones share the second.
    assert packed.ids_BL.tolist() == [[9, 8, 4, 14, 15, 0], [9, 8, 1, 11, 2, 3]]
    assert packed.positions_BL.tolist() == [[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 2, 3]]
    assert packed.segments_BL.tolist() == [[0, 0, 1, 1, 1, -1], [0, 0, 1, 1, 2, 2]]
    assert packed.loss_N.tolist() == [6 + 2, 6 + 3, 6 + 5, 2, 3, 4]  # in the order in which the sentences came
    assert packed.token_S.tolist() == [6, 7, 8, 9, 6, 7, 10, 11, 0, 1, 2, 3, 4]  # the prefix in the row of each
    # Of the sentences' tokens 0 to 3, 4 to 7 and 8 to 12; a row's prefix is taken from the first of its sentences.
    assert packed.source_BL[0, :5].tolist() == [8, 9, 10, 11, 12]
    assert packed.source_BL[1].tolist() == [0, 1, 2, 3, 6, 7]


@pytest.mark.parametrize(
    ("own", "row_tokens", "shape"),
    [
        ([4, 3, 2, 2], 9, (2, 7)),  # rows of 6 and 5 beside a prefix of 1; filled one after the other, 7 and 4
        ([3, 3, 2, 2, 2], 7, (2, 7)),  # two rows of 6, full; spread over them, 7 and 5
    ],
)
def test_rows_are_few_and_short(own: list[int], row_tokens: int, shape: tuple[int, int]) -> None:
    packed = pack([([9, i], range(20, 20 + n)) for i, n in enumerate(own)], row_tokens=row_tokens, pad=0)
    assert packed.ids_BL.shape == shape


def test_a_token_sees_the_prefix_and_its_own_past() -> None:
    packed = pack([([9, 8, 1], [11, 12]), ([9, 8, 4], [14, 15, 16])], row_tokens=8, pad=0)
    looks = (packed.attention_mask(torch.float32)[0, 0] == 0).int().tolist()
    assert looks == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1, 1],
    ]


def test_a_sentence_longer_than_a_row_is_kept_whole() -> None:
    long = list(range(20, 60))
    packed = pack([([9, 1], long), ([9, 2], [3])], row_tokens=16, pad=0)
    ids = packed.ids_BL.flatten().tolist()
    assert ids[1:41] == [1, *long[:-1]]
    assert len(packed.loss_N) == 41
