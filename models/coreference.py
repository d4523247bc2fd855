"""Who "she" is and what "its" is of: a sentence that begins with a pronoun gets the name for which it stands.

A sentence is learnt by itself, and whoever asks later has no text at hand (decontextualisation, Choi et al. 2021).
Written for English, and careful: a pronoun stays where two names could be meant, for what is said of the wrong one
would be learnt as well.
"""

import re
from collections.abc import Collection, Sequence

from models.english import is_english
from models.names import ORDINARY

_WORD = r"[A-Z][\w-]*(?:['\u2019](?!s\b)[\w-]+)*"  # O'Neill, and not the end of O'Neill's
_NAME = re.compile(rf"(?:(?:Dr|Mr|Mrs|Ms|St)\. )?{_WORD}(?: (?:(?:de|la|du|von|van|der|den|di|da|bin|al) )*{_WORD})*")
_BESIDE = re.compile(r"\b(?:in|on|at|near|from|to|into|of|by|with|for|against|under|over|behind|as|an?|the|and|or) $")
_INTRODUCTION = re.compile(
    r"(?:In|On|At|By|After|Before|During|Since|From|Until|Under|With|For|Then|Later|However|Today|Yesterday)\b"
    r"[^,.;:]{0,60}, "
)
_PRONOUN = re.compile(r"(He|She|It|His|Her|Its)\b(?![-'\u2019]| [A-Z])")
# "It was sold", "it is a member of", "it opens": something is meant. "It is dark", "it seems", "it rains": nothing is.
_MEANT = re.compile(
    r"It (?:(?:is|was|has been|had been) (?:(?:also|now|then|later|first) )?(?:[a-z]+ed|built|made|sold|found|held|kept"
    r"|lost|an?|the|in|on|at)\b(?!.*\b(?:that|whether|who)\b)|(?!is|was|has|seems|appears|turns|takes|rains|snows)[a-z]+s\b"
    r"|(?!seemed|appeared|turned|rained|snowed)[a-z]+ed\b|will|can|may|must)"
)
_THING = re.compile(
    r"((?:The|Our) (?:[\w'-]+ ){0,6}?(?!(?:of|in|on|at|for|from|to|with|by|and|or|the|a|an) )[\w'-]+)"
    r" (?:is|was|has been)\b"
)
_ANOTHER = re.compile(r"\b(?:an?|the|some|another|my|our|your|his|her|its|their) ")
_SOMEBODY = re.compile(
    r"(?:\b(?:an?|another|my|our|your|his|her|their)|['\u2019]s) (?:[a-z]+ ){0,3}?(?:husband|wife|child|boy|girl|son"
    r"|boss|friend|chief|king|queen|clerk|guest|nurse|cook|pet|dog|cat|horse|[a-z]+(?:er|or|ist|ian|ant|man|woman))\b"
)
# "is a teacher", "as his successor", "of the team": said of the same one, or no person.
_SAME = re.compile(r"\b(?:is|are|was|were|be|been|as|became|called|in|on|at|of|to|from|into|for|by|near|under|over) $")
_LONGEST_AGO = 2  # sentences that name nobody, after which "she" is still who was named before
_FEMALE = frozenset({"She", "Her"})


def resolved(sentences: Sequence[str]) -> list[str]:
    """The sentences of one text, in order; those that begin with a pronoun say what it stands for, if that is clear.
    A text in another language than English stays as it is.

    "He" and "she" are the name with which a sentence before began, or the only one in it, where nobody else was spoken
    of; "it" is what the sentence before was about, where that spoke of nothing else.
    """
    if not is_english(" ".join(sentences)):
        return list(sentences)
    known = {m[0] for sentence in sentences for m in _NAME.finditer(sentence) if m.start() > 0}
    result: list[str] = []
    person: str | None = None
    thing: str | None = None
    females: dict[str, bool] = {}  # of the names that were meant, whether by "she"
    ago = 0
    for sentence in sentences:
        introduction = _INTRODUCTION.match(sentence)
        start = introduction.end() if introduction and not _names(introduction[0], known) else 0
        clause = sentence[start:]
        capital = clause[:1].upper() + clause[1:]
        told = clause
        if (pronoun := _PRONOUN.match(capital)) and not (pronoun[1] == "It" and not _MEANT.match(capital)):
            name = thing if pronoun[1] in ("It", "Its") else person
            is_female = pronoun[1] in _FEMALE
            if name and (name == thing or females.setdefault(name, is_female) == is_female):
                owns = "'s" if pronoun[1] in ("His", "Her", "Its") else ""
                inside = name[0].lower() + name[1:] if start and name.startswith(("The ", "Our ")) else name
                told = f"{inside}{owns}{clause[pronoun.end() :]}"
        result.append(sentence[:start] + told)
        # Somebody is meant who is not known; or a heading, a line of a list: of whom it speaks is not said.
        if (told == clause and pronoun and pronoun[1] not in ("It", "Its")) or not told.endswith((".", "!", "?")):
            person = thing = None
            continue
        if names := _names(told, known):
            person, ago = _likeliest(names, _subject(told, known)), 0
        elif (ago := ago + 1) > _LONGEST_AGO:
            person = None
        if _speaks_of_another(told):
            person = None
        about = _THING.match(told[:1].upper() + told[1:])
        thing = about[1] if about and ";" not in told and not _ANOTHER.search(told, about.end()) else None
    return result


