"""From files to the lines of a raw batch, and from a line to an experience. Nothing is lost here: a line that is no
experience travels on as it is, and validation quarantines it.

Bytes that are not UTF-8 are carried through as surrogate escapes (PEP 383), so that `write_lines` puts down the
same bytes that `read_lines` found. Knows no workspace, no batch names and no model.
"""

import codecs
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from models.files import written_aside
from models.records import Experience

DOCUMENTS = (".md", ".txt")
SUFFIXES = (".jsonl", *DOCUMENTS)
LONGEST_LINE = 200_000  # characters; a longer line is not read as JSON


def records_of(path: Path) -> list[str]:
    """The lines that `path` adds to a raw batch: those of a `.jsonl` file as they are, blank ones too, or one for a
    document."""
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return read_lines(path)
    if suffix in DOCUMENTS:
        return [_document(path)]
    raise ValueError(
        f"{path}: cannot take in {suffix or 'a file without a suffix'}. Give {', '.join(SUFFIXES)}: a .jsonl file "
        "holds an experience a line, a .md or .txt file is one experience."
    )


def experiences(path: Path) -> tuple[list[Experience], dict[int, str]]:
    """The experiences of a file; and of the lines that are none, by number, what is wrong with them."""
    found: list[Experience] = []
    wrong: dict[int, str] = {}
    for number, line in enumerate(records_of(path), start=1):
        try:
            if line.strip():
                found.append(experience_of(line))
        except ValueError as error:
            wrong[number] = str(error)
    return found, wrong


def read_lines(path: Path) -> list[str]:
    """Every line of a file, blank ones too, so that the place in the list plus one is the line's number.

    Only a line feed ends a line (a text may hold U+2028 or a form feed). A byte order mark and carriage returns go.
    """
    lines = _decoded(path.read_bytes()).split("\n")
    if lines[-1] == "":  # what follows the last line feed is not a line
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def text_of(path: Path) -> str:
    """A text file as it would be taken in. ValueError where it holds bytes that are no text."""
    text = _text(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{path}: not UTF-8 at character {error.start + 1}: save the file as UTF-8") from error
    return text


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a raw batch, atomically; escaped bytes become again what they were."""
    with written_aside(path) as aside:
        aside.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))


def digest_of(lines: Iterable[str]) -> str:
    """SHA-256 of what the lines hold: blank lines, white space around a line and the order do not count."""
    kept = sorted(line.strip().encode("utf-8", "surrogateescape") for line in lines if line.strip())
    return hashlib.sha256(b"\n".join(kept)).hexdigest()


def experience_of(line: str) -> Experience:
    """Read one line; a `ValueError` says for people what is wrong with it."""
    if len(line) > LONGEST_LINE:
        raise ValueError(f"the line has {len(line)} characters, and at most {LONGEST_LINE} are read: split it")
    try:
        line.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"not UTF-8 at character {error.start + 1}: save the file as UTF-8") from error
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise ValueError("not an experience: brackets within brackets without end") from error
    if not isinstance(fields, dict):
        raise ValueError('not a JSON object: an experience is written {"id": …, "context": …}')
    fields = {key: value for key, value in fields.items() if value is not None}  # null says: left out
    moment = fields.get("occurred_at")  # pydantic would read 20260304 as seconds
    if moment is not None and not (isinstance(moment, str) and re.match(r"\d{4}-\d{2}-\d{2}", moment)):
        raise ValueError("occurred_at: not a date in ISO 8601, such as 2026-03-04 or 2026-03-04T09:30:00+01:00")
    try:
        return Experience.model_validate(fields)
    except ValidationError as error:
        raise ValueError(_told(error)) from error


def id_of(line: str) -> str | None:
    """The id of a line that is no experience, as far as it can be read."""
    try:
        fields = json.loads(line) if len(line) <= LONGEST_LINE else None
    except (ValueError, RecursionError):
        return None
    found = fields.get("id") if isinstance(fields, dict) else None
    return shown(found) if isinstance(found, str) else None


def shown(line: str) -> str:
    """The line as plain text: a byte that is not UTF-8 reads `\\xff`, half a surrogate pair `\\ud83d`."""
    return "".join(_escaped(char) if "\ud800" <= char <= "\udfff" else char for char in line)


def _escaped(surrogate: str) -> str:
    code = ord(surrogate)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _told(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    wrong = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in found[:3]]
    return "; ".join(wrong) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")


def _document(path: Path) -> str:
    """One record a document. The id holds a digest of the text: `notes.md` may come again with other words in it."""
    text = _text(path).strip()
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return json.dumps({"id": f"{path.stem}-{digest}", "context": text, "source": path.name}, ensure_ascii=False)


def _text(path: Path) -> str:
    return _decoded(path.read_bytes()).replace("\r\n", "\n")


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # what some editors call "Unicode"
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            pass  # the mark was chance; the bytes are carried through like any others
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
