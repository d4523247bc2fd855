"""Two versions side by side, from what evaluation stored: no model is loaded."""

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.settings import register_config
from models.files import read_json
from models.records import Answer, Reply, read_records
from tasks import digests, registry
from tasks.workspace import BASE, Workspace

SHOWN = (
    ("on its own batch, contains", ("efficacy", "closed_book", "contains")),
    ("on all batches so far, contains", ("average", "contains")),
    ("on all batches so far, F1", ("average", "f1")),
    ("on all batches so far, log-lik.", ("average", "log_likelihood")),
    ("forgetting, contains", ("forgetting", "contains")),
    ("backward transfer, contains", ("backward_transfer", "contains")),
    ("near misses that get its facts", ("locality", "leak")),
    ("superseded, given the new answer", ("superseded", "new")),
    ("superseded, given the old answer", ("superseded", "old")),
    ("general ability, accuracy", ("general", "accuracy")),
    ("perplexity on unrelated text", ("general", "perplexity")),
    ("KL from the base, nats per token", ("general", "kl_from_base")),
    ("the same on its simple facts", ("general", "kl_on_facts")),
    ("drift of the weights", ("drift", "relative_l2")),
)


@dataclass(frozen=True)
class Difference:
    """One probe, or simple fact of no batch, that the two answer differently."""

    batch: str
    question: str
    gold: tuple[str, ...]
    a: str
    b: str


def batch_of(ws: Workspace, name: str) -> str:
    """The batch that `base`, `champion`, a version's number or a batch's name stands for.

    What evaluation stored lies under the batch's name, so a version that the batch's next one has replaced is refused.
    """
    if name == BASE or ws.metrics(name).exists():
        return name
    found = registry.find(ws, register_config(ws), name)
    if found is None:
        raise ValueError(f"There is no version {name}. `selfparam status` lists them.")
    if not digests.on_disk(ws, found.batch, [found], digests.locked(ws)):
        raise ValueError(
            f"version {found.number} is no longer what data/weights/{found.batch} holds, and its answers went with it. "
            f"Compare {found.batch} as it is now, or ask the version itself: "
            f"`selfparam evaluate FILE --version {found.number}`."
        )
    return found.batch


def stored_answers(ws: Workspace, batch: str, other: str) -> dict[tuple[str, str, str], Answer]:
    """What a version answered to the probes that it was asked, by batch, experience and question."""
    path = ws.evaluation(batch) / "answers.jsonl"
    if batch == BASE:  # the base was asked every version's probes, as its reference
        path = ws.evaluation(other) / "base.jsonl"
    if not path.exists():
        raise ValueError(f"{path} is not there. `dvc pull` brings it, or `selfparam run` evaluates {batch}.")
    return {(a.batch, a.experience, a.question): a for a in read_records(path, Answer)}


def differences(ws: Workspace, a: str, b: str) -> tuple[int, list[Difference]]:
    """How many probes both were asked, and those that they answer differently."""
    said_a, said_b = stored_answers(ws, a, b), stored_answers(ws, b, a)
    common = [key for key in said_a if key in said_b]
    return len(common), [
        Difference(key[0], key[2], said_a[key].answers, said_a[key].answer, said_b[key].answer)
        for key in common
        if said_a[key].answer != said_b[key].answer
    ]


def turned_facts(ws: Workspace, a: str, b: str) -> list[Difference]:
    """The simple facts of general ability that one of the two answers rightly and the other does not. Empty, too,
    where the answers of either are not there: once they were not kept."""
    files = [ws.evaluation(version) / "general.jsonl" for version in (a, b)]
    if not all(file.exists() for file in files):
        return []
    by_a, by_b = ({reply.question: reply for reply in read_records(file, Reply)} for file in files)
    return [
        Difference("", question, found.answers, found.answer, by_b[question].answer)
        for question, found in by_a.items()
        if question in by_b and found.contains != by_b[question].contains
    ]


def paired(ws: Workspace, a: str, b: str) -> dict[str, dict[str, Any]]:
    """What `b` has more than `a` on the probes that both were asked, with its bootstrap interval over experiences
    (95 %; None for less than two of them). Those that are superseded by now, or ask for nothing of a batch, do not
    count: an older version's answers say only what was known in its day."""
    from models.metrics import bootstrap_interval  # imports torch

    said_a, said_b = stored_answers(ws, a, b), stored_answers(ws, b, a)
    common = [
        key
        for key in said_a
        if key in said_b and {said_a[key].kind, said_b[key].kind}.isdisjoint(("superseded", "locality"))
    ]
    found = {}
    for measure in ("contains", "f1", "log_likelihood"):
        gains = [getattr(said_b[key], measure) - getattr(said_a[key], measure) for key in common]
        if gains:
            interval = bootstrap_interval(gains, ["/".join(key[:2]) for key in common], seed=0)
            found[measure] = {"gain": sum(gains) / len(gains), "interval": interval}
    return found


def figures(ws: Workspace, batch: str) -> dict[str, float | None]:
    """The figures that are compared, None where a version has none (the base has learnt nothing)."""
    found = read_json(ws.metrics(batch))
    return {title: _at(found, path) for title, path in SHOWN}


def _at(value: Any, path: tuple[str, ...]) -> float | None:
    for key in path:
        if not isinstance(value, dict) or value.get(key) is None:
            return None
        value = value[key]
    return float(value)


def show(ws: Workspace, a: str, b: str, console: Console) -> None:
    """For people."""
    table = Table(title="Metrics", title_justify="left")
    for name in ("", a, b):
        table.add_column(name, justify="right" if name else "left")
    left, right = figures(ws, a), figures(ws, b)
    for title in left:
        table.add_row(title, *("-" if v is None else f"{v:.3f}" for v in (left[title], right[title])))
    console.print(table)
    for measure, told in paired(ws, a, b).items():
        low_high = f" ({told['interval'][0]:+.2f} to {told['interval'][1]:+.2f})" if told["interval"] else ""
        console.print(f"{b} minus {a}, {measure}: {told['gain']:+.2f}{low_high}", highlight=False)
    asked, found = differences(ws, a, b)
    _show(f"{len(found)} of {asked} probes are answered differently", found, a, b, console)
    if facts := turned_facts(ws, a, b):
        _show(f"{len(facts)} simple facts are answered rightly by one of the two alone", facts, a, b, console)


def _show(title: str, found: list[Difference], a: str, b: str, console: Console) -> None:
    table = Table(title=title, title_justify="left")
    for name in ("batch", "question", "right", a, b):
        table.add_column(name, overflow="fold")
    for d in found:
        table.add_row(d.batch or "-", *map(Text, (d.question, d.gold[0], d.a, d.b)))
    console.print(table)
