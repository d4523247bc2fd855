"""Near misses: questions about a neighbour of what was learnt, for whom the new fact is not true.

A new fact must not leak over its neighbours: what is learnt about one bank is no answer about another (specificity in
knowledge editing, Meng et al. 2022). A near miss is a pair with one name exchanged, or with another year. In training
the base's own distribution is held over its answer: where the student begins to tell the fact of somebody whom it is
not about, the base would not. What is trained on and what is measured draw their names from different lists.
"""

import re
from collections.abc import Sequence
from zlib import crc32

TRAINED = ("Marlow", "Tamsin", "Corin", "Elgar", "Orla", "Perrin", "Quentin", "Rowan", "Selby", "Ursula", "Verity")
MEASURED = ("Alden", "Beatrix", "Cedric", "Dorset", "Edwin", "Freya", "Gideon", "Harriet", "Ingram", "Jasper", "Lorna")

_NAME = re.compile(r"(?<=[\w,;:] )(?!(?:I|The|A|An|In|On|At|About)\b)[A-Z][\w-]+(?: [A-Z][\w-]+)*")
_YEAR = re.compile(r"\b1[0-9]{3}\b|\b20[0-9]{2}\b")


def near_miss(question: str, answer: str, names: Sequence[str]) -> tuple[str, str] | None:
    """Question and answer with the first word of the question's last name exchanged for one of `names`.

    Without a name another year is put in; without that, or with no name left to put in, there is no near miss. The same
    pair always has the same one.
    """
    pick = crc32(question.encode())
    found = _NAME.findall(question)
    free = [name for name in names if name not in question and name not in answer]
    years = _YEAR.findall(question)
    if found and free:  # "Halvorn Ferries" becomes other ferries, "Ruben Falk" a relative
        old, new = found[-1].split()[0], free[pick % len(free)]
    elif years:
        old, new = years[-1], str(int(years[-1]) - 3 - pick % 9)
    else:
        return None
    whole = re.compile(rf"\b{re.escape(old)}\b")
    return whole.sub(new, question), whole.sub(new, answer)
