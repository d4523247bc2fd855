"""Attention for many short sequences that begin alike: keys and values of what they share are read, never copied.

Target sentences and answers have some dozens of tokens, and all that belong to one context begin with it. The usual
way is to copy the context's key-value cache for every row; here the rows' queries meet it in one matrix product.
Query heads that share a key head (grouped-query attention) go through one product too, with no copied keys.

Axes: B rows, L queries of a row, H query heads, K key heads, M = H / K * L queries that meet one key head, S keys of a
row, P keys of the shared prefix, E width of a head.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicLayer
from transformers.masking_utils import eager_mask

from models import machine

NAME = "grouped"
SCORES = 2**25  # of a head that are kept at once: 128 prompts of 512 tokens, 8 of 2048
LONG = 1024  # queries of a row from which on scores are too many to be kept


@dataclass(frozen=True)
class Prefix:
    """Keys and values, [K, P, E] a layer, of `length` tokens that every row of a batch begins with."""

    length: int
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


def grouped_attention(
    module: nn.Module,
    query_BHLE: Tensor,
    key_BKSE: Tensor,
    value_BKSE: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    prefix: Prefix | None = None,
    **unused: Any,  # what other attention functions of transformers take
) -> tuple[Tensor, None]:
    """Attend to the row's own keys under `attention_mask` (additive, [B, 1, L, S]) and to all of `prefix`.

    Returns ([B, L, H, E], None), as transformers' attention functions do. Differentiable but for the prefix.
    """
    if unused.get("softcap") or unused.get("s_aux") is not None:
        raise ValueError(f"{type(module).__name__} caps its attention scores, which is not supported")
    rows, heads, queries, width = query_BHLE.shape
    groups = key_BKSE.shape[1]
    if queries > LONG or (prefix is None and queries > 1 and fused_is_faster(query_BHLE.device, query_BHLE.dtype)):
        if prefix is not None:
            key_BKSE, value_BKSE, attention_mask = _with_prefix(
                prefix, module.layer_idx, key_BKSE, value_BKSE, attention_mask
            )
        out_BHLE = _fused(query_BHLE, key_BKSE, value_BKSE, attention_mask, scaling)
        return out_BHLE.transpose(1, 2).contiguous(), None
    query_BKME = (query_BHLE * scaling).reshape(rows, groups, -1, width)
    scores = query_BKME @ key_BKSE.mT
    if attention_mask is not None:
        split = scores.view(rows, groups, heads // groups, queries, -1)
        scores = (split + attention_mask[:, :, None]).view_as(scores)
    if prefix is None:
        out_BKME = scores.softmax(-1) @ value_BKSE
    else:
        keys_KPE, values_KPE = prefix.keys[module.layer_idx], prefix.values[module.layer_idx]  # type: ignore[index]
        flat_KNE = query_BKME.transpose(0, 1).reshape(groups, -1, width)  # N = B * M
        to_prefix = (flat_KNE @ keys_KPE.mT).view(groups, rows, -1, prefix.length).transpose(0, 1)
        weights = torch.cat([to_prefix, scores], dim=-1).softmax(-1)
        of_prefix, own = weights.split([prefix.length, scores.shape[-1]], dim=-1)
        from_prefix_KNE = of_prefix.transpose(0, 1).reshape(groups, -1, prefix.length) @ values_KPE
        out_BKME = own @ value_BKSE + from_prefix_KNE.view(groups, rows, -1, width).transpose(0, 1)
    return out_BKME.reshape(rows, heads, queries, width).transpose(1, 2).contiguous(), None


def _with_prefix(
    prefix: Prefix, layer: Any, key_BKSE: Tensor, value_BKSE: Tensor, attention_mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys and values with the prefix copied in front of each row's own: little beside the scores of long rows."""
    keys, values = (
        torch.cat([of_prefix_KPE.expand(len(own_BKSE), -1, -1, -1), own_BKSE], dim=2)
        for of_prefix_KPE, own_BKSE in ((prefix.keys[layer], key_BKSE), (prefix.values[layer], value_BKSE))
    )
    mask = None if attention_mask is None else nn.functional.pad(attention_mask, (prefix.length, 0))
    return keys, values, mask


def _fused(
    query_BHLE: Tensor, key_BKSE: Tensor, value_BKSE: Tensor, attention_mask: Tensor | None, scaling: float
) -> Tensor:
    """torch's own kernels, which keep no scores."""
    if query_BHLE.device.type == "cuda":
        return _memory_efficient(query_BHLE, key_BKSE, value_BKSE, attention_mask, scaling)
    return scaled_dot_product_attention(
        query_BHLE, key_BKSE, value_BKSE, attention_mask, scale=scaling, enable_gqa=True
    )


