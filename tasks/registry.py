"""The model registry as the rest reads it: which versions there are, which is the champion, where a version lies.

The alias `champion` in MLflow is the truth about who answers. It moves in one call, after everything else about a
version stands; `journal.jsonl` tells who moved it, when and why. MLflow is imported on use: `--help` must not wait
for it. Callers hold the workspace's lock where they write.
"""

import logging
import sqlite3
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlparse

from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.files import written_aside
from tasks import journal
from tasks.workspace import BASE, Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("selfparam")

CHAMPION = "champion"
CHALLENGER = "challenger"
_SQLITE = "sqlite:///"
_BATCHES = (
    "select value from model_version_tags join model_versions using (name, version) "
    "where name = ? and key = 'batch' and current_stage != 'Deleted_Internal'"
)


class RegisterConfig(BaseModel):
    """Where runs and versions are recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    tracking_uri: str = Field(
        "sqlite:///mlflow/mlflow.db",
        description="MLflow's tracking and registry URI. A relative sqlite path is relative to the workspace.",
    )
    experiment: str = Field("selfparam", min_length=1, description="The MLflow experiment that holds the runs.")
    model: str = Field("selfparam", pattern=r"^[^/:@]+$", description="The registered model's name.")
    max_new_tokens: int = Field(
        48, ge=1, description="How long a version answers at most, for a stranger as for `selfparam ask`."
    )
    answer_dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="The number format in which a version answers, for a stranger as for `selfparam ask`. float32 "
        "gives the same greedy answers alone, in a batch and on another machine; in bfloat16 near ties fall either way "
        "and a large model takes half the memory.",
    )

    @field_validator("tracking_uri")
    @classmethod
    def _holds_no_secret(cls, uri: str) -> str:
        if urlparse(uri).password:
            raise ValueError(
                "must hold no password, for it is recorded with the settings. MLflow reads that of a server from "
                "MLFLOW_TRACKING_PASSWORD, PostgreSQL its own from PGPASSWORD or ~/.pgpass"
            )
        return uri

    def uri(self, ws: Workspace) -> str:
        """`tracking_uri` with a relative sqlite path made absolute: MLflow would take the current folder."""
        path = self.tracking_uri.removeprefix(_SQLITE)
        if path == self.tracking_uri or path.startswith("/"):
            return self.tracking_uri
        return f"{_SQLITE}{(ws.root / path).resolve()}"

    def unmade(self, ws: Workspace) -> Path | None:
        """The file of a local database that is not there; None where it is, and where a server keeps the registry."""
        uri = self.uri(ws)
        file = Path(uri.removeprefix(_SQLITE))
        return file if uri.startswith(_SQLITE) and not file.exists() else None


class RegisteredVersion(BaseModel):
    """A version in the registry. `verdict` is None until the gate has decided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    batch: str
    parent: str
    run_id: str
    created: datetime
    aliases: tuple[str, ...] = ()
    verdict: Literal["accepted", "refused"] | None = None
    tags: Mapping[str, str]


def client(ws: Workspace, config: RegisterConfig) -> "MlflowClient":
    """An MLflow client for this workspace alone: no global URI is set, so two workspaces can live in one process."""
    for noisy in ("mlflow", "alembic"):  # a line for each of some fifty migrations of a new database
        logging.getLogger(noisy).setLevel(logging.WARNING)
    from mlflow import MlflowClient, db

    for noisy in ("mlflow", "alembic"):  # the import sets its own levels
        logging.getLogger(noisy).setLevel(logging.WARNING)
    uri = config.uri(ws)
    if database := config.unmade(ws):
        with written_aside(database) as aside:  # its migrations are no transaction: one that is killed fails for ever
            db.upgrade.main([f"{_SQLITE}{aside}"], standalone_mode=False)  # `mlflow db upgrade`
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def versions(ws: Workspace, config: RegisterConfig) -> list[RegisteredVersion]:
    """All versions, oldest first; none where nothing was registered yet (no database is made for asking)."""
    if config.unmade(ws):
        return []
    from mlflow.exceptions import MlflowException

    try:
        return _versions(client(ws, config), config.model)
    except MlflowException as error:  # whoever needs the registry asks this first
        raise ValueError(
            f"{ws.params}: register.tracking_uri is {config.tracking_uri}, and no registry answers there ({error}). "
            "Start its server, or correct the setting; then start again: nothing is lost."
        ) from error


def knows_any(ws: Workspace, config: RegisterConfig, batches: Container[str]) -> bool:
    """Whether there is a version of one of `batches`. A local database says yes at once: importing MLflow takes
    seconds. Whether it means no is MLflow's to say."""
    return any(batch in batches for batch in _glimpsed(ws, config)) or any(
        version.batch in batches for version in versions(ws, config)
    )


