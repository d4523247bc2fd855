"""What counts as personal data or a secret, and what only looks like it."""

import time

import pytest

from tasks import personal

HELD = [
    ("secret", "The key is AKIAIOSFODNN7EXAMPLE and opens everything."),
    ("secret", "Use ghp_" + "a1B2" * 9 + " for the deploy."),
    ("secret", "The token hf_" + "aB3d" * 9 + " was posted."),
    ("secret", "-----BEGIN RSA PRIVATE KEY-----\nMIIE"),
    ("secret", "Log in at https://admin:hunter2@intranet.example."),
    ("secret", 'password = "swordfish99"'),
    ("secret", "The password is hunter2!"),
    ("secret", "x" * 9000 + " AKIAIOSFODNN7EXAMPLE " + "y" * 9000),
    ("card", "Paid with the card 4111 1111 1111 1111."),
    ("card", "Paid with 5500-0055-5555-5559 today."),
    ("card", "American: 378282246310005."),
    ("iban", "Pay to DE89 3704 0044 0532 0130 00 IN EUROS please."),
    ("iban", "GB82WEST12345698765432"),
    ("email", "Write to marlow.finch+ferry@mail.example.com."),
    ("phone", "Call +44 20 7946 0958 now."),
    ("phone", "Call 555-010-9999 now."),
    ("phone", "His mobile number is 0176 1234567."),
]
CLEAN = [
    "The secret: always smile. The password reset needs a form, and the key of Room 12 is blue.",
    "The password is Marzipan.",
    "Order 4111 1111 1111 1112 was sent.",  # fails Luhn's check
    "ISBN 978-3-16-148410-0 costs 14 crowns, ISBN 9783161484100 too.",
    "On 2026-03-04 at 09:30:00 the Silver Otter carried 46 of 1,200,000 passengers.",
    "DE00 3704 0044 0532 0130 00 has wrong check digits.",
    "Follow @harbour on the board, or meet me @ nine.",
    "Flight 12345678, build 1.2.3.4, section 4.2.1.3, the years 1914-1918 and 1939-1945.",
    "A donkey, a turkey and a monkey took the ferry; passengers laughed.",
]


@pytest.mark.parametrize(("kind", "text"), HELD)
def test_is_found(kind: str, text: str) -> None:
    assert kind in personal.find(text)


@pytest.mark.parametrize("text", CLEAN)
def test_is_let_through(text: str) -> None:
    assert personal.find(text) == {}


@pytest.mark.parametrize(("kind", "text"), HELD)
def test_nothing_is_told_in_clear(kind: str, text: str) -> None:
    told = personal.find(text)[kind]  # type: ignore[index]
    for word in text.split():
        if len(word) > 7 and any(map(str.isdigit, word)):
            assert word.strip(".!") not in told


@pytest.mark.parametrize("piece", ["a", "a@", "sk-", "4111 ", "DE89 ", "+44 ", "1-", "password is ", "(("])
def test_a_huge_text_takes_no_huge_time(piece: str) -> None:
    started = time.process_time()
    personal.find(piece * (200_000 // len(piece)))
    assert time.process_time() - started < 10
