"""What counts as personal data or a secret, and what only looks like it."""

import time

import pytest

from tasks import personal

SIGNS = "a1B2c3D4" * 9
JWT = f"eyJ{SIGNS}.eyJ{SIGNS * 12}.{SIGNS}"  # longer than the overlap of two pieces
SERVICES = (
    "npm_ hf_ gsk_ r8_ sk_test_ whsec_ dop_v1_ shpat_ sk- xai- sk-ant- sk-or-v1- sk-admin- github_pat_11A_ dckr_pat_ "
    "GOCSPX- hvs. xapp-1-A01- AIza"
)
ASSIGNED = (
    "aws_secret_access_key = |DB_PASSWORD=|STRIPE_API_KEY=|client_secret: |SECRET_KEY=|auth_token=|The passphrase is |"
    "api key: |Refresh-Token: |Authorization: Bearer "
)
HELD = [
    *(
        ("secret", f"The captain wrote {start}{SIGNS} on the board.")
        for start in SERVICES.split() + ASSIGNED.split("|")
    ),
    ("secret", "The captain wrote dapi" + "0a1b2c3d" * 4 + " on the board."),
    ("secret", "DB_PASSWORD=hunter22x"),
    ("secret", "-----BEGIN ENCRYPTED PRIVATE KEY-----"),
    *(("secret", f"{'The ferry. ' * before}{JWT}{' The ferry.' * 400}") for before in (0, 250, 300, 340, 400)),
    ("secret", "The key is AKIAIOSFODNN7EXAMPLE and opens everything."),
    ("secret", "Use ghp_" + "a1B2" * 9 + " for the deploy."),
    ("secret", "The token hf_" + "aB3d" * 9 + " was posted."),
    ("secret", "-----BEGIN RSA PRIVATE KEY-----\nMIIE"),
    ("secret", "Log in at https://admin:hunter2@intranet.example."),
    ("secret", 'password = "swordfish99"'),
    ("secret", "The password is hunter2!"),
    ("secret", "x" * 9000 + " AKIAIOSFODNN7EXAMPLE " + "y" * 9000),
    ("secret", "Passwort: Kutter77x"),
    ("secret", "Das Kennwort: Kutter77x"),
    ("secret", "Mot de passe : Kutter77x"),
    ("card", "Paid with the card 4111 1111 1111 1111."),
    ("card", "Paid with 5500-0055-5555-5559 today."),
    ("card", "American: 378282246310005."),
    ("card", "Paid with 4111 1111 1111 1111 12/27 today."),
    ("card", "Paid with 4111-1111-1111-1111 04-27 today."),
    ("card", "Paid with 4111 1111 1111 1111 123 today."),
    ("card", "Paid with 3782 822463 10005 1225 today."),
    ("card", "John,4111111111111111,12/27"),
    ("card", "Card no.4111111111111111."),
    ("card", "Paid with 4111.1111.1111.1111."),
    ("card", "Paid with 4111\u00a01111\u00a01111\u00a01111."),
    ("iban", "Pay to DE89 3704 0044 0532 0130 00 IN EUROS please."),
    ("iban", "GB82WEST12345698765432"),
    ("iban", "Pay to de89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000 please."),
    ("iban", "FY24 DE89 3704 0044 0532 0130 00"),
    ("iban", "Pay to DE89-3704-0044-0532-0130-00 please."),
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
    "The minimum length of a password is 12-characters from today.",
    "Password: 12-character minimum, no reuse. Password: at least 10 characters, changed every 90 days.",
    "The new access token is OAuth2-based and lasts an hour; the API key is SHA-256 hashed.",
    "secret_key = secrets.token_urlsafe(32) makes a new one, api_key = os.environ.get(name2) reads it.",
    "password: [REDACTED-1], Password: <temp-pw-1>, API_KEY=${MY_KEY_2}",
    "API key: rotated every 90 days by the desk. Access token: 3600-second lifetime.",
    "Send the header Authorization: Bearer <token> with every request.",
    "The secret key to a good broth is patience, and the passphrase is spoken at 9 o'clock.",
    "Set npm_config_registry_of_the_office and hf_hub_download_timeout_in_seconds before you begin.",
    "See example.org/sk-bratislava-castle-tour-2026 and xai-explainable-artificial-intelligence.",
    "A day ticket costs 4,500.00 crowns, a season 62,000 crowns; 4000 1200 were sold at 3.1415926535897932.",
    "Rooms 4100 to 4900 are closed, order 5000-1234-77 is late, and the code of the year is FY24.",
    "Chapter 12 34 tells of the 1200 3400 tons that left in 2025 and 2026, 14 90 of them salt.",
    "The keys of rooms 101, 102 and 103 hang beside the token machine; a token costs 2 crowns.",
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


HUGE = ["a", "a@", "sk-", "4111 ", "DE89 ", "+44 ", "1-", "password is ", "((", "password=", "api_key=[", "sk-ant-"]
HUGE += ["eyJ-", "eyJ" + "a" * 12 + ".", "-----BEGIN A ", "authorization: bearer ", "de89\u00a0", "AIza"]


@pytest.mark.parametrize("piece", HUGE)
def test_a_huge_text_takes_no_huge_time(piece: str) -> None:
    started = time.process_time()
    personal.find(piece * (200_000 // len(piece)))
    assert time.process_time() - started < 10
