"""Packing: several target sentences in one row, no padding to speak of, the template's prefix run once a row.

A row is `[shared prefix][own tokens of sentence 1][own tokens of sentence 2]…`. A token sees the prefix and
what stands before it in its own sentence, and its position counts as if the sentence stood alone: the loss
is that of sentences run one by one (a test holds it).

Axes: B rows, L tokens of a row, N positions that carry loss.
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
    """

    ids_BL: Tensor
    positions_BL: Tensor
    segments_BL: Tensor
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
    """Lay (prompt ids, answer ids) sentences into rows of about `row_tokens`, first-fit, longest first.

    A sentence longer than `row_tokens` gets a row of its own. The last answer token predicts nothing and
    is left out.
    """
    prefix_length = shared_prefix([p for p, _ in sentences])
    prefix = list(sentences[0][0][:prefix_length])
    tails = [[*p[prefix_length:], *a[:-1]] for p, a in sentences]
    capacity = max(row_tokens - prefix_length, max(len(t) for t in tails))
    rows: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(tails)), key=lambda i: (-len(tails[i]), i)):
        row = next((r for r, free in enumerate(room) if free >= len(tails[i])), None)
        if row is None:
            rows.append([])
            room.append(capacity)
            row = len(rows) - 1
        rows[row].append(i)
        room[row] -= len(tails[i])
    length = prefix_length + capacity - min(room)
    ids_BL = torch.full((len(rows), length), pad)
    positions_BL = torch.zeros(len(rows), length, dtype=torch.long)
    segments_BL = torch.full((len(rows), length), -1)
    loss: list[list[int]] = [[] for _ in sentences]
    for b, members in enumerate(rows):
        ids_BL[b, :prefix_length] = torch.tensor(prefix, dtype=torch.long)
        positions_BL[b, :prefix_length] = torch.arange(prefix_length)
        segments_BL[b, :prefix_length] = 0
        at = prefix_length
        for segment, i in enumerate(members, start=1):
            here = slice(at, at + len(tails[i]))
            ids_BL[b, here] = torch.tensor(tails[i])
            positions_BL[b, here] = torch.arange(prefix_length, prefix_length + len(tails[i]))
            segments_BL[b, here] = segment
            # answer[0] is predicted by the last prompt token
            first = at + len(sentences[i][0]) - prefix_length - 1
            loss[i] = list(range(b * length + first, b * length + first + len(sentences[i][1])))
            at += len(tails[i])
    loss_N = torch.tensor([n for positions in loss for n in positions])
    return PackedRows(ids_BL, positions_BL, segments_BL, loss_N)
