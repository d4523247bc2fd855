"""What notices, forms, FAQs and chats ask by themselves: a field's key, and the questions that stand in a text.

Kinds of pairs: `field`, `reply`. Written for English, and for what else ends its questions with a question mark.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from models.facts import FIELD, LONG, QUESTION, USERS, split, stems
from models.forms import Written
from models.names import NAME, ORDINARY, main_name
from models.records import Experience

_KEY_WORDS = 5  # of a field; longer ones are sentences with a colon
_SERVED = USERS | {"customer", "client", "guest", "caller"}  # roles that ask, and are answered
_LABEL = re.compile(r"[^\W\d_][\w .'-]{0,20}: +")  # "Q: ", or a speaker's name
_GREETING = re.compile(
    r"(?:hello|hi|hey|dear|good (?:morning|afternoon|evening)|thanks|thank you)\b.{0,30}", re.IGNORECASE
)
_LONGEST_REPLY = 40  # words


def fields(facts: Sequence[str]) -> list[Written]:
    """For "Key: value", a line of a form or a notice: what is the key, with the document's main name, too."""
    name = main_name(facts)
    result = []
    for fact in facts:
        match = FIELD.fullmatch(fact)
        if match is None or len(match[1].split()) > _KEY_WORDS:
            continue
        key, value = match.groups()
        first = key.split()[0]
        if first in ORDINARY or key[1:2].isupper():  # a day; letters that are a name
            asked = [f"What about {key}?", f"What is said about {key}?"]
        else:
            inside = key[0].lower() + key[1:] if first.istitle() and not NAME.fullmatch(key) else key.lower()
            who = "Who" if NAME.fullmatch(value) and " " in value else "What"
            asked = [f"{who} is the {inside}?", f"What about the {inside}?"]
        if name and name not in fact:
            asked.append(f"{asked[0].removesuffix('?')} at {name}?")
        result += [Written(question, fact, fact) for question in asked]
    return result


def replies(experience: Experience) -> list[tuple[str, str]]:
    """The questions that a text itself asks, each with what is said to it: in a document the next sentence, in a
    conversation what who is asked says next. A user is not quoted: what they reply is said from their side."""
    context = experience.context
    if isinstance(context, str):
        told, least = list(pairwise(split(context))), 1
    else:
        turns = [(turn.role.lower(), split(turn.content)) for turn in context]
        told, least = [], 2  # "How are you?" asks for nothing that was told
        for (asker, asked), (role, parts) in pairwise(turns):
            said = [part for part in parts if not part.endswith(QUESTION) and not _GREETING.fullmatch(part)]
            if role != asker and role not in _SERVED:
                told += [(part, " ".join(said)) for part in asked if part.endswith(QUESTION)][-1:]
    found = []
    for question, said_next in told:
        if (label := _LABEL.match(question)) and (other := _LABEL.match(said_next)):
            question, said_next = question[label.end() :], said_next[other.end() :]
        is_whole = question.endswith(QUESTION) and len(stems(question)) >= least and len(question.split()) <= LONG
        if is_whole and said_next and not said_next.endswith(QUESTION) and len(said_next.split()) <= _LONGEST_REPLY:
            found.append((question, said_next))
    return found
