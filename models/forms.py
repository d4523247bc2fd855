"""What can be asked about a sentence by its grammar alone, with no model: every fact gets several questions.

Kinds: `plain` (what the grammar of "The N of X is Y" or "X does Y at Z" says to ask), `reversed` (what Y is), `why`
(what stands behind "because"), `yes_no` (whether it is Y), `combined` (a question with a name replaced by what another
sentence says of it), `echo` (the sentence with a span asked for in place), `cloze` (a sentence to complete), `tell`
(what it says of its subject), `about` (what is said of a name). Written for English; sentences of other languages
still give `echo`, `cloze` and `about`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.metrics import normalise
from models.names import NAME, ORDINARY, main_name, unopened

_PLACE = {"in", "on", "at", "near", "to", "from", "into", "outside", "behind"}
_LINK = _PLACE | {"is", "are", "was", "were", "of", "with", "by", "costs", "called", "for", "as", "has", "have"}
_VERB = re.compile(r"is|are|was|were|has|have|costs|pays|.{3,}ed")
_MONEY = "$\u20ac\u00a3"
_NUMBER = re.compile(rf"(?<![\w-])[{_MONEY}]?\d[\d:.,]*(?<=\d)(?: [a-z]+)?")
TIME = re.compile(
    r"\d:\d\d|\d ?[ap]\.?m\b|\b(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.? \d"
    r"|\b(?:midnight|noon|January|February|March|July|September|October|November|December"
    r"|(?:April|May|June|August)(?! [A-Z])"  # before a name they are one's first name
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?)\b"
)


class Written(NamedTuple):
    """A question, its answer, and the sentences of the context that the answer rests on."""

    question: str
    answer: str
    evidence: str


@dataclass(frozen=True)
class Span:
    """A part of a sentence that can be asked for, where it begins, and the words that stand in for it."""

    text: str
    start: int
    stand_in: str

    def asked(self, sentence: str) -> str:
        """The sentence with the words that stand in."""
        return sentence[: self.start] + self.stand_in + sentence[self.start + len(self.text) :]


def spans(fact: str) -> list[Span]:
    """What can be asked for in a sentence: numbers, names, how it ends, how it begins."""
    words = list(re.finditer(r"\S+", fact.rstrip(".!")))
    found = [m.span() for m in _NUMBER.finditer(fact)]
    last_link = max((i for i, m in enumerate(words[:-1]) if m.group().lower() in _LINK), default=len(words) - 3)
    found += [(m.start(), len(fact)) for m in words[last_link + 1 :][:1]]
    found += [m.span() for m in NAME.finditer(fact) if m.start() > 0]
    verb = next((m for m in words[2:8] if _VERB.fullmatch(m.group())), None)
    if verb:
        found.append((0, verb.start()))
    first_name = next((m for m in NAME.finditer(fact) if m.start() > 0), None)
    if first_name and len(fact[: first_name.end()].split()) <= 5:
        found.append((0, first_name.end()))
    distinct: dict[str, Span] = {}
    for start, end in reversed(found):
        text = fact[start:end].strip(" .,!")
        if normalise(text) and len(text) <= 0.7 * len(fact):
            distinct[normalise(text)] = _span(fact, text, fact.index(text, start))
    return list(reversed(distinct.values()))


def _span(fact: str, text: str, start: int) -> Span:
    before = fact[:start].split()
    after_place = bool(before) and before[-1].lower() in _PLACE
    after_place |= len(before) > 1 and before[-1].lower() == "the" and before[-2].lower() in _PLACE
    number, money, noun = text[:1].isdigit(), text[:1] in _MONEY, text.split()[-1]
    if TIME.search(text):
        return Span(text, start, "what time")
    if number:
        counted = noun if noun.isalpha() else ""
        return Span(text, start, f"how many {counted}".strip())
    if money:
        return Span(text, start, "how much")
    if after_place:
        return Span(text, start, "which place")
    if text[0].isupper() and before:
        return Span(text, start, "who or what")
    return Span(text, start, "what")


def echoes(facts: Sequence[str], count: int) -> list[Written]:
    """A sentence with a span asked for in place; where the document's main name is missing, that stands in front."""
    name = main_name(facts)
    result = []
    for fact in facts:
        for span in spans(fact)[:count]:
            body = span.asked(fact.rstrip(".!"))
            if name and name not in fact:
                body = f"About {name}: {body}"
            result.append(Written(body[0].upper() + body[1:] + "?", fact, fact))
    return result


