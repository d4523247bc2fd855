"""Personal data and secrets in a text: what kinds there are and how each is found. Says nothing of what to do about
them (`tasks.validate.PersonalData` does), and never returns a finding in clear, because findings are reported.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal, get_args

from stdnum import iban, luhn

Kind = Literal["secret", "card", "iban", "email", "phone"]
Policy = Literal["quarantine", "flag", "allow"]
KINDS: tuple[Kind, ...] = get_args(Kind)

PIECE, OVERLAP = 4096, 512  # some of the patterns cost the square of a text's length: long texts go piece by piece

# Keys that detect-secrets 1.5 does not know, and passwords told in a sentence.
KEYS = {
    "Hugging Face Token": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "Google API Key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}"),
    "Anthropic or OpenAI Key": re.compile(r"\bsk-(?:ant|proj|svcacct)-[A-Za-z0-9_-]{20,}"),
    "Password": re.compile(
        r"\b(?:password|passphrase|passwd|pwd|api[ _-]?key|access[ _-]?token)\b(?:\s+is|\s*[:=])\s*"
        r"(?=\S*\d)(?=\S*[A-Za-z])\S{6,}",
        re.IGNORECASE,
    ),
}
# What stands where a secret stands; most texts hold none of it, and the detectors take their time.
HINTS = ("://", "token", "passphrase", "private key", "api key", "api-key")
LONG = 20  # characters without a space: shorter keys come with a hint

# Lengths and first digits of the card schemes; a number must pass Luhn's check besides. ISBNs and times do not match.
CARD = re.compile(
    r"(?<![\d.,-])(?:4\d{3}|5[0-8]\d{2}|2[2-7]\d{2}|3[0-689]\d{2}|3[47]\d{2}|6\d{3})(?:[ -]?\d){8,15}(?![\d])(?!-\d)"
)
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
DIGITS = re.compile(r"\d(?:[ ()./-]{0,3}\d){5}")  # what every card and phone number holds
PHONE = re.compile(
    r"(?<![\w+])(?<!\d )(?:\+|00)\d{1,3}(?:[ ./-]?\(?\d{1,5}\)?){2,6}(?!\w)"  # +44 20 7946 0958
    r"|(?<!\w)\(\d{3}\) ?\d{3}[ .-]\d{4}(?!\w)"  # (020) 794-6095
    r"|(?<![\w.-])\d{3}[.-]\d{3}[.-]\d{4}(?![\w-])"  # 555-010-9999
    r"|\b(?:tel|phone|telephone|mobile|fax|cell)\b[^\d\n+]{0,24}\(?\d(?:[ ./()-]{0,2}\d){5,14}(?!\w)",
    re.IGNORECASE,
)


def find(text: str) -> dict[str, str]:
    """The kinds that `text` holds, each with a description of what was found that gives nothing away."""
    return {kind: "; ".join(dict.fromkeys(found)) for kind in KINDS if (found := list(FINDERS[kind](text)))}


def _secrets(text: str) -> Iterator[str]:
    for start in range(0, max(len(text), 1), PIECE - OVERLAP):
        piece = text[start : start + PIECE]
        lowered = piece.lower()
        assigned = any(word in lowered for word in _assigned_words())
        if assigned or any(hint in lowered for hint in HINTS) or max(map(len, piece.split()), default=0) >= LONG:
            for detector in _detectors():
                if (assigned or detector.secret_type != "Secret Keyword") and any(detector.analyze_string(piece)):
                    yield detector.secret_type
            yield from (name for name, pattern in KEYS.items() if pattern.search(piece))


def _cards(text: str) -> Iterator[str]:
    for match in CARD.finditer(text) if DIGITS.search(text) else ():
        number = re.sub(r"\D", "", match.group())
        if luhn.is_valid(number) and len(set(number)) > 1:
            yield f"a number that ends in {number[-4:]}"


def _ibans(text: str) -> Iterator[str]:
    for match in IBAN.finditer(text):
        number = match.group().replace(" ", "")
        # words in capitals may follow the number: the length is the country's, so try them all
        for length in range(15, len(number) + 1):
            if iban.is_valid(number[:length]):
                yield f"{number[:2]}… that ends in {number[length - 2 : length]}"
                break


def _emails(text: str) -> Iterator[str]:
    if "@" in text:
        yield from (f"{match.group()[0]}…@{match.group().split('@')[1]}" for match in EMAIL.finditer(text))


def _phones(text: str) -> Iterator[str]:
    for match in PHONE.finditer(text) if DIGITS.search(text) else ():
        digits = re.sub(r"\D", "", match.group())
        if 6 <= len(digits) <= 15:
            yield f"a number that ends in {digits[-2:]}"


FINDERS: dict[Kind, Callable[[str], Iterator[str]]] = {
    "secret": _secrets,
    "card": _cards,
    "iban": _ibans,
    "email": _emails,
    "phone": _phones,
}


@cache
def _detectors() -> tuple[Any, ...]:
    """detect-secrets' plugins, without those that fire on prose: high entropy, and public addresses of machines."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    noisy = {"Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector"}
    classes: Any = get_mapping_from_secret_type_to_class()
    return tuple(plugin() for plugin in classes.values() if plugin.__name__ not in noisy)


@cache
def _assigned_words() -> tuple[str, ...]:
    """The words of `api_key = "…"` and the like, that detect-secrets' slowest detector looks for."""
    from detect_secrets.plugins.keyword import DENYLIST

    return tuple({word.replace("_?", joint) for word in DENYLIST for joint in ("", "_")})
