"""What an answer, a batch and a stream are worth. Pure numbers: no model, no file.

Question answering as SQuAD defines it (Rajpurkar et al. 2016): answers are normalised, and the best gold
answer counts. Streams as continual learning defines them (Lopez-Paz and Ranzato 2017, Chaudhry et al. 2018).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import torch

_ARTICLES = re.compile(r"\b(a|an|the)\b")
# Thai, Lao, Burmese, Khmer, Japanese and Chinese are written without spaces between words.
_UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])"
)


class _NoPunctuation(dict[int, int | None]):
    """For `str.translate`: no punctuation, no symbols and no invisible marks of any script. Of ASCII those of
    `string.punctuation`."""

    def __missing__(self, code: int) -> int | None:
        category = unicodedata.category(chr(code))
        self[code] = None if category[0] in "PS" or category == "Cf" else code
        return self[code]


_PUNCTUATION = _NoPunctuation()


def normalise(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces (SQuAD's evaluation script); of scripts without spaces
    each character is a word (as in MLQA's)."""
    return " ".join(_ARTICLES.sub(" ", _bare(text).lower()).split())


def words_of(text: str) -> frozenset[str]:
    """The different words of a text, normalised."""
    return frozenset(normalise(text).split())


def _bare(text: str) -> str:
    """Without punctuation; the case and the articles stay."""
    return " ".join(_UNSPACED.sub(r" \1 ", unicodedata.normalize("NFC", text).translate(_PUNCTUATION)).split())


def _readings(answer: str, gold: str) -> tuple[str, str]:
    """Both normalised; a gold answer that is nothing but an article (platform A) as it is written."""
    if wanted := normalise(gold):
        return normalise(answer), wanted
    return _bare(answer), _bare(gold)


def alike(words: frozenset[str], others: frozenset[str], share: float) -> bool:
    """Whether two sets of words have at least `share` of all their words in common (Jaccard)."""
    return len(words & others) >= share * len(words | others)


def exact(answer: str, golds: Sequence[str]) -> float:
    """1 if the normalised answer equals a normalised gold answer, else 0."""
    return float(any(said == wanted for said, wanted in (_readings(answer, gold) for gold in golds)))


def contains(answer: str, golds: Sequence[str]) -> float:
    """1 if a gold answer's words stand in the answer, in order and next to each other, else 0."""
    readings = (_readings(answer, gold) for gold in golds)
    return float(any(f" {wanted} " in f" {said} " for said, wanted in readings if wanted))


def f1(answer: str, golds: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over words, in [0, 1]; the best gold answer counts."""
    return max(_f1(said.split(), wanted.split()) for said, wanted in (_readings(answer, gold) for gold in golds))


def _f1(answer: list[str], gold: list[str]) -> float:
    shared = sum((Counter(answer) & Counter(gold)).values())
    if not shared:
        return float(answer == gold)
    precision, recall = shared / len(answer), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


LEAST_GAP = 0.1  # nats per token


def recovered_gap(open_book: float, before: float, after: float) -> float | None:
    """(after - before) / (open_book - before): 1 where the weights know what the prompt would tell.

    Of log-likelihoods in nats per token. None where the open book is better than before by less than `LEAST_GAP`: a
    share of next to nothing tells nothing, and may be of any size and sign.
    """
    gap = open_book - before
    return (after - before) / gap if gap >= LEAST_GAP else None


Matrix = Mapping[tuple[str, str], float]  # (version, batch) -> how well that version knows that batch


def backward_transfer(matrix: Matrix, order: Sequence[str]) -> float | None:
    """Mean over earlier batches of (now - when it was learnt). Negative where learning costs what was known.

    BWT of Lopez-Paz and Ranzato 2017. None for a first batch.
    """
    now = order[-1]
    changes = [matrix[now, batch] - matrix[batch, batch] for batch in order[:-1]]
    return sum(changes) / len(changes) if changes else None


def forgetting(matrix: Matrix, order: Sequence[str]) -> float | None:
    """Mean over earlier batches of (best so far, before now - now). Positive where something was lost.

    Chaudhry et al. 2018. None for a first batch.
    """
    now = order[-1]
    losses = [
        max(matrix[version, batch] for version in order[i:-1]) - matrix[now, batch]
        for i, batch in enumerate(order[:-1])
    ]
    return sum(losses) / len(losses) if losses else None


def bootstrap_interval(
    values: Sequence[float],
    groups: Sequence[str],
    *,
    seed: int,
    over: Sequence[float] | None = None,
    draws: int = 2000,
    level: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean, resampling whole `groups` (experiences), not single values.

    For a paired comparison pass differences. With `over` it is that of the ratio `sum(values) / sum(over)`.
    Probes of one experience rise and fall together, hence groups. None for less than two of them, whose spread nobody
    knows; and where `sum(over)` of a draw is not above zero: a loss over a negative gap would count as a gain, and
    without such draws the interval would be that of the lucky ones.
    """
    names = sorted(set(groups))
    if len(names) < 2:
        return None
    sums_G, counts_G = (
        torch.tensor([totals[name] for name in names])
        for totals in (_totals(values, groups), _totals(over or [1.0] * len(values), groups))
    )
    picks_RG = torch.randint(len(names), (draws, len(names)), generator=torch.Generator().manual_seed(seed))
    totals_R = counts_G[picks_RG].sum(-1)
    if not (totals_R > 0).all():
        return None
    means_R = sums_G[picks_RG].sum(-1) / totals_R
    tail = (1 - level) / 2
    low, high = torch.quantile(means_R.double(), torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def _totals(values: Sequence[float], groups: Sequence[str]) -> dict[str, float]:
    """The sum of the values of each group."""
    totals = dict.fromkeys(groups, 0.0)
    for value, group in zip(values, groups, strict=True):
        totals[group] += value
    return totals
