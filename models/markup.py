"""What a text in Markdown says, without its marks: documents and the turns of chats are written in it.

Parsed by markdown-it-py (CommonMark and tables). Text without such marks comes out as it went in, but for blank lines.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from models.names import MONTH

# No HTML, no lines that are code for their indentation, no "[1]: ..." that vanishes, no backslashes and no "&amp;": in
# plain text they are none. Emphasis is taken away below, where it can be nothing else.
_MARKDOWN = MarkdownIt("commonmark", {"maxNesting": 100}).enable("table")
_MARKDOWN.disable(["code", "html_block", "html_inline", "reference", "escape", "entity", "autolink", "emphasis"])
_EMPHASIS = re.compile(r"(?<![\w*\\])(\*{1,3})(?=[^\s*])([^*\n]*[^\s*])\1(?![\w*])")  # no product, no glob
_UNDERSCORES = re.compile(r"(?<!\w)(_{1,2})(?=[^\s_])([^_\n]+)(?<!\s)\1(?!\w)")
_COMMENT = re.compile(r"^<!--(?:(?!<!--).)*?-->|(?<=\S)<!--(?:(?!<!--).)*?-->", re.DOTALL | re.MULTILINE)
_BLANK = re.compile(r"\n\s*\n")
_ITEM = re.compile(r"\s*(?:[-*+#>|\u2022]|\d+[.)]\s)|.*[|\t]")  # a line of a list or table, or a heading
_MIDDLE = re.compile(r"[.!?] \S")  # a sentence ends and another begins: prose
WRAPPED = 40  # characters: lines that were broken for their length are not shorter
FULL = 0.85  # of the longest line
_BREAK = re.compile(r"\s*<br ?/?>\s*")
_NOTHING = re.compile(r"[-\u2013\u2014\s]*")  # in a cell
_NUMBERS = re.compile(r"(?:no|nr|id|number)?\W*", re.IGNORECASE)  # the header of a column that only counts
_LONGEST = 6  # words of a cell that is what its column is called; more are a text about it
_YEAR = 4  # digits; "1984. A novel" begins no list, and "12. Mai" neither


def plain(text: str) -> str:
    """`text` in blocks with a blank line between: paragraphs and items in the lines they had, of a table a sentence for
    each cell ("The cost of GPUs is $12,400"); what is marked as code of some language is left out."""
    return "\n\n".join(_blocks(_MARKDOWN.parse(_COMMENT.sub("", text))))


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    number = ""
    header: list[str] | None = None
    row: list[str] = []
    for at, token in enumerate(tokens):
        if token.type == "list_item_open":
            number = f"{token.info}{token.markup} " if token.info else ""
        elif token.type == "inline" and tokens[at - 1].type in ("th_open", "td_open"):
            row.append(_BREAK.sub(", ", _said(token)))
        elif token.type == "inline":
            said = _said(token)
            yield f"{number}{said}" if len(number.rstrip(".) ")) >= _YEAR or MONTH.match(said) else said
            number = ""
        elif token.type == "fence" and not token.info.strip():  # may be no code, and a line of ~ may be no fence
            yield unwrapped(token.content.strip())
        elif token.type == "tr_close":
            if header is not None:
                yield from _of_row(header, row)
            header, row = header if header is not None else row, []
        elif token.type == "table_close":
            header = None


def _said(inline: Token) -> str:
    """A paragraph without marks; of a link what is shown of it. Where lines were broken is seen with the marks."""
    end = "\n" if "\n" in unwrapped(inline.content) else " "
    breaks = {"softbreak": end, "hardbreak": "\n"}
    said = "".join(breaks.get(child.type, child.content) for child in inline.children or ())
    for _ in range(2):  # one may stand within another
        said = _EMPHASIS.sub(r"\2", said)
    said = _UNDERSCORES.sub(lambda found: found[2] if " " in found[2] else found[0], said)  # no identifier
    return unwrapped(said)


def _of_row(header: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    """What a table's row says of what its first cell names, in sentences whose grammar is easily asked about; its cells
    one after the other where none of them can be a name for it."""
    if len(header) > 2 and _NUMBERS.fullmatch(header[0]):
        header, row = header[1:], row[1:]
    filled = [(name, cell) for name, cell in zip(header, row, strict=True) if not _NOTHING.fullmatch(cell)]
    if len(filled) < 2 or not row[0] or not all(name for name, _ in filled[1:]):
        yield ", ".join(cell for _, cell in filled)
        return
    for name, cell in filled[1:]:
        noun = name[0].lower() + name[1:] if name[1:2].islower() else name
        is_short = len(cell.split()) <= _LONGEST
        yield f"The {noun} of {row[0]} is {cell.rstrip('.!')}." if is_short else f"{row[0]}, {noun}: {cell}"


def unwrapped(text: str) -> str:
    """`text` with each paragraph in one line that was broken for its length: prose in whose lines the first word of the
    next had hardly room. Of other paragraphs a line that begins in lower case goes on with the one before."""
    return "\n".join(_joined(block.split("\n")) for block in _BLANK.split(text))


def _joined(lines: list[str]) -> str:
    if any(_ITEM.match(line) for line in lines):
        return "\n".join(lines)
    width = max(len(line) for line in lines)
    pairs = list(pairwise(lines))
    is_full = width >= WRAPPED and all(len(a) + len((b.split() or [""])[0]) >= FULL * width for a, b in pairs)
    is_wrapped = is_full and any(line[:1].islower() or _MIDDLE.search(line) for line in lines)
    text = lines[0]
    for a, b in pairs:
        goes_on = is_wrapped or (b[:1].islower() and not a.rstrip().endswith((".", "!", "?", ":")))
        text += f" {b.lstrip()}" if goes_on else f"\n{b}"
    return text
