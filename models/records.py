"""The records that travel between stages as JSONL, and how they are read.

Nothing here knows a model, a tracker or a path layout: a record is what a person would write down.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# What a file brings is constrained and never a plain `str`: that would take half a surrogate pair, which no file holds.
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Remark = Annotated[str, StringConstraints(strip_whitespace=True)]
ProbeKind = Literal["direct", "paraphrased", "combined", "locality", "superseded"]


class Record(BaseModel):
    """Frozen, and strict about its keys: a misspelt field is an error and not silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Turn(Record):
    """One message of a conversation."""

    role: Text
    content: Text


class Probe(Record):
    """A question kept out of training, used only to measure. Any of `answers` counts as right."""

    question: Text
    answers: tuple[Text, ...] = Field(min_length=1)
    kind: ProbeKind = "direct"


class GivenPair(Record):
    """A target sentence that came with the experience."""

    question: Text
    answer: Text


class Experience(Record):
    """One piece of new knowledge: a document, a conversation, an event, a table row."""

    id: Text
    context: Text | tuple[Turn, ...]
    source: Remark | None = None
    occurred_at: datetime | None = None
    probes: tuple[Probe, ...] = ()
    qa: tuple[GivenPair, ...] = ()

    @property
    def text(self) -> str:
        """The context `x` as text: a conversation is rendered one turn a line."""
        if isinstance(self.context, str):
            return self.context
        return "\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in self.context)

    @property
    def digest(self) -> str:
        """SHA-256 of the context in lower case with white space folded: equal for copies of one text."""
        return _digest(self.text)

    @property
    def digests(self) -> tuple[str, ...]:
        """What it can teach: the text's digest, and one for each pair that somebody wrote about that text."""
        return (self.digest, *(_digest(f"{self.text}\n{pair.question}\n{pair.answer}") for pair in self.qa))


def _digest(text: str) -> str:
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()


class QAPair(Record):
    """A question-answer pair about an experience: what a target sentence is made of.

    `kind` says what form the question takes (`question`, `echo`, `cloze`, …), `writer` who wrote it:
    `record` (came with the experience), `self` (the model), or the endpoint's model name.
    `evidence` is what of the context the answer rests on; the teacher reads it once more beside the question.
    """

    experience: str
    question: Text
    answer: Text
    kind: str
    writer: str
    evidence: Text | None = None


class Reply(Record):
    """What one version of the model answered, and whether that holds one of the gold `answers`: 1 or 0."""

    model_config = ConfigDict(extra="ignore")  # once a simple fact was kept with all that is kept of a probe

    question: str
    answers: tuple[str, ...]
    answer: str
    contains: float


class Answer(Reply):
    """What it answered to one probe, and how that compares with the gold answers.

    `f1` and `exact` lie in [0, 1] (see `models.metrics`); `log_likelihood` is the mean log-probability of the gold
    answer's tokens in nats per token (<= 0, higher is better).
    """

    model_config = ConfigDict(extra="forbid")

    batch: str
    experience: str
    kind: ProbeKind
    f1: float
    exact: float
    log_likelihood: float


class Rejected(Record):
    """One row in quarantine: where it stood, what it failed, and the row itself as it came.

    `id` is left out where it is itself what may not be shown, and `raw` in a batch's report, which others read.
    """

    line: int
    id: str | None = None
    expectation: str
    reason: str
    raw: str = ""


class Flagged(Record):
    """One row that was accepted although it broke an expectation that only warns, such as an e-mail address."""

    line: int
    id: str
    expectation: str
    reason: str


class BatchReport(Record):
    """What validation decided about a batch: `rows` lines came, and each is accepted or in `rejected`.

    `flagged` counts the accepted rows that `flags` has something to say about (one row may have several flags).
    """

    batch: str
    rows: int
    accepted: int
    flagged: int
    rejected: tuple[Rejected, ...] = ()
    rejected_whole: str | None = None
    flags: tuple[Flagged, ...] = ()


class HistoryEntry(Record):
    """An experience that was accepted, in which batch, and the digest of its text."""

    batch: str
    digest: str
    experience: Experience


R = TypeVar("R", bound=Record)


def read_records(path: Path, record: type[R]) -> list[R]:
    """Read a JSONL file that one of our own stages wrote: a bad line is a defect, named by file and line."""
    return list(_iterate(path, record))


def _iterate(path: Path, record: type[R]) -> Iterator[R]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield record.model_validate_json(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: not a {record.__name__}: {error}") from error


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write one JSON object a line, without the fields that are empty."""
    with path.open("w", encoding="utf-8") as out:
        for record in records:
            fields = record.model_dump(mode="json", exclude_none=True)
            out.write(json.dumps(fields, ensure_ascii=False) + "\n")