def _speaks_of_another(clause: str) -> bool:
    """Whether somebody without a name enters: "Ann Lee married a baker", "Ann Lee's husband"."""
    starts = (found.start() for found in _SOMEBODY.finditer(clause))
    return any(not _SAME.search(clause[max(0, start - 10) : start]) for start in starts)


def _subject(clause: str, known: Collection[str]) -> str | None:
    """The name with which a clause begins, where a verb or a comma follows: what it is about.

    A name of one word must be `known` from within some sentence: any word has a capital where one begins.
    """
    found = _NAME.match(clause)
    if found is None or found[0].split()[0] in ORDINARY or (" " not in found[0] and found[0] not in known):
        return None
    return found[0] if re.match(r",| (?!(?:and|or|of)\b)[a-z]", clause[found.end() :]) else None


def _likeliest(names: Sequence[str], subject: str | None) -> str | None:
    """Whom "she" means after a sentence with these names: its subject, or its only name.

    A subject of one word beside a full name ("Carolina had a setback when Thomas Davis ...") may be no person.
    """
    if subject and (" " in subject or not any(" " in name for name in names)):
        return subject
    return names[0] if len(names) == 1 else None


def _names(clause: str, known: Collection[str]) -> list[str]:
    """The names in a clause that may be whom "she" means next: no day, and nothing that is only spoken of beside."""
    found = [
        match
        for match in _NAME.finditer(clause)
        if match[0].split()[0] not in ORDINARY
        and not _BESIDE.search(clause[max(0, match.start() - 10) : match.start()])
    ]
    return list(dict.fromkeys(m[0] for m in found if " " in m[0] or (m.start() == 0 and m[0] in known)))


_FIRST_PERSON = re.compile(
    r"\b(?:I am|I'm|I\u2019m|I was|I wasn't|I wasn\u2019t|am I|was I|[Ii](?![.-])|[Ww]e|(?<=[\w,] )(?:me|us)|[Mm]y"
    r"|[Oo]ur|am(?!\.)|(?<=of )mine|(?<=is )mine|(?<=are )mine|(?<=was )mine|[Oo]urs|[Mm]yself|[Oo]urselves)\b"
)
_SECOND_PERSON = re.compile(r"\b(?<!hank )(?:you|your|yours|yourself)\b|[\"\u201c]", re.IGNORECASE)
_NUMBERED = re.compile(r"\b([A-Z]\w+) I\b(?!['\u2019])")  # World War I, Elizabeth I
_TO = {"you": "i we me us", "your": "my our", "yours": "mine ours", "yourself": "myself", "yourselves": "ourselves"}
_TURNED = {first: second for second, firsts in _TO.items() for first in firsts.split()}
_TURNED |= {"i am": "you are", "i'm": "you're", "am i": "are you", "am": "are"}
_TURNED |= {"i was": "you were", "i wasn't": "you weren't", "was i": "were you"}


def addressed(sentence: str) -> str:
    """What a user said of themselves, said to them: "my dog is called Rex" becomes "your dog is called Rex".

    As it is where it speaks to somebody itself or quotes, for then others would have to change places, too; and where
    an I may be a number.
    """
    if _SECOND_PERSON.search(sentence) or not ORDINARY.issuperset(_NUMBERED.findall(sentence)):
        return sentence

    def turned(match: re.Match[str]) -> str:
        other = _TURNED.get(match[0].lower().replace("\u2019", "'"), match[0])
        return other.capitalize() if match.start() == 0 else other

    return _FIRST_PERSON.sub(turned, sentence)
