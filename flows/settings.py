"""`params.yaml` as it stands, and single sections of it checked.

A stage reads its own section (`base` also `evaluate`, for it measures the base); `flows.params` composes and checks the
whole at the start of a round.
"""

from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.registry import RegisterConfig
from tasks.workspace import Workspace

C = TypeVar("C", bound=BaseModel)


class RunConfig(BaseModel):
    """How a round behaves beside its stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    commit: bool = Field(
        default=True, description="git commits: a batch that arrived, one that was learnt, a champion moved by hand"
    )


def read(ws: Workspace) -> dict[str, Any]:
    """The file as it stands; a section all of whose lines are commented out is an empty one."""
    try:
        found = yaml.safe_load(ws.params.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{ws.params} is not YAML: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{ws.params} holds no sections.")
    return {name: {} if values is None else values for name, values in found.items()}


def section(ws: Workspace, name: str, config: type[C]) -> C:
    """One section, checked."""
    return checked(ws, config, read(ws).get(name, {}), name)


def checked(ws: Workspace, config: type[C], values: Any, name: str = "") -> C:
    """`values` as a configuration; a wrong one is named with its place in the file."""
    try:
        return config.model_validate(values)
    except ValidationError as error:
        prefix = [name] if name else []
        wrong = "; ".join(f"{'.'.join(map(str, [*prefix, *e['loc']]))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"{ws.params}: {wrong}. Correct it and start again.") from error


def commits(ws: Workspace) -> bool:
    """Whether git commits are made here."""
    return section(ws, "run", RunConfig).commit


def register_config(ws: Workspace) -> RegisterConfig:
    """Where runs and versions are recorded."""
    return section(ws, "register", RegisterConfig)
