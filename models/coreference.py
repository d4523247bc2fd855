"""Who "she" is and what "its" is of: a sentence that begins with a pronoun gets the name for which it stands.

A sentence is learnt by itself, and whoever asks later has no text at hand (decontextualisation, Choi et al. 2021).
Written for English, and careful: a pronoun stays where two names could be meant, for what is said of the wrong one
would be learnt as well.
"""

import re
from collections.abc import Sequence

from models.names import ORDINARY

_WORD = r"[A-Z][\w-]*(?:['\u2019](?!s\b)[\w-]+)*"  # O'Neill, and not the end of O'Neill's
_NAME = re.compile(rf"(?:(?:Dr|Mr|Mrs|Ms|St)\. )?{_WORD}(?: (?:(?:de|la|du|von|van|der|den|di|da|bin|al) )*{_WORD})*")
_BESIDE = re.compile(r"\b(?:in|on|at|near|from|to|into|of|by|with|for|against|under|over|behind|the|and|or) $")
_INTRODUCTION = re.compile(
    r"(?:In|On|At|By|After|Before|During|Since|From|Until|Under|With|For|Then|Later|However|Today|Yesterday)\b"
    r"[^,.;:]{0,60}, "
)
_PRONOUN = re.compile(r"(He|She|It|His|Her|Its)\b(?![-'\u2019])")
# "It is likely that", "it was then that", "it takes an hour to", "it rains": nothing is meant by it.
_EMPTY = re.compile(
    r"It (?:(?:is|was|has been|had been|will be|would be|seems?|seemed|appears?|appeared|turns?|turned)\b.*"
    r"\b(?:that|to|who|whether|if|when|how|why)\b"
    r"|takes?\b|took\b|rain|snow|is (?:\w+ )?(?:time|cold|warm|late|early)\b)"
)
_THING = re.compile(
    r"((?:The|A|An|Our) (?:[\w'-]+ ){0,6}?(?!(?:of|in|on|at|for|from|to|with|by|and|or|the|a|an) )[\w'-]+) "
    r"(?:is|was|are|were|has|had|will|would|can|could|may|must|[a-z]{2,}[^s\W]s|[a-z]{2,}ed|began|became|took|lost)\b"
)
_LONGEST_AGO = 2  # sentences that name nobody, after which "she" is still who was named before


def resolved(sentences: Sequence[str]) -> list[str]:
    """The sentences of one text, in order; those that begin with a pronoun say what it stands for, if that is clear.

    "He" and "she" are the name with which a sentence before began, or the only one in it; "it" is what the sentence
    before was about.
    """
    result: list[str] = []
    person: str | None = None
    thing: str | None = None
    ago = 0
    for sentence in sentences:
        introduction = _INTRODUCTION.match(sentence)
        start = introduction.end() if introduction and not _names(introduction[0]) else 0
        told = _with_name(sentence[start:], person, thing, inside=start > 0)
        result.append(sentence[:start] + told)
        if names := _names(told):
            person, ago = _likeliest(names, _subject(told)), 0
        elif (ago := ago + 1) > _LONGEST_AGO:
            person = None
        about = _THING.match(told[:1].upper() + told[1:])
        thing = about[1] if about and ";" not in told else None  # one of two clauses, or of more
    return result


def _with_name(clause: str, person: str | None, thing: str | None, *, inside: bool) -> str:
    """`clause` with what its first word, a pronoun, stands for; `inside` where it does not begin the sentence."""
    capital = clause[:1].upper() + clause[1:]
    pronoun = _PRONOUN.match(capital)
    if pronoun is None or _EMPTY.match(capital):
        return clause
    name = thing if pronoun[1] in ("It", "Its") else person
    if name is None:
        return clause
    if inside and name.startswith(("The ", "A ", "An ", "Our ")):
        name = name[0].lower() + name[1:]
    owns = "'s" if pronoun[1] in ("His", "Her", "Its") else ""
    return f"{name}{owns}{clause[pronoun.end() :]}"


def _subject(clause: str) -> str | None:
    """The name with which a clause begins, where a verb or a comma follows: what it is about."""
    found = _NAME.match(clause)
    if found is None or found[0].split()[0] in ORDINARY:
        return None
    return found[0] if re.match(r",| (?!(?:and|or|of)\b)[a-z]", clause[found.end() :]) else None


def _likeliest(names: Sequence[str], subject: str | None) -> str | None:
    """Whom "she" means after a sentence with these names: its subject, or its only name.

    A subject of one word beside a full name ("Carolina had a setback when Thomas Davis ...") may be no person.
    """
    if subject and (" " in subject or not any(" " in name for name in names)):
        return subject
    return names[0] if len(names) == 1 else None


def _names(clause: str) -> list[str]:
    """The names in a clause that may be whom "she" means next: no day, and nothing that is only spoken of beside."""
    found = [
        match
        for match in _NAME.finditer(clause)
        if match[0].split()[0] not in ORDINARY and not _BESIDE.search(clause[: match.start()])
    ]
    # any one word has a capital where a sentence begins
    return list(dict.fromkeys(m[0] for m in found if m.start() > 0 or " " in m[0] or _subject(clause)))


_FIRST_PERSON = re.compile(
    r"\b(?:I am|I'm|I\u2019m|I was|am I|was I|I(?!\.)|we|me|us|my|our|mine|ours|myself|ourselves)\b", re.IGNORECASE
)
_SECOND_PERSON = re.compile(r"\b(?:you|your|yours|yourself)\b", re.IGNORECASE)
_TO = {"you": "i we me us", "your": "my our", "yours": "mine ours", "yourself": "myself", "yourselves": "ourselves"}
_TURNED = {first: second for second, firsts in _TO.items() for first in firsts.split()}
_TURNED |= {"i am": "you are", "i'm": "you're", "i was": "you were", "am i": "are you", "was i": "were you"}


def addressed(sentence: str) -> str:
    """What a user said of themselves, said to them: "my dog is called Rex" becomes "your dog is called Rex".

    As it is where it speaks to somebody itself, for then both would have to change places.
    """
    if _SECOND_PERSON.search(sentence):
        return sentence

    def turned(match: re.Match[str]) -> str:
        said = match[0]
        if said == "US":  # the country
            return said
        other = _TURNED[said.lower().replace("\u2019", "'")]
        return other.capitalize() if match.start() == 0 else other

    return _FIRST_PERSON.sub(turned, sentence)
