"""What is a name in an English sentence, by its capitals, and what only begins one."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence

NAME = re.compile(r"(?:(?:Dr|Mr|Mrs|Ms|Prof|St)\. )?[A-Z][\w'-]+(?: [A-Z][\w'-]+)*")
# What begins a sentence with a capital, and is no part of a name; days and months.
OPENERS = frozenset(
    """I A An The This That These Those My Our Your We You He She It They His Her Its Their There Here In On At By After
    Before During When While Since From For With Under Until Despite Besides Of To As If Although Because But And Or So
    Then Now Yes No Not Dear Hello Hi Thanks Please Meet Welcome Ask Call Contact Tell See Visit Write What Who Where
    How Why Which Both Each Some Many Most All One Two Three However Later Also Only Even Today Tomorrow
    Yesterday""".split()  # noqa: SIM905
)
_DATES = frozenset(
    """Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August
    September October November December""".split()  # noqa: SIM905
)
ORDINARY = OPENERS | _DATES
# Before which a number with a full stop is a day: "12. Mai", "3. mars", "1. March".
MONTH = re.compile(
    r"(?:january|february|march|may|june|july|october|december|januar|j\u00e4nner|februar|m\u00e4rz|marts|mars|april|mai|maj"
    r"|juni|juli|august|september|oktober|november|dezember|desember)\b",
    re.IGNORECASE,
)


def unopened(name: str) -> str:
    """A name without the words that have their capital because a sentence begins ("Ask Oskar Lind"), nor the end of
    a genitive."""
    return " ".join(itertools.dropwhile(OPENERS.__contains__, name.removesuffix("'s").split()))


def main_name(facts: Sequence[str]) -> str | None:
    """The name of two words or more that most sentences hold, the first of equals; none where neither a third of the
    sentences hold it nor the first one does."""
    names = Counter(
        name for fact in facts for name in dict.fromkeys(NAME.findall(fact)) if " " in name and fact.find(name) > 0
    )
    text = " ".join(facts)
    most = max(names, key=lambda name: (names[name], -text.find(name)), default=None)
    return most if most and (most in facts[0] or names[most] * 3 >= len(facts)) else None
