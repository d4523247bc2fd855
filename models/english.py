"""Whether a text is English: what is written for English must not be done to another language."""

import re

_WORD = re.compile(r"[^\W\d_]+")
_OTHER_LETTER = re.compile(r"[^\W\d_A-Za-z\u00c0-\u024f]")
# Small words of English that hardly any other language writes alike, and such words of others with Latin letters.
_ENGLISH = frozenset(
    """the of and to with that from have has my you she his this not but were will they their your our it its is was for
    are by he we""".split()  # noqa: SIM905
)
_OTHERS = frozenset(
    """und der das ist nicht ein eine ich wir sie mit auf dem den von het een ik niet voor met zijn mijn och att jag det
    som inte av har og ikke jeg er et en le la les est une je pas du des dans il che di non sono per el los las que es
    una por con yo os um uma na eu nie jest w z i ve bir bu ile ja se az egy nem van dan yang ini itu saya \u00e8 \u00e9
    \u00e4r p\u00e5 n\u00e3o si\u0119 i\u00e7in ett\u00e4 \u00e9s f\u00fcr""".split()  # noqa: SIM905
)


def is_english(text: str) -> bool:
    """Whether the small words of other languages do not outnumber the English ones, and most letters are Latin.

    A text with none of either, such as a list of names, is taken for English.
    """
    words = _WORD.findall(text)
    # an "I" is English; a small one is Polish, Swedish or Italian
    others = sum(word.lower() in _OTHERS for word in words if word != "I")
    english = sum(word == "I" or word.lower() in _ENGLISH for word in words)
    return others <= english and 2 * len(_OTHER_LETTER.findall(text)) <= sum(map(len, words))
