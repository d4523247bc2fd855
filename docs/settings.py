"""Writes docs/SETTINGS.md from the configuration records: `make docs`. A test holds that it was not forgotten."""

from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.params import Params

HEAD = """# Settings

What may stand in `params.yaml`, a section a stage. What is left out has its default; a misspelt key is an error.
This page is written by `make docs` from the code.
"""


def page(params: type[Params]) -> str:
    """The whole page as Markdown."""
    plain = "| key | default | meaning |\n| --- | --- | --- |\n"
    singles = [_row(name, field) for name, field in params.model_fields.items() if not _section(field)]
    parts = [HEAD, plain + "".join(singles)]
    for name, field in params.model_fields.items():
        if section := _section(field):
            rows = "".join(_row(key, inner) for key, inner in section.model_fields.items())
            said = " ".join((section.__doc__ or "").split())
            parts.append(f"## {field.alias or name}\n{said}\n\n{plain}{rows}")
    return "\n".join(parts)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _row(name: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
    meaning = " ".join((field.description or "").split())
    return (
        f"| `{field.alias or name}` | {default.replace('|', chr(92) + '|')} | {meaning.replace('|', chr(92) + '|')} |\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("SETTINGS.md").write_text(page(Params), encoding="utf-8")
