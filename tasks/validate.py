"""The stage `validate`: a raw batch in, the experiences that may be learnt out, the rest in quarantine with reasons.

`parse` reads the lines, `check` judges them (pure: an intake calls it as a preview), `validate` does both and writes.
Nothing is lost: a line that is not blank is accepted or in quarantine. The same batch is always judged the same: no
clock, and the report holds no time. Knows no model beyond its tokenizer.

Run it: `selfparam stage validate b0001 --parent b0000`.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer

from models.configs import window_of
from models.files import read_json, write_json, written_aside
from models.records import BatchReport, Experience, Flagged, HistoryEntry, Rejected, read_records, write_records
from tasks import intake, personal
from tasks.measures import Row, Ruler, measured
from tasks.personal import Policy
from tasks.report import Outcome, page
from tasks.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("selfparam")

UNBOUNDED = 32768  # tokens, for a model that names no window
BATCH = "expect_batch_to_be_mostly_valid"  # the expectation on the batch, of which its rows are told when it fails
Share = Annotated[float, Field(ge=0, le=1)]


class PersonalData(BaseModel):
    """What becomes of a row that holds personal data or a secret: `quarantine`, `flag` (accepted, and the report
    says so) or `allow` (not looked at). A model that has learnt a secret cannot be made to forget it by a deletion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: Policy = Field(default="quarantine", description="keys, tokens, passwords")
    card: Policy = Field(default="quarantine", description="payment card numbers that pass Luhn's check")
    iban: Policy = Field(default="quarantine", description="bank account numbers with the right check digits")
    email: Policy = Field(
        default="flag", description="e-mail addresses; those of a desk are often what is to be learnt"
    )
    phone: Policy = Field(default="flag", description="phone numbers, as far as a pattern can tell")