def _glimpsed(ws: Workspace, config: RegisterConfig) -> list[str]:
    uri = config.uri(ws)
    if not uri.startswith(_SQLITE) or config.unmade(ws):
        return []
    try:
        with closing(sqlite3.connect(f"{Path(uri.removeprefix(_SQLITE)).as_uri()}?mode=ro", uri=True)) as database:
            return [batch for (batch,) in database.execute(_BATCHES, (config.model,))]
    except sqlite3.Error:  # tables of another MLflow
        return []


def _versions(mlflow: "MlflowClient", model: str) -> list[RegisteredVersion]:
    registered = next(iter(mlflow.search_registered_models(f"name='{model}'")), None)
    if registered is None:
        return []
    aliases: dict[int, list[str]] = {}
    for alias, number in sorted(registered.aliases.items()):
        aliases.setdefault(int(number), []).append(alias)
    found, token = [], None
    while True:
        page = mlflow.search_model_versions(f"name='{model}'", max_results=1000, page_token=token)
        found += [_version(entry, aliases.get(int(entry.version), [])) for entry in page]
        token = page.token
        if not token:
            return sorted(found, key=lambda version: version.number)


def _version(entry: Any, aliases: Sequence[str]) -> RegisteredVersion:
    return RegisteredVersion(
        number=int(entry.version),
        batch=entry.tags.get("batch", ""),
        parent=entry.tags.get("parent", ""),
        run_id=entry.run_id or "",
        created=datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC),
        aliases=tuple(aliases),
        verdict=entry.tags.get("gate"),
        tags=dict(entry.tags),
    )


def champion(ws: Workspace, config: RegisterConfig) -> RegisteredVersion | None:
    """The version that answers, or None before the first one was accepted."""
    return champion_of(versions(ws, config))


def champion_of(known: Iterable[RegisteredVersion]) -> RegisteredVersion | None:
    """The one of these versions that bears the alias."""
    return next((version for version in known if CHAMPION in version.aliases), None)


def find(ws: Workspace, config: RegisterConfig, name: str) -> RegisteredVersion | None:
    """The version called `champion`, by number, or the newest of a batch; None where there is none."""
    known = versions(ws, config)
    if name == CHAMPION:
        return champion_of(known)
    if name.isdecimal():
        return next((version for version in known if version.number == int(name)), None)
    return next((version for version in reversed(known) if version.batch == name), None)


def resolve(ws: Workspace, config: RegisterConfig, name: str) -> Path:
    """The folder with the weights and the tokenizer of `base`, `champion`, a version's number or a batch.

    Registered versions are read from the registry's copy, which no stage rewrites: treat it as read-only.
    Raises ValueError with what there is to choose from.
    """
    found = which(ws, config, name)
    return folder(ws, config, found) if isinstance(found, RegisteredVersion) else found


def which(ws: Workspace, config: RegisterConfig, name: str) -> RegisteredVersion | Path:
    """What `resolve` will look into: a registered version, or a folder of the workspace. Nothing is fetched."""
    if name == BASE:
        if not ws.weights(BASE).is_dir():
            raise ValueError(
                "the base model is not there yet: `selfparam run` makes it at first, or `dvc repro base`, or `dvc pull`"
            )
        return ws.weights(BASE)
    version = find(ws, config, name)
    if version is not None:
        return version
    if name not in (CHAMPION, "") and not name.isdecimal() and ws.weights(name).is_dir():
        return ws.weights(name)  # integrated, and not registered yet
    known = ", ".join(f"{v.number} ({v.batch})" for v in versions(ws, config)) or "none"
    missing = "there is no champion yet" if name == CHAMPION else f"there is no version {name!r}"
    raise ValueError(f"{missing}; registered versions: {known}; `base` is the model that has learnt nothing")


def folder(ws: Workspace, config: RegisterConfig, version: RegisteredVersion) -> Path:
    """Where the weights of a registered version lie; fetched first, and once, from artifacts on another machine."""
    from tasks.mlmodel import MODEL

    mlflow = client(ws, config)
    location = mlflow.get_model_version_download_uri(config.model, str(version.number))
    parsed = urlparse(location)
    if parsed.scheme in ("", "file"):
        path = Path(unquote(parsed.path)) / MODEL
    else:
        kept = ws.fetched(f"{version.number}-{version.run_id}")  # another registry counts from 1, too
        path = kept / MODEL
        if not path.is_dir():
            from mlflow.artifacts import download_artifacts

            with written_aside(kept) as aside:
                download_artifacts(f"{location}/{MODEL}", dst_path=str(aside), tracking_uri=config.uri(ws))
    if not path.is_dir():
        raise ValueError(f"version {version.number} has lost its weights at {path}; register {version.batch} again")
    return path