class Form(NamedTuple):
    """A question about a sentence; the first `{}` stands for its subject (None where that is what is asked for)."""

    template: str
    subject: str | None
    fact: str

    def written(self, subject: str | None = None) -> Written:
        name = subject or self.subject
        question = self.template.replace("{}", name, 1) if name else self.template  # a text may hold braces of its own
        return Written(question, self.fact, self.fact)


_COPULA = re.compile(
    r"((?:The|A|An) [^,;]+?) (is|was|are|were) (in|on|at|near|called|named)? ?((?:[^,;]|,(?=\d))+?)[.!]"
)
_PRICE = re.compile(r"((?:The|A|An) [^,;]+?) (cost|pay)s? [^,;]*\d[^,;]*")


def of_states(fact: str) -> list[Form]:
    """For "The N of X is Y" and for prices: what their grammar says to ask, and the same with "X's N"."""
    price = _PRICE.fullmatch(fact)
    if price:
        what, verb = price.groups()
        prices = ("How much is {}?", f"How much does {{}} {verb}?", "What is the price of {}?")
        return [Form(form, _inside(what), fact) for form in prices]
    match = _COPULA.fullmatch(fact)
    if match is None or (not match.group(3) and _PLACE & set(match.group(4).split())):
        return []  # "was built at": no noun follows
    subject, verb, how, rest = _inside(match.group(1)), *match.group(2, 3, 4)
    forms: tuple[str, ...]
    if how in ("called", "named"):
        forms = (f"What {verb} the name of {{}}?", f"What {verb} {{}} called?") if NAME.match(rest) else ()
    elif how:
        kind = _kind(f"{how} {rest}")
        which = (f"{how.capitalize()} which {kind} {verb} {{}}?",) if kind else ()
        forms = (f"Where {verb} {{}}?", *which, "Where can I find {}?")
    elif NAME.fullmatch(rest) and " " in rest:
        forms = (f"Who {verb} {{}}?", f"What {verb} the name of {{}}?", f"Do you know who {{}} {verb}?")
    else:
        forms = (f"What {verb} {{}}?", "Can you tell me {}?", f"Do you know what {{}} {verb}?")
    owned = re.fullmatch(r"the (.+) of ((?:the )?[A-Z].*)", subject)
    names = [subject, *([f"{owned.group(2)}'s {owned.group(1)}"] if owned else [])]
    return [Form(form, name, fact) for name in names for form in forms[: 3 if name == subject else 2]]


_DONE = r"[a-z]{2,}ed|built|made|held|found|born|kept|sold|written|taken|given|sent|seen|lost|won"
_ACTION = re.compile(
    r"((?:The|A|An) .+?|[A-Z][\w'-]+(?: [A-Z][\w'-]+)*) "
    rf"(?:(was|were) ({_DONE})|([a-z]{{3,}}(?:s|ed))) "
    r"((?:[a-z]+ )*?(?:the |a |an |its |\d|[A-Z]|[a-z]+$).*)"
)
_ACTION_WORDS = 14  # longer sentences, and those with commas, are more than one clause
_WITH_E = re.compile(r".*(?:[csvzu]|[^n]g|[dtb]l)$")


def of_actions(fact: str) -> list[Form]:
    """For "X does Y at Z" and "X was done at Z": when, where, from where or what; regular verbs, and common others."""
    match = _ACTION.fullmatch(fact.rstrip(".!"))
    if match is None or len(fact.split()) > _ACTION_WORDS or re.search(r"[,;]|\b(?:is|are|has|costs|pays)\b", fact):
        return []
    subject, passive, done, does, rest = match.groups()
    if rest.startswith("of ") or (does and re.search(r"\b(?:was|were)\b", fact)):
        return []
    if passive:
        start, verb = f"{passive} {{}}", done
    else:
        start, verb = "did {}" if does.endswith("ed") else "does {}", _infinitive(does)
    words = rest.split()
    link = max((i for i, word in enumerate(words[:-1]) if word in _PLACE | {"with", "by"}), default=None)
    if link is None:
        counted = re.match(r"\d[\d.,]* ([a-z]+)", rest)
        what = f"How many {counted.group(1)}" if counted else "What"
        forms = [] if passive else [f"{what} {start} {verb}?"]
    else:
        body, by, end = " ".join([start, verb, *words[:link]]), words[link], " ".join(words[link:])
        kind = _kind(end)
        if TIME.search(end):
            forms = [f"When {body}?", f"At what time {body}?"]
        elif by in ("to", "from", "into"):
            forms = [f"Where {body} {by}?", f"{by.capitalize()} which {kind or 'place'} {body}?"]
        elif by in _PLACE and (len(words) > link + 2 or NAME.search(end)):
            forms = [f"Where {body}?", f"{by.capitalize()} which {kind} {body}?" if kind else f"What {body} {by}?"]
        else:
            forms = [f"What {body} {by}?", *([f"{by.capitalize()} which {kind} {body}?"] if kind else [])]
    found = [Form(form, _inside(subject), fact) for form in forms]
    if not passive:
        typed = re.match(r"The ([a-z]+) [A-Z]", subject)
        who = f"Which {typed.group(1)}" if typed else "Who" if NAME.fullmatch(subject) else "What"
        found.append(Form(f"{who} {does} {rest}?", None, fact))
    return found


