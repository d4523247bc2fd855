"""Marks of Markdown are no part of what is learnt; a text without marks stays as it is."""

import pytest

from models.facts import sentences
from models.markup import plain
from models.records import Experience

NOTES = """# Weekly sync of the team

- The release of **Heron 2.4** moves from Dec. 1 to Dec. 15.
- Bob Ray takes over from Chen Wu. He is on call
  from Monday on.
  1. See [issue 412](https://git.example.com/412) in `main`.
  2) ![A chart](chart.png) of *costs* is_not_ready yet.

> Nobody<!-- or so it
seems --> objected to it.

```sh
rm -rf build && make all of it
```

| Item | owner | cost | URL |
| --- | --- | --- | --- |
| GPUs | **Ann Lee** | $12,400. | - |
| Desks | Bob Ray, who has them in the cellar now | $7 | |
| | Chen Wu | $3 | |

Two lines
Of an address

This is the [*first line*](https://git.example.com/a/very/long/address/of/the/kind) of
a paragraph that was broken for its length, as one sees with the marks.
"""


def test_marks_are_left_out_and_tables_are_read_aloud() -> None:
    assert plain(NOTES).split("\n\n") == [
        "Weekly sync of the team",
        "The release of Heron 2.4 moves from Dec. 1 to Dec. 15.",
        "Bob Ray takes over from Chen Wu. He is on call from Monday on.",
        "See issue 412 in main.",
        "A chart of costs is_not_ready yet.",
        "Nobody objected to it.",
        "The owner of GPUs is Ann Lee.",
        "The cost of GPUs is $12,400.",
        "Desks, owner: Bob Ray, who has them in the cellar now",
        "The cost of Desks is $7.",
        "Chen Wu, $3",
        "Two lines\nOf an address",
        "This is the first line of a paragraph that was broken for its length, as one sees with the marks.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "The price is 2 * 3 * 4 crowns; a_b, <b> & [c] stay.",
        "    A line that is indented stays a line.",
        "[10:40]: she came late",
        "1984. A novel by Orwell.",
        "12. Mai 2024: Das Fest findet statt.",
        "#hashtags are no headings",
        "Rooms of 4*5 m and 3*6 m; a*b*c, f(*args, **kwargs), __init__, \\\\server\\share and C:\\_temp &amp; _x_.",
        "a > b",
        "Adult: 14 crowns\nChild: 7 crowns",
        "",
    ],
)
def test_what_is_no_markdown_stays(text: str) -> None:
    assert plain(text) == text.strip()


def test_sentences_of_a_document_have_no_marks() -> None:
    found = sentences(Experience(id="a", context=NOTES))
    assert found[:4] == [
        "Weekly sync of the team",
        "The release of Heron 2.4 moves from Dec. 1 to Dec. 15.",
        "Bob Ray takes over from Chen Wu.",
        "Bob Ray is on call from Monday on.",
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("**Very *bold* words**, and _some others_", ["Very bold words, and some others"]),
        ("Notes\n~~~~~~~~\nThe pump is new.", ["Notes", "The pump is new."]),  # a line below a heading opens no code
        ("```\nThe pump is new.\n```", ["The pump is new."]),
        (">" * 30 + " deep", ["deep"]),
        ("| room | owner |\n|---|---|\n| 7 | Ann |\nBob has a key.", ["The owner of 7 is Ann.", "Bob has a key."]),
        ("| # | Task | Owner |\n|---|---|---|\n| 1 | Paint | Ann |", ["The owner of Paint is Ann."]),
        ("| | |\n|---|---|\n| Owner | Ann |", ["Owner, Ann"]),
        ("| Notes |\n|---|\n| Ann is ill |", ["Ann is ill"]),
        (
            "| Plan | SSO | Q1 |\n|---|---|---|\n| Free | \u2713 | a<br>b! |",
            ["The SSO of Free is \u2713.", "The Q1 of Free is a, b."],
        ),
        ("The arrow a <!-- is one.", ["The arrow a <!-- is one."]),
    ],
)
def test_nothing_is_lost(text: str, wanted: list[str]) -> None:
    assert plain(text).split("\n\n") == wanted
