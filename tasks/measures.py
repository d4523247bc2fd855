"""What is measured of every row of a batch before it is judged: lengths, copies, words, personal data.

Plain functions of the rows, the history and the tokenizer. Knows no expectation and no threshold.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from models.records import Experience, Rejected
from tasks import personal

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """A line that is an experience."""

    line: int
    raw: str
    experience: Experience


@dataclass(frozen=True)
class Ruler:
    """What lengths are measured with and against: `window` tokens for a context, `room` for a question and answer."""

    tokenizer: Tokenizer
    window: int
    room: int

    def tokens_where_needed(self, texts: list[str], limit: int) -> list[int | None]:
        """The tokens of the texts that may be longer than `limit`; a token has a byte or more, and twice that is
        allowed for tokenizers that rewrite a text before they cut it."""
        long = [index for index, text in enumerate(texts) if 2 * len(text.encode()) > limit]
        found: list[int | None] = [None] * len(texts)
        encodings = self.tokenizer.encode_batch_fast([texts[index] for index in long], add_special_tokens=False)
        for index, encoding in zip(long, encodings, strict=True):
            found[index] = len(encoding)
        return found


def measured(
    rows: list[Row], rejected: list[Rejected], history: Mapping[str, str], ruler: Ruler | None
) -> "pd.DataFrame":
    """A row a line, in the order of the lines, with what the expectations look at. Empty: nothing to object to, or
    the line is unreadable. A known text with a new pair beside it is no copy. Of copies, and of rows with one id, the
    first in the batch is the one to keep (also where it fails for something else: both are in quarantine then, and the
    sender sees why)."""
    import pandas as pd

    tokens, pair_tokens = _lengths(rows, ruler)
    digests: dict[str, str] = dict(history)
    ids: dict[str, str] = {}
    found: list[dict[str, Any]] = [{"line": row.line, "unreadable": row.reason} for row in rejected]
    for row, length, pair_length in zip(rows, tokens, pair_tokens, strict=True):
        one, teaches = row.experience, row.experience.digests
        found.append(
            {
                "line": row.line,
                "characters": len(one.text),
                "copy_of": digests.get(teaches[0]) if digests.keys() >= set(teaches) else None,
                "id_taken_by": ids.get(one.id),
                "tokens": length,
                "pair_tokens": pair_length,
                "day": _day(one.occurred_at),
                "natural": natural_share(one.text) if one.text else None,
            }
            | personal.find(_all_text(one))
        )
        for digest in teaches:
            digests.setdefault(digest, f"line {row.line}")
        ids.setdefault(one.id, f"line {row.line}")
    columns = ["line", "unreadable", "characters", "copy_of", "id_taken_by", "tokens", "pair_tokens", "day", "natural"]
    frame = pd.DataFrame(found, columns=[*columns, *personal.KINDS], dtype=object)
    frame["day"] = frame["day"].astype("datetime64[us]")  # microseconds: the years 1 to 9999
    numbers = ["characters", "tokens", "pair_tokens", "natural"]
    frame[numbers] = frame[numbers].astype(float)
    return frame.sort_values("line", ignore_index=True)


INNER = re.compile(r"[^\W_](?:.*[^\W_])?")  # from the first letter or digit to the last
WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")  # letters, with apostrophes and hyphens inside
NUMBER = re.compile(r"[\d.,:/%+-]+")
ADDRESS = re.compile(r"://|\w@\w")
LONGEST_ADDRESS = 100  # characters
LONGEST_WORD = 30  # letters; scripts that write without spaces are not held to it


def natural_share(text: str) -> float:
    """Share of the characters that stand in words, in [0, 1]. Punctuation and addresses do not count, and a number
    counts a third: a price table is language; a list of numbers, a base64 blob and a line of code are not."""
    words = others = 0.0
    for piece in text.split():
        core = inner.group() if (inner := INNER.search(piece)) else ""
        if ADDRESS.search(core) and len(core) <= LONGEST_ADDRESS:
            continue
        if NUMBER.fullmatch(core):
            words += len(core) / 3
            others += len(core) * 2 / 3
        elif WORD.fullmatch(core) and (len(core) <= LONGEST_WORD or not core.isascii()):
            words += len(core)
        elif core.isascii():
            others += len(core)
        else:  # punctuation and digits stand inside where no spaces are written
            letters = sum(map(str.isalpha, core))
            words += letters
            others += len(core) - letters
    return words / (words + others) if words else 0.0


def _lengths(rows: list[Row], ruler: Ruler | None) -> tuple[list[int | None], list[int | None]]:
    """Tokens of the context and of the longest question with its answer, a row each; nothing where they surely fit."""
    if ruler is None:
        return [None] * len(rows), [None] * len(rows)
    contexts = ruler.tokens_where_needed([row.experience.text for row in rows], ruler.window)
    longest: list[int | None] = []
    for row in rows:
        texts = [f"{question}\n{answer}" for question, answer in _pairs(row.experience)]
        longest.append(max(filter(None, ruler.tokens_where_needed(texts, ruler.room)), default=None))
    return contexts, longest


def _pairs(one: Experience) -> list[tuple[str, str]]:
    given = [(pair.question, pair.answer) for pair in one.qa]
    return given + [(probe.question, answer) for probe in one.probes for answer in probe.answers]


def _all_text(one: Experience) -> str:
    """Everything of an experience that a model or a report could repeat."""
    return "\n".join([one.id, one.source or "", one.text, *(text for pair in _pairs(one) for text in pair)])


def _day(moment: datetime | None) -> datetime | None:
    return None if moment is None else datetime(moment.year, moment.month, moment.day)