class ValidateConfig(BaseModel):
    """What is expected of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int | None = Field(
        default=None, ge=1, description="most tokens of a context; none: as many as the model's window holds"
    )
    pair_tokens: int = Field(default=256, ge=1, description="room for a question and its answer beside the context")
    earliest: date = Field(default=date(1900, 1, 1), description="first plausible day of an experience")
    # A day and not "a week from now": a batch must be judged tomorrow as it was today.
    latest: date = Field(default=date(2100, 1, 1), description="last plausible day of an experience")
    least_natural: Share = Field(default=0.4, description="smallest share of a text's characters in words")
    personal_data: PersonalData = Field(default=PersonalData(), description="what becomes of personal data, by kind")
    max_failure_rate: Share = Field(
        default=0.5,
        description="rows with mistakes, as a share of the rows that are no copies, above which the "
        "batch is rejected whole; a copy is no mistake of the sender and does not count",
    )


@dataclass(frozen=True)
class Checked:
    """The judgement on a batch. `outcomes` speak of rows by position, and `lines` gives the line of each."""

    report: BatchReport
    accepted: tuple[Experience, ...]
    outcomes: tuple[Outcome, ...]
    lines: tuple[int, ...]


def validate(ws: Workspace, batch: str, parent: str, config: ValidateConfig) -> BatchReport:
    """Judge `batch` against the history of `parent` and write what became of it."""
    if not ws.raw(batch).is_file():
        raise ValueError(f"{ws.raw(batch)} is not there. Take the batch in with `selfparam ingest`, or `dvc pull` it.")
    entries = read_history(ws, parent)
    rows, rejected = parse(ws.raw(batch))
    checked = check(
        rows, rejected, batch=batch, history=known_texts(entries), ruler=read_ruler(ws, config), config=config
    )
    report = checked.report
    with written_aside(ws.quarantine(batch)) as file:
        write_records(file, report.rejected)
    with written_aside(ws.validated(batch)) as folder:
        folder.mkdir()
        write_records(folder / "experiences.jsonl", checked.accepted)
        new = [HistoryEntry(batch=batch, digest=one.digest, experience=one) for one in checked.accepted]
        write_records(folder / "history.jsonl", [*entries, *new])
        # without the lines: the report goes to the tracker, and what was found in them may be secret
        write_json(folder / "report.json", report.model_dump(mode="json", exclude={"rejected": {"__all__": {"raw"}}}))
        (folder / "report.html").write_text(page(report, checked.outcomes, list(checked.lines)), encoding="utf-8")
    log.info("validate %s %s", batch, summary(report))
    return report


def summary(report: BatchReport) -> str:
    """The report as one line."""
    if report.rejected_whole:
        return f"rejected whole: {report.rejected_whole}"
    return (
        f"{report.accepted} of {report.rows} accepted, {report.flagged} flagged, {len(report.rejected)} in quarantine"
    )


def parse(raw_path: Path) -> tuple[list[Row], list[Rejected]]:
    """The lines that are experiences, and those that are not, each with the reason. Blank lines are skipped."""
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for number, line in enumerate(intake.read_lines(raw_path), start=1):
        if not line.strip():
            continue
        try:
            rows.append(Row(number, line, intake.experience_of(line)))
        except ValueError as error:
            name = "expect_line_to_be_an_experience"
            rejected.append(
                Rejected(
                    line=number, id=intake.id_of(line), expectation=name, reason=str(error), raw=intake.shown(line)
                )
            )
    return rows, rejected


def check(
    rows: list[Row],
    rejected: list[Rejected],
    *,
    batch: str,
    history: Mapping[str, str],
    ruler: Ruler | None,
    config: ValidateConfig,
) -> Checked:
    """Judge parsed rows; writes nothing. `history` names the batch that holds a digest already.

    Without a `ruler` (before the base model is there) lengths are not looked at: that is for previews only.
    """
    from tasks import expectations  # Great Expectations takes seconds to import

    frame = measured(rows, rejected, history, ruler)
    limits: dict[str, Any] = {
        "window": ruler.window if ruler else None,
        "room": ruler.room if ruler else 0,
        **config.model_dump(include={"earliest", "latest", "least_natural"}),
    }
    policies: Any = config.personal_data.model_dump()
    outcomes = expectations.judge(frame, expectations.suite(policies, **limits))
    found = _found(frame, outcomes, limits)
    out = list(rejected)
    flags: list[Flagged] = []
    accepted: list[Row] = []
    copies = 0
    for row in rows:
        fatal = [outcome.expectation for outcome, _ in found[row.line] if not outcome.warns_only]
        if fatal:
            copies += expectations.COPY in fatal
            out.append(_rejected(row, fatal[0], "; ".join(reason for _, reason in found[row.line])))
        else:
            accepted.append(row)
            flags += [
                Flagged(line=row.line, id=row.experience.id, expectation=outcome.expectation, reason=reason)
                for outcome, reason in found[row.line]
            ]
    whole = _rejected_whole(len(frame), len(accepted), copies, config.max_failure_rate)
    if whole:
        out += [_rejected(row, BATCH, whole) for row in accepted]
        accepted, flags = [], []
    report = BatchReport(
        batch=batch,
        rows=len(frame),
        accepted=len(accepted),
        flagged=len({flag.line for flag in flags}),
        rejected=tuple(sorted((_presentable(one, policies) for one in out), key=lambda one: one.line)),
        rejected_whole=whole,
        flags=tuple(flags),
    )
    return Checked(report, tuple(row.experience for row in accepted), tuple(outcomes), tuple(frame["line"]))


def read_history(ws: Workspace, parent: str) -> list[HistoryEntry]:
    """Everything that was accepted up to and with `parent`."""
    path = ws.validated(parent) / "history.jsonl"
    if not path.is_file():
        raise ValueError(f"{path} is not there. Bring `{parent}` about first: `dvc repro`, or `dvc pull` it.")
    return read_records(path, HistoryEntry)


def known_texts(history: Sequence[HistoryEntry]) -> dict[str, str]:
    """The batch that first held each digest of the history."""
    return {digest: entry.batch for entry in reversed(history) for digest in entry.experience.digests}


def read_ruler(ws: Workspace, config: ValidateConfig) -> Ruler:
    """The base model's tokenizer, and what its window leaves for a context beside a question and its answer."""
    base = ws.weights("base")
    if not (base / "tokenizer.json").is_file():
        raise ValueError(f"{base / 'tokenizer.json'} is not there. Bring the base about first: `selfparam run`.")
    positions = window_of(read_json(base / "config.json")) or UNBOUNDED
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    room = min(config.pair_tokens, positions // 4)  # a small window is not all given to the question
    return Ruler(tokenizer, min(config.max_tokens or positions, positions - room), room)


def _found(
    frame: "pd.DataFrame", outcomes: list[Outcome], limits: dict[str, Any]
) -> defaultdict[int, list[tuple[Outcome, str]]]:
    """By line: the expectations that it breaks, in the suite's order, each with the reason for people."""
    from tasks.expectations import REASONS

    found: defaultdict[int, list[tuple[Outcome, str]]] = defaultdict(list)
    measures: list[Any] = frame.to_dict("records")
    for outcome in outcomes:
        for position in outcome.rows:
            values = measures[position]
            found[values["line"]].append((outcome, REASONS[outcome.expectation].format(**values | limits)))
    return found


def _rejected(row: Row, expectation: str, reason: str) -> Rejected:
    return Rejected(
        line=row.line, id=row.experience.id, expectation=expectation, reason=reason, raw=intake.shown(row.raw)
    )


def _presentable(row: Rejected, policies: Mapping[str, Policy]) -> Rejected:
    """Without its id where that is itself a key, a card number or what else is not let in: ids go to every report."""
    hidden = any(policies[kind] == "quarantine" for kind in personal.find(row.id or ""))
    return row.model_copy(update={"id": None}) if hidden else row


def _rejected_whole(rows: int, accepted: int, copies: int, most: float) -> str | None:
    """Why the batch is rejected whole, if it is."""
    fresh, failed = rows - copies, rows - copies - accepted
    if rows == 0:
        return "the batch holds no lines"
    if fresh and failed / fresh > most:
        return f"{failed} of {fresh} rows have mistakes, more than the share of {most:.0%} that max_failure_rate allows"
    if accepted == 0:
        return "nothing in it is new" if not fresh else "no row was accepted"
    return None
