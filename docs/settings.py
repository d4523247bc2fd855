"""Writes docs/SETTINGS.md from the configuration records: `make docs`. A test holds that it was not forgotten."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.params import Params

HEAD = """# Settings

What may stand in `params.yaml`, a section a component. A setting left out has its default; a misspelt key is an error.
`seed` and the sections themselves stay, an empty one as `{}`: DVC stops where one that `dvc.yaml` names is missing.
This page is written from the code by `make docs`.
"""
TABLE = "| key | default | meaning |\n| --- | --- | --- |\n"


def page(params: type[BaseModel]) -> str:
    """The whole page as Markdown."""
    fields = params.model_fields.items()
    singles = "".join(_row(name, field) for name, field in fields if not _section(field))
    parts = [HEAD, TABLE + singles]
    for name, field in fields:
        if section := _section(field):
            said = " ".join((section.__doc__ or "").split())
            parts.append(f"## {field.alias or name}\n{said}\n\n{TABLE}{''.join(_rows(section))}")
    return "\n".join(parts)


def _rows(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = _section(field)
        if inner is None or not isinstance(field.annotation, type):  # a section that may be absent has a row itself
            yield _row(f"{prefix}{field.alias or name}", field)
        if inner:
            yield from _rows(inner, f"{prefix}{field.alias or name}.")


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The record that a field holds, also where it may hold none."""
    kinds = get_args(field.annotation) or (field.annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _row(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    shown = "required" if field.is_required() else "none" if default is None else f"`{default}`"
    meaning = " ".join((field.description or "").split())
    if get_origin(field.annotation) is Literal:
        meaning += f" (one of {', '.join(f'`{choice}`' for choice in get_args(field.annotation))})"
    return f"| `{name}` | {_cell(shown)} | {_cell(meaning)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    Path(__file__).with_name("SETTINGS.md").write_text(page(Params), encoding="utf-8")
