"""Target sentences through a model, packed into rows; what its lowest layers make of them is computed once.

Layers that do not learn, below the first that does, give the same states in every pass. They are kept for each
sentence (a token's in the model's width and number format; on the GPU where there is room) and handed to the layers
above from then on.

Axes: B rows, L tokens of a row, S tokens of all sentences, T of one sentence, N positions that carry loss, D width.
"""

import logging
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from models.contexts import shared_prefix
from models.model import LanguageModel
from models.packing import PackedRows, pack
from models.teacher import TargetSentence

log = logging.getLogger("selfparam")

MOST = 4 * 2**30  # bytes of kept states; what would need more is computed in each pass
TOGETHER = 64  # sentences whose states are computed at once
AT_ONCE = {"cpu": 1024, "cuda": 4096}  # tokens of a portion, where it is not said (docs/LOG.md; on a GPU not measured)


def _room(device: torch.device) -> int:
    """Bytes of kept states that may stay on the device: an eighth of a GPU's memory, whoever else uses it."""
    return torch.cuda.get_device_properties(device).total_memory // 8 if device.type == "cuda" else MOST


class _Enough(Exception):
    """Raised where a forward pass has come as far as it was wanted."""


class PackedModel:
    """A model that takes target sentences, in rows of some `row_tokens`; `at_once` tokens at a time (`portions`).

    `below` are its lowest layers if they and the embeddings stay as they are as long as this object lives: what they
    make of the sentences that were given to `keep` is not computed again, where a batch holds no others.
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        row_tokens: int,
        below: Sequence[nn.Module] = (),
        at_once: int | None = None,
    ) -> None:
        self.lm = lm
        self._row_tokens = row_tokens
        self._at_once = at_once or AT_ONCE.get(lm.device.type, AT_ONCE["cpu"])
        self._below = below
        self._kept: dict[tuple[tuple[int, ...], tuple[int, ...]], Tensor] = {}  # [T, D] by prompt and answer

    def pack(self, sentences: Sequence[TargetSentence]) -> PackedRows:
        """The sentences' rows, on the model's device."""
        texts = [(s.prompt, s.answer) for s in sentences]
        return pack(texts, row_tokens=self._row_tokens, pad=self.lm.tokenizer.pad_token_id).to(self.lm.device)

    def portions(self, sentences: Sequence[TargetSentence]) -> list[Sequence[TargetSentence]]:
        """The sentences in their order, in as few portions as hold `at_once` tokens of their own each, give or take a
        sentence: all of much the same size."""
        prefix = shared_prefix([s.prompt for s in sentences])
        own = [len(s.prompt) + len(s.answer) - prefix for s in sentences]
        count = -(-sum(own) // self._at_once)
        before = [0, *accumulate(own)]  # tokens
        cuts = [bisect_left(before, sum(own) * i / count) for i in range(count + 1)]
        return [sentences[a:b] for a, b in pairwise(cuts) if a < b]

    def hidden_ND(self, sentences: Sequence[TargetSentence], packed: PackedRows | None = None) -> Tensor:
        """The last hidden states that predict the sentences' answers, token by token; `packed` are their rows."""
        packed = packed or self.pack(sentences)
        kept = [self._kept.get((s.prompt, s.answer)) for s in sentences]
        known = [states_TD for states_TD in kept if states_TD is not None]
        below: AbstractContextManager[None] = nullcontext()
        if len(known) == len(sentences):
            below = _handing_on(self._below, torch.cat(known).to(self.lm.device)[packed.source_BL])
        with below:
            return self._run(packed).flatten(0, 1)[packed.loss_N]

    @torch.no_grad()
    def keep(self, sentences: Sequence[TargetSentence]) -> None:
        """Compute what the lowest layers make of those sentences for which it is not known yet, and keep it.

        The same sentences in the same order give the same states. Nothing is kept beyond `MOST` bytes.
        """
        if not self._below:
            return
        new = {(s.prompt, s.answer): s for s in sentences if (s.prompt, s.answer) not in self._kept}
        tokens = sum(len(prompt) + len(answer) for prompt, answer in (*self._kept, *new))
        size = tokens * self.lm.output_matrix_VD.shape[1] * self.lm.model.dtype.itemsize
        if size > MOST:
            log.info("the lowest layers' states of %d tokens are too many to be kept", tokens)
            return
        home = self.lm.device if size <= _room(self.lm.device) else torch.device("cpu")
        waiting = list(new.values())
        for start in range(0, len(waiting), TOGETHER):
            group = waiting[start : start + TOGETHER]
            packed = self.pack(group)
            states_BLD = self._below_BLD(packed)
            if not isinstance(states_BLD, Tensor):
                return  # these layers hand on more than states
            states_SD = states_BLD.flatten(0, 1)[packed.token_S].to(home)
            lengths = [len(s.prompt) + len(s.answer) - 1 for s in group]
            for sentence, states_TD in zip(group, states_SD.split(lengths), strict=True):
                self._kept[sentence.prompt, sentence.answer] = states_TD

    def _below_BLD(self, packed: PackedRows) -> Any:
        """What the last of the lowest layers hands on: as a rule states, [B, L, D]."""
        found: list[Any] = []

        def take(_layer: nn.Module, _arguments: Any, handed_on: Any) -> None:
            found.append(handed_on)
            raise _Enough

        handle = self._below[-1].register_forward_hook(take)
        try:
            self._run(packed)
        except _Enough:
            pass
        finally:
            handle.remove()
        return found[0]

    def _run(self, packed: PackedRows) -> Tensor:
        return self.lm.hidden_BLD(
            input_ids=packed.ids_BL,
            position_ids=packed.positions_BL,
            attention_mask=packed.attention_mask(self.lm.model.dtype),
            use_cache=False,
        )


@contextmanager
def _handing_on(layers: Sequence[nn.Module], states_BLD: Tensor) -> Iterator[None]:
    """While inside, `layers` compute nothing: they hand on `states_BLD`."""
    before = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        vars(layer)["forward"] = lambda *_, **__: states_BLD
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                del vars(layer)["forward"]
            else:
                vars(layer)["forward"] = forward
