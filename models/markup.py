"""What a text in Markdown says, without its marks: documents and the turns of chats are written in it.

Parsed by markdown-it-py (CommonMark and tables). Text without marks comes out as it went in, but for blank lines.
"""

from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

# No HTML, no lines that are code for their indentation, no "[1]: ..." that vanishes: in plain text they are none.
_MARKDOWN = MarkdownIt("commonmark").enable("table").disable(["code", "html_block", "html_inline", "reference"])
_YEAR = 4  # digits; "1984. A novel" begins no list


def plain(text: str) -> str:
    """`text` in blocks with a blank line between: paragraphs and items in the lines they had, a sentence for each cell
    of a table ("The cost of GPUs is $12,400"); code is left out."""
    return "\n\n".join(_blocks(_MARKDOWN.parse(text)))


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    mark = ""
    header: list[str] = []
    row: list[str] = []
    for at, token in enumerate(tokens):
        if token.type == "list_item_open":
            mark = f"{token.info}{token.markup} " if len(token.info) >= _YEAR else ""
        elif token.type == "inline" and tokens[at - 1].type in ("th_open", "td_open"):
            row.append(_said(token))
        elif token.type == "inline":
            yield mark + _said(token)
            mark = ""
        elif token.type == "tr_close":
            if header:
                yield from _of_row(header, row)
            header, row = header or row, []
        elif token.type == "table_close":
            header = []


def _said(inline: Token) -> str:
    """The text of a line, without marks; of a link what is shown of it."""
    breaks = ("softbreak", "hardbreak")
    return "".join("\n" if child.type in breaks else child.content for child in inline.children or ())


def _of_row(header: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    """What a table's row says of what its first cell names, in sentences whose grammar is easily asked about."""
    for name, cell in list(zip(header, row, strict=True))[1:]:
        if row[0] and name and any(map(str.isalnum, cell)):
            noun = name if name[1:2].isupper() else name[0].lower() + name[1:]
            yield f"The {noun} of {row[0]} is {cell.rstrip('.')}."
