"""`batches.yaml`: which batches the graph holds, what each was learnt on top of, and what the gate said.

The file is read by DVC too (`foreach: ${batches}` in `dvc.yaml`); this is the only module that writes it.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from models.files import written_aside
from tasks.workspace import BASE, Workspace

State = Literal["accepted", "refused"]
NAME = re.compile(r"b\d{4,}")  # not `0049`: text to PyYAML, a number to DVC's parser
HEADER = (
    "# What each batch was learnt on top of, and what the gate said. Written by the rounds; the graph of dvc.yaml.\n"
)


class Entry(BaseModel):
    """A batch in the graph. Without a state it is being worked on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parent: str
    state: State | None = None


class RejectedWhole(BaseModel):
    """A batch that validation rejected whole, or about which no pair could be written: it left the graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parent: str
    reason: str


@dataclass(frozen=True)
class Batches:
    """The content of `batches.yaml`, in the order in which the batches came."""

    batches: dict[str, Entry] = field(default_factory=dict)
    rejected: dict[str, RejectedWhole] = field(default_factory=dict)

    @property
    def unfinished(self) -> list[str]:
        """Batches that a round began and did not end."""
        return [name for name, entry in self.batches.items() if entry.state is None]

    @property
    def settled(self) -> list[str]:
        """Batches about which the gate has decided."""
        return [name for name, entry in self.batches.items() if entry.state]

    @property
    def last_accepted(self) -> str:
        """The newest batch that the gate let in; `base` where there is none."""
        return next((n for n, entry in reversed(self.batches.items()) if entry.state == "accepted"), BASE)

    def lineage(self, batch: str) -> list[str]:
        """The batch, what it was learnt on top of, and so on to the base."""
        line: list[str] = []
        while batch in self.batches and batch not in line:
            line.append(batch)
            batch = self.batches[batch].parent
        return [*line, BASE]

    def begun(self, batch: str, parent: str) -> "Batches":
        return replace(self, batches={**self.batches, batch: Entry(parent=parent)})

    def ended(self, batch: str, state: State) -> "Batches":
        entry = self.batches[batch].model_copy(update={"state": state})
        return replace(self, batches={**self.batches, batch: entry})

    def reopened(self) -> "Batches":
        """Every batch as if it had just been begun."""
        return replace(self, batches={name: Entry(parent=entry.parent) for name, entry in self.batches.items()})

    def rejected_whole(self, batch: str, reason: str) -> "Batches":
        parent = self.batches[batch].parent
        kept = {name: entry for name, entry in self.batches.items() if name != batch}
        return Batches(kept, {**self.rejected, batch: RejectedWhole(parent=parent, reason=reason)})


def read(ws: Workspace) -> Batches:
    """Read and check `batches.yaml`."""
    try:
        found = yaml.safe_load(ws.batches.read_text(encoding="utf-8")) or {}
        batches = {str(name): Entry.model_validate(entry) for name, entry in (found.get("batches") or {}).items()}
        rejected = {
            str(name): RejectedWhole.model_validate(entry) for name, entry in (found.get("rejected") or {}).items()
        }
    except (yaml.YAMLError, ValidationError, AttributeError) as error:
        raise ValueError(
            f"{ws.batches} cannot be read ({error}). `git checkout batches.yaml` brings it back."
        ) from error
    for name in (*batches, *rejected):
        if not NAME.fullmatch(name):
            raise ValueError(f"{ws.batches}: {name!r} names no batch: write b0000, b0001 and so on, as in data/raw.")
    return Batches(batches, rejected)


def write(ws: Workspace, batches: Batches) -> None:
    """Write `batches.yaml` atomically."""
    found: dict[str, dict[str, dict[str, str]]] = {
        "batches": {name: entry.model_dump(exclude_none=True) for name, entry in batches.batches.items()}
    }
    if batches.rejected:
        found["rejected"] = {name: entry.model_dump() for name, entry in batches.rejected.items()}
    text = HEADER + "".join(_section(name, entries) for name, entries in found.items())
    with written_aside(ws.batches) as aside:
        aside.write_text(text, encoding="utf-8")


def _section(name: str, entries: dict[str, dict[str, str]]) -> str:
    if not entries:
        return f"{name}: {{}}\n"
    lines = (
        f"  {batch}: "
        + yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
        for batch, entry in entries.items()
    )
    return f"{name}:\n" + "".join(lines)


def arrived(ws: Workspace) -> list[str]:
    """The batches that lie in `data/raw`, oldest first."""
    names = (path.stem for path in ws.raw_folder.glob("b*.jsonl"))
    return sorted((name for name in names if NAME.fullmatch(name)), key=lambda name: int(name[1:]))


def pending(ws: Workspace, batches: Batches) -> list[str]:
    """Batches that arrived and that no round has begun, oldest first."""
    return [name for name in arrived(ws) if name not in batches.batches and name not in batches.rejected]


def next_name(ws: Workspace) -> str:
    """The name of the batch that arrives next."""
    known = [*arrived(ws), *read(ws).batches, *read(ws).rejected]
    return f"b{max((int(name[1:]) for name in known), default=-1) + 1:04d}"


def check_raw(ws: Workspace) -> None:
    """Refuse where raw files are missing: names would be given twice, and DVC would track what is left as the whole."""
    there = arrived(ws)
    pointer = ws.raw_folder.with_suffix(".dvc")
    if missing := [name for name in read(ws).batches if name not in there]:
        raise ValueError(
            f"{ws.raw(missing[0])} is gone ({len(missing)} such), and {ws.batches.name} holds {missing[0]}: "
            "`dvc pull` or `dvc checkout` brings it back. To forget the batch, take it out of there, too."
        )
    if not there and pointer.exists():
        raise ValueError(
            f"{ws.raw_folder} holds no batch, and {pointer.name} beside it tracks some: `dvc pull` or `dvc checkout` "
            f"brings them. To forget them all, delete {pointer}, too."
        )


def find_root(start: Path) -> Path:
    """The workspace that `start` lies in, searched upward as git does."""
    for folder in [start.resolve(), *start.resolve().parents]:
        if (folder / "batches.yaml").is_file() and (folder / "dvc.yaml").is_file():
            return folder
    raise ValueError(
        f"{start.resolve()} is not inside a workspace. Make one with `selfparam init DIR`, or name one with -C."
    )
