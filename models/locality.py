"""Near misses: questions about a neighbour of what was learnt, for whom the new fact is not true.

A new fact must not leak over its neighbours: what is learnt about one bank is no answer about another (specificity in
knowledge editing, Meng et al. 2022). A near miss is a pair with one name exchanged, or with another year. In training
the base's own distribution is held over what its answer tells, from the first word on that the base would hardly say:
how an answer is put is left free, for that is learnt from the pair. What is trained on and what is measured draw their
names from different lists.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

from models.answers import of_states
from models.model import LanguageModel
from models.teacher import TargetSentence, target_sentences

TRAINED = ("Marlow", "Tamsin", "Corin", "Elgar", "Orla", "Perrin", "Quentin", "Rowan", "Selby", "Ursula", "Verity")
MEASURED = ("Alden", "Beatrix", "Cedric", "Dorset", "Edwin", "Freya", "Gideon", "Harriet", "Ingram", "Jasper", "Lorna")

UNLIKELY = math.log(0.05)  # what the base would hardly say

_NAME = re.compile(r"(?<=[\w,;:] )(?!(?:I|The|A|An|In|On|At|About)\b)[A-Z][\w-]+(?: [A-Z][\w-]+)*")
_YEAR = re.compile(r"\b1[0-9]{3}\b|\b20[0-9]{2}\b")


def near_miss(question: str, answer: str, names: Sequence[str], text: str) -> tuple[str, str] | None:
    """Question and answer about another: of the question's names that which `text` holds most often is exchanged.

    Its first word becomes one of `names`: "Halvorn Ferries" other ferries, "Ruben Falk" a relative. Without a name the
    year becomes another one. None without either, with no name left to put in, and where the answer speaks of another
    name of the question: it may be that which the fact is about. The same pair always has the same near miss.
    """
    pick = crc32(question.encode())
    found = sorted(_NAME.findall(question), key=text.count)
    free = [name for name in names if name not in question and name not in answer]
    years = _YEAR.findall(question)
    if any(name in answer for name in found[:-1]):
        return None
    if found and free:
        old, new = found[-1].split()[0], free[pick % len(free)]
    elif years:
        old, new = years[-1], str(int(years[-1]) - 3 - pick % 9)
    else:
        return None
    whole = re.compile(rf"\b{re.escape(old)}\b")
    return whole.sub(new, question), whole.sub(new, answer)


def held(base: LanguageModel, misses: Sequence[tuple[str, str]], *, origin: str) -> list[TargetSentence]:
    """The near misses (question, answer) as target sentences on which a student is to stay what `base` is.

    Loss is carried from the first answer token to which the base gives less than `UNLIKELY`, without the end of the
    turn; where there is none, the answer tells nothing that could leak, and it is left out.
    """
    result = []
    sentences = target_sentences(base, None, misses, origin=origin)
    likely = of_states(base, [s.states_TD for s in sentences], [s.answer for s in sentences])
    for s, logp_T in zip(sentences, likely, strict=True):
        first = next((t for t, logp in enumerate(logp_T[:-1].tolist()) if logp < UNLIKELY), None)
        if first is not None:
            told = slice(first, len(s.answer) - 1)
            prompt = (*s.prompt, *s.answer[:first])
            result.append(replace(s, prompt=prompt, answer=s.answer[told], states_TD=s.states_TD[told]))
    return result