def promote(
    ws: Workspace,
    config: RegisterConfig,
    number: int,
    *,
    who: str,
    why: str,
    at: datetime,
    what: Literal["promote", "rollback"] = "promote",
) -> RegisteredVersion:
    """Make version `number` the champion. The only place that moves the alias, and it is one call.

    Done twice it does nothing; killed between the alias and the journal, the next call writes the line.
    """
    known = {version.number: version for version in versions(ws, config)}
    if number not in known:
        raise ValueError(f"there is no version {number}; registered: {', '.join(map(str, known)) or 'none'}")
    now = champion_of(known.values())
    before = now.number if now else None
    if before != number:
        client(ws, config).set_registered_model_alias(config.model, CHAMPION, str(number))
    told = next(reversed(journal.champions(journal.read(ws))), None)
    if before != number or told != known[number].run_id:
        if before == number:  # a killed call moved the alias; who held it before stands in the line above
            before = next((version.number for version in known.values() if version.run_id == told), None)
        journal.append(ws, _move(known[number], what, who=who, why=why, at=at, was=before, champion=number))
    return next(version for version in versions(ws, config) if version.number == number)


def rollback(ws: Workspace, config: RegisterConfig, *, who: str, why: str, at: datetime) -> RegisteredVersion:
    """Make the champion before this one the champion again, as the journal tells it; twice goes back two. After one
    that was stopped between alias and journal, it writes the line that is missing."""
    current = champion(ws, config)
    numbers = {version.run_id: version.number for version in versions(ws, config)}
    line = [numbers[run] for run in journal.champions(journal.read(ws)) if run in numbers]
    if current is not None and line and line[-1] == current.number:
        line.pop()
    elif current is not None and current.number in line:
        line = [current.number]
    if current is None or not line:
        raise ValueError("there is no earlier champion to go back to; `selfparam status` lists the versions")
    return promote(ws, config, line[-1], who=who, why=why, at=at, what="rollback")


def settle(
    ws: Workspace,
    config: RegisterConfig,
    number: int,
    *,
    accepted: bool,
    reasons: Sequence[str],
    who: str,
    at: datetime,
) -> RegisteredVersion:
    """Record the gate's verdict on a version, and promote it where it was accepted. Done twice it does nothing.

    A version that has been champion is not promoted again: whoever chose another since then meant it. So it is in a
    registry made anew, where the journal tells that somebody went back from that batch.
    """
    version = find(ws, config, str(number))
    if version is None:
        raise ValueError(f"there is no version {number} to settle")
    verdict: Literal["accepted", "refused"] = "accepted" if accepted else "refused"
    what: journal.What = "accept" if accepted else "refuse"
    why = "; ".join(reasons)
    mlflow = client(ws, config)
    if version.verdict != verdict:
        mlflow.set_tag(version.run_id, "gate", verdict)
        mlflow.set_tag(version.run_id, "gate.reasons", why[:5000])
        mlflow.log_metric(version.run_id, "gate/accepted", float(accepted))
        mlflow.set_model_version_tag(config.model, str(number), "gate.reasons", why[:5000])
        mlflow.set_model_version_tag(config.model, str(number), "gate", verdict)
    moves = [move for move in journal.read(ws) if move.run == version.run_id]
    if what not in [move.what for move in moves if move.what in ("accept", "refuse")][-1:]:
        now = champion(ws, config)
        held = now.number if now else None
        journal.append(ws, _move(version, what, who=who, why=why, at=at, was=held, champion=held))
    if CHALLENGER in version.aliases:
        mlflow.delete_registered_model_alias(config.model, CHALLENGER)
    if accepted and not any(move.what in ("promote", "rollback") for move in moves):
        if version.batch in _taken_back(ws, config):
            log.info("%s is not promoted: somebody went back from it (`selfparam promote %d`)", version.batch, number)
        else:
            promote(ws, config, number, who=who, why=why, at=at)
    return next(v for v in versions(ws, config) if v.number == number)


def _move(version: RegisteredVersion, what: journal.What, **told: Any) -> journal.Move:
    return journal.Move(what=what, version=version.number, batch=version.batch, run=version.run_id, **told)


def _taken_back(ws: Workspace, config: RegisterConfig) -> set[str]:
    """Batches from whose last version somebody went back, by what other registries left in the journal: a clone has
    the journal from git, and a registry of its own."""
    here = {version.run_id for version in versions(ws, config)}
    foreign = [move for move in journal.read(ws) if move.run not in here and move.what in ("promote", "rollback")]
    line = journal.champions(foreign, back=("promote", "rollback"))
    last = {move.batch: move.run for move in foreign}
    return {batch for batch, run in last.items() if run not in line}
