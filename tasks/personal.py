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

PIECE, OVERLAP = 4096, 512  # some of detect-secrets' patterns cost the square of a text's length: it is given pieces

# Keys that detect-secrets 1.5 does not know, and passwords told in a sentence. All take time in proportion to the text.
KEYS = {
    "Key of a Service": re.compile(
        r"(?<![A-Za-z0-9])(?:"
        r"(?:(?:dop_v1|gsk|hf|lin_api|npm|ntn|r8|[rs]k_live|[rs]k_test|shp(?:at|ca|pa|ss)|whsec)_|(?:pplx|sk|xai)-)"
        r"[A-Za-z0-9]{20}"
        r"|(?:AIza|GOCSPX-|dckr_pat_|github_pat_|hvs\.|sk-(?:admin|ant|or-v1|proj|svcacct)-|xapp-\d-|ya29\.)[\w-]{20}"
        r"|dapi[0-9a-f]{32})"
    ),
    "JSON Web Token": re.compile(r"(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]"),
    "Private Key": re.compile(r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY"),
    "Bearer Token": re.compile(r"authorization:\s{0,9}bearer\s{1,9}(?=\S{0,99}\d)[\w.~+/-]{20}", re.IGNORECASE),
    "Password": re.compile(
        r"(?<![A-Za-z])(?:password|passphrase|passwd|pwd|passwort|kennwort|mot de passe|contrase\u00f1a|senha"
        r"|client[ _-]?secret|(?:api|secret|secret[ _-]access)[ _-]?key|(?:access|api|auth|refresh)[ _-]?token)\b"
        r"(?:\s{1,9}is|\s{0,9}[:=])\s{0,9}"
        r"(?!\d+-[a-z]+(?![\w-])"  # 12-character
        r"|(?:aes|base|md|oauth|rsa|sha)-?\d+(?!\w)"  # OAuth2-based, SHA-256
        r"|\$?[<\[{][^\s>\]}]{0,64}[>\]}]"  # [REDACTED-1]
        r"|[A-Za-z_][\w.]{0,64}\()"  # secrets.token_urlsafe(32)
        r"(?=\S{0,99}\d)(?=\S{0,99}[A-Za-z])\S{6}",
        re.IGNORECASE,
    ),
}
# What stands where a secret stands; most texts hold none of it, and the detectors take their time.
HINTS = (
    *("://", "token", "passphrase", "private key", "api key", "api-key"),
    *("passwort", "kennwort", "mot de passe", "contrase\u00f1a", "senha"),  # detect-secrets speaks English
)
LONG = 20  # characters without a space: shorter keys come with a hint

# First digits of the card schemes, and what may follow a number: its expiry, its code. ISBNs and times do not match.
CARD = re.compile(
    r"(?<![\d-])(?<!\d\.)(?:[346]\d{3}|5[0-8]\d{2}|2[2-7]\d{2})"
    r"(?:(?:[ -]?\d){8,18}(?!\d)|(?:\.\d{4}){3}(?!\.?\d))(?!-\d)"
)
# One may begin in another.
IBAN = re.compile(r"(?<![A-Z0-9])(?=([A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}))", re.IGNORECASE)
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
    text = text.replace("\u00a0", " ").replace("\u202f", " ")  # no-break spaces, of which numbers are full
    return {kind: "; ".join(dict.fromkeys(found)) for kind in KINDS if (found := list(FINDERS[kind](text)))}


def _secrets(text: str) -> Iterator[str]:
    pieces = [text[start : start + PIECE] for start in range(0, max(len(text), 1), PIECE - OVERLAP)]
    pieces = [piece for piece in pieces if _may_hold_a_secret(piece)]
    if pieces:
        yield from (name for name, pattern in KEYS.items() if pattern.search(text))
    for piece in pieces:
        assigned = _holds(piece, _assigned_words())
        for detector in _detectors():
            if (assigned or detector.secret_type != "Secret Keyword") and any(detector.analyze_string(piece)):
                yield detector.secret_type


def _may_hold_a_secret(text: str) -> bool:
    return _holds(text, (*HINTS, *_assigned_words())) or max(map(len, text.split()), default=0) >= LONG


def _holds(text: str, words: tuple[str, ...]) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in words)


def _cards(text: str) -> Iterator[str]:
    for match in CARD.finditer(text) if DIGITS.search(text) else ():
        number = ""
        for group in re.split("[ .-]", match.group()):
            number += group
            if 12 <= len(number) <= 19 and luhn.is_valid(number) and len(set(number)) > 1:
                yield f"a number that ends in {number[-4:]}"
                break


def _ibans(text: str) -> Iterator[str]:
    for number in dict.fromkeys(re.sub("[ -]", "", match[1]).upper() for match in IBAN.finditer(text)):
        # words may follow the number: the length is the country's, so try them all
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