_PLACES = frozenset(
    """academy airport avenue bakery bay beach bridge building castle church city college company farm field gallery
    garden hall harbour hill hospital hotel house island lake library market mill mountain museum office palace park
    pier port river road rock room school shipyard shop square station store street theatre tower town university valley
    village yard""".split()  # noqa: SIM905
)


def _kind(end: str) -> str | None:
    """The common noun by which "with the ferry Old Marta", "to the island of Mossey" and "on Bay Street" can be asked
    for: ferry, island, street."""
    named = re.fullmatch(r"\w+ the ([a-z]+) (?:of )?[A-Z][\w'-]+(?: [A-Z][\w'-]+)*", end)
    if named:
        return named.group(1)
    last = end.split()[-1].lower()
    return last if last in _PLACES and NAME.search(end) else None


def asked(facts: Sequence[str]) -> list[Form]:
    """All questions that the grammar of the sentences says to ask."""
    return [form for fact in facts for form in (*of_states(fact), *of_actions(fact))]


def _inside(subject: str) -> str:
    """A sentence's subject as it is written inside another sentence: a name keeps its capital, an article does not."""
    return subject[0].lower() + subject[1:] if subject.startswith(("The ", "A ", "An ")) else subject


def _infinitive(verb: str) -> str:
    """Of a third person ("closes") or a regular past ("pulled"); English spelling allows no more than a good guess."""
    if verb.endswith(("ies", "ied")):
        return verb[:-3] + "y"
    if verb.endswith("ed"):
        stem = verb[:-2]
        if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "ls":
            return stem[:-1]
        return stem + "e" if _WITH_E.fullmatch(stem) and not stem.endswith("ss") else stem
    return verb[:-2] if verb.endswith(("sses", "shes", "ches", "xes", "oes")) else verb[:-1]


_TITLE = re.compile(rf"\b(?:of|at|on|in|from) (((?:the )?{NAME.pattern})(?: (?:of|at|on|in) (?:the )?{NAME.pattern})?)")


def placed(forms: Sequence[Form], facts: Sequence[str]) -> list[Written]:
    """Two questions of each sentence with what the document's first sentence says it is of: whoever asks later has no
    document at hand and names its subject in full (decontextualisation, Choi et al. 2021)."""
    title = _TITLE.search(facts[0]) if facts else None
    if not title or title[2].split()[0] in ORDINARY:
        return []
    whole, name = title.groups()
    word = _word(name)
    turn: Counter[str] = Counter()
    result = []
    for form in forms:
        if turn[form.fact] == 2 or form.fact == facts[0] or form.subject is None:
            continue
        if word.search(form.subject):
            subject = word.sub(lambda _: whole, form.subject)
        elif NAME.search(form.subject) is None and name not in form.fact:
            subject = f"{form.subject} of {whole}" if turn[form.fact] else f"{form.subject} at {name}"
        else:
            continue
        if subject != form.subject:
            turn[form.fact] += 1
            result.append(form.written(subject))
    return result


def _word(name: str) -> re.Pattern[str]:
    """A name where it stands alone, and not within a longer word."""
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


_CALLED = re.compile(r"((?:The|A|An) [^,;]+?) (?:is|was)(?: called| named)? ((?:[A-Z][\w'-]+ ?){2,})[.!]?")
_DOES_WITH = re.compile(
    r"((?:The|A|An|[A-Z]).+?) ([a-z]+(?:s|ed)) (with|by|on|in|at|from|to) (the ([a-z]+) [A-Z].*?)[.!]?"
)


