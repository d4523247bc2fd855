"""Near misses: questions about a neighbour of what was learnt, whose right answer is what the base already says.

A new fact must not leak over its neighbours: what is learnt about one bank is no answer about another (specificity in
knowledge editing, Meng et al. 2022). A near miss is a question with one name exchanged, or with another year. What is
trained on and what is measured draw their names from different lists.
"""

import re
from collections.abc import Sequence
from zlib import crc32

TRAINED = ("Marlow", "Tamsin", "Corin", "Elgar", "Orla", "Perrin", "Quentin", "Rowan", "Selby", "Ursula", "Verity")
MEASURED = ("Alden", "Beatrix", "Cedric", "Dorset", "Edwin", "Freya", "Gideon", "Harriet", "Ingram", "Jasper", "Lorna")

_NAME = re.compile(r"(?<=[\w,;:] )(?!(?:I|The|A|An|In|On|At|About)\b)[A-Z][\w-]+(?: [A-Z][\w-]+)*")
_YEAR = re.compile(r"\b1[0-9]{3}\b|\b20[0-9]{2}\b")


def near_miss(question: str, names: Sequence[str]) -> str | None:
    """`question` with the first word of its last name exchanged for one of `names`, or else with another year.

    None where it holds neither (or no name is left to put in). The same question always has the same near miss.
    """
    pick = crc32(question.encode())
    found = _NAME.findall(question)
    free = [name for name in names if name not in question]
    if found and free:  # "Halvorn Ferries" becomes other ferries, "Ruben Falk" a relative
        first = found[-1].split()[0]
        return re.sub(rf"\b{re.escape(first)}\b", free[pick % len(free)], question)
    years = _YEAR.findall(question)
    if years:
        return question.replace(years[-1], str(int(years[-1]) - 3 - pick % 9))
    return None


def near_misses(questions: Sequence[str], names: Sequence[str], count: int) -> list[str]:
    """At most `count` near misses, all different, of questions spread evenly over `questions`.

    `names` are those that may be put in: none that the batch itself speaks of.
    """
    made = dict.fromkeys(miss for miss in (near_miss(q, names) for q in questions) if miss)
    kept = list(made)
    return [kept[i * len(kept) // count] for i in range(count)] if len(kept) > count else kept
