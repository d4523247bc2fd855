"""What a context says: its sentences, the parts of long ones, and which of them a question is about.

Written for English; of other languages that put spaces between words the sentences are found, and cut at their
punctuation only.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from models.coreference import resolved
from models.markup import plain
from models.metrics import normalise
from models.names import MONTH, ORDINARY
from models.records import Experience

_SENTENCE_END = re.compile(r"(?<=[.!?\u0964\u061f\u06d4])\s+|(?<=[\u3002\uff01\uff1f])\s*|\n+")
# Ends with a full stop and does not end a sentence: a title, an initial (no number of a king), "i.e."
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:[ie]\.[eg]|(?P<name>(?:Dr|Mr|Mrs|Ms|St|Prof|Rep|Sen|Gov|Gen|Capt|Lt|Col|Sgt|Rev|Hon|Mt|Ft|Fig"
    r"|vs|cf|ca|al)|(?:[A-Z]\.)*[A-HJ-UWYZ])|(?P<number>Nos?|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
    r"|(?P<end>Inc|Ltd|Co|Corp|Jr|Sr|[ap]\.m|etc|approx))\.$"
)
_DAY = re.compile(r"(?:^|[\s(])\d{1,2}\.$")  # "am 3. Mai", "den 3. mai"
_LONGEST_ABBREVIATION = 20  # characters
QUESTION = ("?", "\u061f", "\uff1f")
FIELD = re.compile(r"([^\W\d_][^:.!?]{1,40}): +([^\s:](?:.{0,80}[^\s.!?:,;])?)")  # "Wifi password: heron77"
USERS = frozenset({"user", "human"})  # roles of whom an assistant speaks with


def sentences(experience: Experience) -> list[str]:
    """The sentences of a context, in order, that tell something; a conversation's without the roles.

    Those that begin with a pronoun say whom it means, if that is clear. What goes on for more than `LONGEST` words
    without an end, such as a transcript, is cut.
    """
    return list(dict.fromkeys(piece for _, piece in spoken(experience)))


def spoken(experience: Experience) -> list[tuple[str, str]]:
    """Who said each of the `sentences`, and the sentence: the turn's role, or nobody where there are no turns."""
    context = experience.context
    turns = [("", context)] if isinstance(context, str) else [(turn.role, turn.content) for turn in context]
    parts = [(role, part) for role, text in turns for part in split(text)]
    said = zip((role for role, _ in parts), resolved([part for _, part in parts]), strict=True)
    told = [(role, piece) for role, part in said if not part.endswith(QUESTION) for piece in _within(part, LONGEST)]
    return [(role, piece) for role, piece in told if _tells(piece)]


def _tells(piece: str) -> bool:
    """Whether a piece of a text is no heading, greeting or exclamation: four words and more; of fewer a field of a
    form, or a sentence with a number."""
    words = len(piece.split())
    has_number = piece.endswith((".", "!")) and any(map(str.isdigit, piece))
    return words >= 4 or (words > 1 and (has_number or bool(FIELD.fullmatch(piece))))


def split(text: str) -> list[str]:
    """A text cut where its sentences end, each in one line and without marks of Markdown."""
    found: list[str] = []
    for line in plain(text).split("\n"):
        parts = [" ".join(part.split()) for part in _SENTENCE_END.split(line)]
        sentence = parts[0]
        for before, part in pairwise(parts):
            if _goes_on(before, part):
                sentence += f" {part}"
            else:
                found.append(sentence)
                sentence = part
        found.append(sentence)
    return [sentence for sentence in found if sentence]


def _goes_on(before: str, after: str) -> bool:
    """Whether two parts are one sentence: the full stop between them is that of an abbreviation, or of a day."""
    short = _ABBREVIATION.search(before[-_LONGEST_ABBREVIATION:])
    if not after:
        return False
    if short is None:
        return bool(_DAY.search(before)) and (after[0].islower() or bool(MONTH.match(after)))
    if short["number"]:
        return after[0].isdigit()
    if short["end"]:
        return after[0].islower()
    return not short["name"] or after.split()[0] not in ORDINARY


def _within(sentence: str, most: int) -> list[str]:
    """A sentence in pieces of at most `most` words, cut where its grammar lets go, else where it must be."""
    pieces = [piece.split() for piece in parts(sentence, most)]
    return [" ".join(words[at : at + most]) for words in pieces for at in range(0, len(words), most)]


LONG = 22  # words; an answer of more is not read to its end
LONGEST = 80  # words of a sentence
SHORTEST = 5  # words of a part
# Where a sentence may be cut, best first: between clauses, at a comma or bracket, before a word that links.
_CUTS = tuple(
    re.compile(cut)
    for cut in (
        r"(?<=[;:\u2014])\s+|(?<=\u2014)",
        r"(?<=[,)])\s+|\s+(?=\()",
        r"\s+(?=(?:after|although|and|as|because|before|but|by|including|since|so|that|to|when|where|which|while|who|whom"
        r"|with)\b)",
    )
)
_WORSE = 0.25  # by how much of the sentence a cut may lie nearer to the middle than one of the kind before


def parts(sentence: str, most: int = LONG) -> list[str]:
    """A sentence of at most `most` words as it is, a longer one cut where its grammar lets go, near the middle, and so
    on; brackets stay whole."""
    count = len(sentence.split())
    if count <= most:
        return [sentence]
    found = []
    for worse, cut in enumerate(_CUTS):
        for match in cut.finditer(sentence):
            one, other = sentence[: match.start()], sentence[match.end() :]
            sizes = len(one.split()), len(other.split())
            if min(sizes) >= SHORTEST and one.count("(") == one.count(")"):
                found.append((abs(sizes[0] - sizes[1]) / count + worse * _WORSE, one, other))
    if not found:
        return [sentence]
    _, one, other = min(found)
    return [*parts(one.rstrip(" ,;:\u2013\u2014"), most), *parts(other, most)]


# Words that tell nothing of what a question is about.
_FREE = frozenset(
    """a an the is are was were be been do does did has have had what who whom whose which when where why how many much
    of in on at to from for with by as it its that this these there name called cost price pay number person people
    place kind type time date day happened according can will would should and or one about known long far old new
    located found used work works situated responsible job position title""".split()  # noqa: SIM905
)
_STEM = 4  # letters that make two words one: leave, leaving


def stems(text: str) -> set[str]:
    """How the words of a text begin that tell what it is about."""
    return {word[:_STEM] for word in normalise(text).split() if word not in _FREE}


@lru_cache(maxsize=8)  # hundreds of questions are asked about the sentences of one text
def _held(facts: tuple[str, ...]) -> tuple[list[set[str]], Counter[str]]:
    """The stems of each sentence, and how many sentences hold each."""
    words = [stems(fact) for fact in facts]
    return words, Counter(word for fact in words for word in fact)


def evidence(facts: Sequence[str], question: str, reply: str) -> str | None:
    """The sentence that shares most words with question and answer, rare words and the answer's counting more."""
    words, held = _held(tuple(facts))
    wanted, given = stems(f"{question} {reply}"), stems(reply)

    def likeness(i: int) -> float:
        return sum((1 + (w in given)) * math.log(1 + len(facts) / held[w]) for w in sorted(words[i] & wanted))

    best = max(range(len(facts)), key=likeness, default=None)  # the first of equals
    return facts[best] if best is not None and words[best] & wanted else None