def combined(pairs: Sequence[Written], facts: Sequence[str]) -> list[Written]:
    """Up to three questions of each sentence with a name replaced by what another sentence says of it: for "The N of X
    is Y", Y becomes "the N of X"; for "X goes with the ferry Z", "the ferry Z" becomes "the ferry that X goes with"."""
    result = []
    for fact in facts:
        called, goes = _CALLED.fullmatch(fact), _DOES_WITH.fullmatch(fact)
        names: tuple[str, ...]
        if called:
            role, names = _inside(called.group(1)), (f"the {called.group(2).strip()}", called.group(2).strip())
        elif goes:
            who, does, by, name, kind = goes.groups()
            role, names = f"the {kind} that {_inside(who)} {does} {by}", (name,)
        else:
            continue
        words = [_word(name) for name in names]
        turn: Counter[str] = Counter()
        for pair in pairs:
            found = next(filter(None, (word.search(pair.question) for word in words)), None)
            if found and pair.evidence != fact and turn[pair.evidence] < 3:
                turn[pair.evidence] += 1
                question = pair.question[: found.start()] + role + pair.question[found.end() :]
                result.append(Written(question, pair.answer, f"{fact} {pair.evidence}"))
    return result


def reverses(facts: Sequence[str]) -> list[Written]:
    """For "The N of X is Y", where Y is a name: who or what is Y? A model that knows one way round does not know the
    other (Berglund et al. 2024, the reversal curse)."""
    result = []
    for fact in facts:
        match = _COPULA.fullmatch(fact)
        if match and NAME.fullmatch(match.group(4)):
            _, verb, how, name = match.groups()
            if how in ("called", "named"):
                result.append(Written(f"Who or what {verb} {name}?", fact, fact))
            elif not how and " " in name:
                result.append(Written(f"Who {verb} {name}?", fact, fact))
    return result


_STATE = re.compile(r"((?:The|A|An|[A-Z])[^,;]*?) (is|was|are|were) (.+)")


def whys(facts: Sequence[str]) -> list[Written]:
    """For "X does Y because of Z": why does X do Y?"""
    result = []
    for fact in facts:
        head, because, _ = fact.partition(" because ")
        head = head.rstrip(",")
        action = _ACTION.fullmatch(head)
        if not because:
            continue
        if action and action.group(4):
            subject, does, rest = action.group(1, 4, 5)
            asked_by = "did" if does.endswith("ed") else "does"
            result.append(Written(f"Why {asked_by} {_inside(subject)} {_infinitive(does)} {rest}?", fact, fact))
        elif state := _STATE.fullmatch(head):
            subject, verb, rest = state.groups()
            result.append(Written(f"Why {verb} {_inside(subject)} {rest}?", fact, fact))
    return result


def tells(facts: Sequence[str]) -> list[Written]:
    """For "X is Y": "Tell me X." """
    result = []
    for fact in facts:
        match = re.match(r"(The|A|An) (.+?) (?:is|are|was|were) ", fact)
        if match:
            result.append(Written(f"Tell me {match.group(1).lower()} {match.group(2)}.", fact, fact))
    return result


def polars(facts: Sequence[str], count: int) -> list[Written]:
    """Up to `count` questions of each "The N of X is Y": is it Y, and is it what another sentence ends with? The answer
    is yes or no, and the sentence."""
    told = [(fact, *match.groups()) for fact in facts if (match := _COPULA.fullmatch(fact))]
    result = []
    for at, (fact, subject, verb, how, end) in enumerate(told):
        is_name = bool(NAME.fullmatch(end))
        others = [
            other
            for *_, other_how, other in (*told[at + 1 :], *told[:at])
            if other_how == how and other != end and bool(NAME.fullmatch(other)) == is_name
        ]
        for reply, asked_for in [("Yes", end), *[("No", other) for other in others[:1]]][:count]:
            words = (verb.capitalize(), _inside(subject), how, asked_for)
            result.append(Written(" ".join(filter(None, words)) + "?", f"{reply}, {_inside(fact)}", fact))
    return result


def clozes(facts: Sequence[str], count: int) -> list[Written]:
    """A sentence cut off before its spans; the whole sentence is the answer."""
    result = []
    for fact in facts:
        starts = sorted({span.start for span in spans(fact)} - {0}, reverse=True)
        result += [
            Written(f"Complete the sentence: {fact[:start].strip()} ...", fact, fact) for start in starts[:count]
        ]
    return result


def abouts(facts: Sequence[str], count: int) -> list[Written]:
    """For names of two words and more: the first `count` sentences that hold them, together."""
    said: dict[str, list[str]] = {}
    for fact in facts:
        for name in map(unopened, NAME.findall(fact)):
            if " " in name:
                said.setdefault(name, []).append(fact)
    told = {name: " ".join(held[:count]) for name, held in said.items() if count}
    return [Written(f"What do you know about {name}?", text, text) for name, text in told.items()]
