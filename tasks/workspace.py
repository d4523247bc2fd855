"""Where everything lies in a workspace. Only what tells DVC and git of it spells a path under `data/`, too."""

from dataclasses import dataclass
from pathlib import Path

BASE = "base"


@dataclass(frozen=True)
class Workspace:
    """A folder with git, DVC, `params.yaml`, `dvc.yaml`, `batches.yaml`, `prefect.yaml`, `data/` and `mlflow/`.

    A version is named by the batch that it learnt; `base` names the version that has learnt nothing yet.
    """

    root: Path

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def batches(self) -> Path:
        return self.root / "batches.yaml"

    @property
    def raw_folder(self) -> Path:
        """The arrived batches, one immutable JSONL file each; one DVC-tracked directory."""
        return self.root / "data" / "raw"

    def raw(self, batch: str) -> Path:
        return self.raw_folder / f"{batch}.jsonl"

    def validated(self, version: str) -> Path:
        """Folder: `experiences.jsonl` (accepted), `history.jsonl` (all accepted up to and with this batch,
        a `{"batch", "digest", "experience"}` a line), `report.json`, `report.html`."""
        return self.root / "data" / "validated" / version

    def quarantine(self, batch: str) -> Path:
        """File: a `Rejected` a line."""
        return self.root / "data" / "quarantine" / f"{batch}.jsonl"

    def qa(self, batch: str) -> Path:
        """Folder: `pairs.jsonl` (a `QAPair` a line), `report.json`."""
        return self.root / "data" / "qa" / batch

    def weights(self, version: str) -> Path:
        """Folder: safetensors, config, tokenizer, `provenance.json`."""
        return self.root / "data" / "weights" / version

    def memory(self, version: str) -> Path:
        """Folder: what the next integration holds the model to: unrelated text and replayed target sentences,
        with the teacher's states."""
        return self.root / "data" / "memory" / version

    def training(self, batch: str) -> Path:
        """File: a row a step as CSV (loss, KL, learning rate, tokens per second)."""
        return self.root / "data" / "training" / f"{batch}.csv"

    def evaluation(self, version: str) -> Path:
        """Folder: `scores.csv`, the answers that they are of (`*.jsonl`), general ability (`general.json`, and answers
        in `general.jsonl`), `plots/`; of the base no scores, and what all versions are measured by: the unrelated text
        (`unrelated/`) and its own answers to the simple facts (`facts/`)."""
        return self.root / "data" / "evaluation" / version

    def retention(self, batch: str) -> Path:
        """File: the matrix of batch against version, a row a cell, as CSV; `dvc plots` draws it."""
        return self.root / "data" / "retention" / f"{batch}.csv"

    def metrics(self, version: str) -> Path:
        return self.root / "data" / "metrics" / f"{version}.json"

    def work(self, batch: str) -> Path:
        """Scratch that outlives a killed stage (checkpoints); not tracked, removed when the batch is done."""
        return self.root / "data" / ".work" / batch

    @property
    def endpoint_cache(self) -> Path:
        """Folder: what an endpoint replied, by the hash of what it was asked; for all batches, kept until removed."""
        return self.root / "data" / ".work" / "endpoint-cache"

    def fetched(self, version: str) -> Path:
        """Folder: the weights of a version as a registry on another machine gave them; may be removed at any time."""
        return self.root / "data" / ".work" / "fetched" / version

    @property
    def journal(self) -> Path:
        """Append-only: who moved the champion, when and why."""
        return self.root / "journal.jsonl"

    @property
    def mlflow_folder(self) -> Path:
        return self.root / "mlflow"
