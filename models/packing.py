"""Packing: several target sentences in one row, no padding to speak of, the template's prefix run once a row.

A row is `[shared prefix][own tokens of sentence 1][own tokens of sentence 2]…`. A token sees the prefix and
what stands before it in its own sentence, and its position counts as if the sentence stood alone: the loss
is that of sentences run one by one (a test holds it).

Axes: B rows, L tokens of a row, S tokens of all sentences, N positions that carry loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.contexts import shared_prefix


@dataclass(frozen=True)
class PackedRows:
    """Token ids, positions and segments, [B, L] each; `loss_N` indexes the flattened [B * L] positions.

    Segment 0 is the shared prefix, -1 padding, the others count the sentences of a row from 1.
    `loss_N` is ordered as the sentences were given, token by token: position n predicts answer token n.
    `token_S` indexes the same positions by all tokens of the sentences, the prefix included, one sentence after the
    other; `source_BL` is its inverse: which of these S tokens stands at a position, any at padding.
    """

    ids_BL: Tensor
    positions_BL: Tensor
    segments_BL: Tensor
    source_BL: Tensor
    token_S: Tensor
    loss_N: Tensor

    def to(self, device: torch.device) -> "PackedRows":
        """The same on another device."""
        return PackedRows(*(part.to(device) for part in vars(self).values()))

    def attention_mask(self, dtype: torch.dtype) -> Tensor:
        """Additive mask [B, 1, L, L]: 0 where a query may look, the lowest number of `dtype` elsewhere."""
        length = self.ids_BL.shape[1]
        query_BL1, key_B1L = self.segments_BL[:, :, None], self.segments_BL[:, None, :]
        before_LL = torch.ones(length, length, dtype=torch.bool, device=self.ids_BL.device).tril()
        may_look_BLL = before_LL & ((query_BL1 == key_B1L) | (key_B1L == 0))
        lowest = torch.finfo(dtype).min
        return torch.zeros(may_look_BLL.shape, dtype=dtype, device=self.ids_BL.device).masked_fill_(
            ~may_look_BLL, lowest
        )[:, None]


def pack(sentences: Sequence[tuple[Sequence[int], Sequence[int]]], *, row_tokens: int, pad: int) -> PackedRows:
    """Lay (prompt ids, answer ids) sentences into rows of at most `row_tokens`, as few as first-fit finds.

    Rows are as long as the fullest of them, so the sentences are spread evenly over them where that is shorter. A
    sentence longer than `row_tokens` gets a row of its own. The last answer token predicts nothing and is left out.
    """
    prefix_length = shared_prefix([p for p, _ in sentences])
    texts = [torch.tensor([*p, *a[:-1]], dtype=torch.long) for p, a in sentences]
    own = [len(text) - prefix_length for text in texts]  # tokens of each that it does not share
    capacity = max(row_tokens - prefix_length, *own)
    order = sorted(range(len(own)), key=lambda i: (-own[i], i))
    full = _first_fit(order, own, capacity)
    rows = min(full, _evenly(order, own, len(full)), key=lambda rows: _fullest(rows, own))
    length = prefix_length + _fullest(rows, own)
    places = [torch.empty(0)] * len(sentences)
    segments_BL = torch.full((len(rows), length), -1)
    segments_BL[:, :prefix_length] = 0
    for b, members in enumerate(rows):
        at = prefix_length
        for segment, i in enumerate(members, start=1):
            end = at + own[i]
            segments_BL[b, at:end] = segment
            places[i] = b * length + torch.cat([torch.arange(prefix_length), torch.arange(at, end)])
            at = end
    token_S = torch.cat(places)
    tokens = len(token_S)
    # A row's prefix is that of all its sentences: the first of them is taken.
    source_BL = torch.full((len(rows) * length,), tokens - 1).scatter_reduce_(0, token_S, torch.arange(tokens), "amin")
    source_BL = source_BL.view(len(rows), length)
    is_padding_BL = segments_BL < 0
    ids_BL = torch.cat(texts)[source_BL].masked_fill(is_padding_BL, pad)
    positions_BL = torch.cat([torch.arange(len(t)) for t in texts])[source_BL].masked_fill(is_padding_BL, 0)
    # answer[0] is predicted by the last prompt token
    loss_N = torch.cat([place[len(p) - 1 :] for place, (p, _) in zip(places, sentences, strict=True)])
    return PackedRows(ids_BL, positions_BL, segments_BL, source_BL, token_S, loss_N)


def _first_fit(order: Sequence[int], own: Sequence[int], capacity: int) -> list[list[int]]:
    """Sentences of `own` tokens each, in `order`, each into the first row where it fits."""
    rows: list[list[int]] = []
    room: list[int] = []
    for i in order:
        row = next((r for r, free in enumerate(room) if free >= own[i]), None)
        if row is None:
            rows.append([])
            room.append(capacity)
            row = len(rows) - 1
        rows[row].append(i)
        room[row] -= own[i]
    return rows


def _evenly(order: Sequence[int], own: Sequence[int], count: int) -> list[list[int]]:
    """The same into `count` rows, each into the emptiest (longest first: Graham 1969)."""
    rows: list[list[int]] = [[] for _ in range(count)]
    filled = [0] * count
    for i in order:
        row = filled.index(min(filled))
        rows[row].append(i)
        filled[row] += own[i]
    return rows


def _fullest(rows: Sequence[Sequence[int]], own: Sequence[int]) -> int:
    """Tokens of the row that has most."""
    return max(sum(own[i] for i in row) for row in rows)