def _memory_efficient(
    query_BHLE: Tensor, key_BKSE: Tensor, value_BKSE: Tensor, attention_mask: Tensor | None, scaling: float
) -> Tensor:
    """The kernel that every GPU has for additive masks (Rabe and Staats 2021), with the queries of all heads that share
    a key head in one row: it knows no shared key heads, and torch would keep all scores instead.

    cuDNN's, which torch prefers on some GPUs, plans anew for every shape (0.1 to 0.3 s on an H100), and packed rows
    have another length in nearly every step.
    """
    rows, heads, queries, width = query_BHLE.shape
    groups = key_BKSE.shape[1]
    if attention_mask is not None:
        attention_mask = attention_mask.repeat(1, 1, heads // groups, 1)
    query_BKME = query_BHLE.reshape(rows, groups, -1, width)
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        out_BKME = scaled_dot_product_attention(query_BKME, key_BKSE, value_BKSE, attention_mask, scale=scaling)
    return out_BKME.reshape(rows, heads, queries, width)


_measured: dict[tuple[str, torch.dtype], bool] = {}


def fused_is_faster(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether, on rows as training packs them, torch's fused kernel takes less than 0.8 of the time of plain products.

    Measured once a machine (some 100 ms; `models.machine`), forward and backward. Plain products win in bfloat16 on
    processors, the kernel in float32 (measured: docs/LOG.md). On a GPU the kernel is taken unmeasured: it keeps no
    scores, and a GPU's first calls, which load kernels, would decide.
    """
    if device.type != "cpu":
        return True
    kind = (device.type, dtype)
    if kind not in _measured:
        _measured[kind] = machine.chosen(f"fused attention in {dtype} is faster", device, lambda: _gains(device, dtype))
    return _measured[kind]


def _gains(device: torch.device, dtype: torch.dtype) -> bool:
    _measured[device.type, dtype] = False  # what is measured takes the plain way first
    plain = _seconds(device, dtype)
    _measured[device.type, dtype] = True
    return _seconds(device, dtype) < 0.8 * plain


@torch.inference_mode(False)
@torch.enable_grad()
def _seconds(device: torch.device, dtype: torch.dtype, tries: int = 4) -> float:
    rows, heads, groups, length, width = 4, 8, 4, 256, 64
    query_BHLE, key_BKSE, value_BKSE = (
        torch.ones(rows, count, length, width, device=device, dtype=dtype, requires_grad=True)
        for count in (heads, groups, groups)
    )
    mask = torch.zeros(rows, 1, length, length, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(tries):
        started = time.perf_counter()
        out, _ = grouped_attention(nn.Module(), query_BHLE, key_BKSE, value_BKSE, mask, scaling=0.1)
        (gradient,) = torch.autograd.grad(out.sum(), query_BHLE)
        gradient[0, 0, 0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - started)
    return best


def fresh_cache() -> Cache:
    """An empty key-value cache for one batch."""
    return Cache(layer_class_to_replicate=RoomyLayer)


class RoomyLayer(DynamicLayer):
    """One layer's cache with free room behind the last token, so that a new token moves none of the old ones."""

    ROOM = 32  # tokens

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values, [B, K, L, E] each; returns all, as views."""
        old = self.get_seq_length()
        whole = old + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._buffers = (_roomy(key_states, 0, whole), _roomy(value_states, 0, whole))
        elif self._buffers[0].shape[0] != len(key_states) or self._buffers[0].shape[-2] < whole:
            keys, values = self.states()  # no room left, or rows have left the batch
            self._buffers = (_roomy(keys, old, whole), _roomy(values, old, whole))
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., old:whole, :] = new
        self.keys, self.values = (buffer[..., :whole, :] for buffer in self._buffers)
        return self.keys, self.values

    def states(self) -> tuple[Tensor, Tensor]:
        """Keys and values so far, [B, K, S, E] each; there must be some."""
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values


def _roomy(states_BKSE: Tensor, old: int, whole: int) -> Tensor:
    """Memory for `whole` tokens and some more that holds the first `old` of `states_BKSE`."""
    buffer = states_BKSE.new_empty(*states_BKSE.shape[:2], whole + RoomyLayer.ROOM, states_BKSE.shape[-1])
    buffer[..., :old, :] = states_BKSE[..., :old, :]
    return buffer


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, eager_mask)
