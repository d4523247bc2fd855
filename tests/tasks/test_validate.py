"""Validation with the real Great Expectations in a temporary workspace."""

import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer, models, pre_tokenizers

from models.files import read_json
from models.records import BatchReport, Experience, HistoryEntry, Rejected, read_records
from tasks import intake
from tasks.measures import natural_share
from tasks.validate import UNBOUNDED, PersonalData, ValidateConfig, check, parse, read_ruler, validate
from tasks.workspace import Workspace

ROOT = Path(__file__).parents[2]
WINDOW = 400  # of the tokenizer below, a token a word; a quarter of it is kept for a question and its answer


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """A workspace whose base has a tokenizer and a small window, and has accepted nothing yet."""
    ws = Workspace(tmp_path)
    base = ws.weights("base")
    base.mkdir(parents=True)
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(base / "tokenizer.json"))
    (base / "config.json").write_text(json.dumps({"max_position_embeddings": WINDOW}), encoding="utf-8")
    ws.validated("base").mkdir(parents=True)
    (ws.validated("base") / "history.jsonl").touch()
    return ws


def row(id: str, context: Any = None, **fields: Any) -> str:
    context = context or f"The ferry number {id} leaves the harbour of Ellisund at nine."
    return json.dumps({"id": id, "context": context, **fields}, ensure_ascii=False)


def run(
    ws: Workspace, lines: list[str], config: ValidateConfig | None = None, *, batch: str = "b0000", parent: str = "base"
) -> BatchReport:
    intake.write_lines(ws.raw(batch), lines)
    return validate(ws, batch, parent, config or ValidateConfig(max_failure_rate=1.0))


def failed(report: BatchReport) -> dict[int, str]:
    return {one.line: one.expectation for one in report.rejected}


BROKEN = [
    ("expect_line_to_be_an_experience", "{"),
    ("expect_line_to_be_an_experience", row("x", extra=1)),
    ("expect_line_to_be_an_experience", row("x", occurred_at="soon")),
    ("expect_line_to_be_an_experience", b'{"id": "x", "context": "caf\xe9"}'.decode("utf-8", "surrogateescape")),
    ("expect_line_to_be_an_experience", r'{"id": "x", "context": "The lamp is red now.", "source": "\ud83d chat"}'),
    ("expect_context_to_hold_text", '{"id": "x", "context": []}'),
    ("expect_text_to_be_new", row("x", "the FERRY number good  leaves the harbour of Ellisund at nine.\n")),
    ("expect_id_to_be_unique", row("good", "Other words about the harbour.")),
    ("expect_context_to_fit_the_window", row("x", "many words " * (WINDOW * 3 // 8 + 1))),
    ("expect_pairs_to_fit_the_window", row("x", qa=[{"question": "Why?", "answer": "so " * (WINDOW // 4)}])),
    ("expect_pairs_to_fit_the_window", row("x", probes=[{"question": "Why?", "answers": ["a", "so " * WINDOW]}])),
    ("expect_date_to_be_plausible", row("x", occurred_at="0026-03-04")),
    ("expect_date_to_be_plausible", row("x", occurred_at="2999-03-04T10:00:00+01:00")),
    ("expect_mostly_natural_language", row("x", "QUJDREVGRw" * 30)),
    ("expect_no_secrets", row("x", "The key is AKIAIOSFODNN7EXAMPLE, says the captain of the ferry.")),
    ("expect_no_secrets", row("x", qa=[{"question": "The key?", "answer": "AKIAIOSFODNN7EXAMPLE"}])),
    ("expect_no_card_numbers", row("x", "The captain paid with the card 4111 1111 1111 1111.")),
    ("expect_no_ibans", row("x", "The captain pays to GB82 WEST 1234 5698 7654 32 every month.")),
]
SOUND = [
    row("x", [{"role": "customer", "content": "Where is my bag?"}, {"role": "agent", "content": "On the ferry."}]),
    row(
        "x", probes=[{"question": "When?", "answers": ["nine", "9"]}], qa=[{"question": "When?", "answer": "At nine."}]
    ),
    row("x", occurred_at="2026-03-04", source="a notice"),
    row("x", occurred_at="1900-01-01T00:00:00Z", source=""),
    row("x", "many words " * (WINDOW * 3 // 8)),
    row("x", "| what | crowns |\n| --- | --- |\n| foot passenger | 14 |\n| bicycle | 9 |\n| car, up to 5 m | 62 |"),
    row("x", "Der Fährhafen öffnet um neun; die Überfahrt kostet 14 Kronen."),
    row("x", "渡轮九点离开港口，十点到达。票价是十四克朗。"),
    row("x", "Паром отходит в девять часов утра от старой пристани."),
]


@pytest.mark.parametrize(("expectation", "line"), BROKEN)
def test_a_row_fails_the_expectation_that_it_breaks(ws: Workspace, expectation: str, line: str) -> None:
    report = run(ws, [row("good"), line])
    assert failed(report) == {2: expectation}
    assert report.accepted == 1
    (kept,) = read_records(ws.quarantine("b0000"), Rejected)
    assert kept == report.rejected[0]
    assert kept.reason
    assert kept.raw == intake.shown(line)


@pytest.mark.parametrize("line", SOUND)
def test_a_sound_row_is_let_through(ws: Workspace, line: str) -> None:
    report = run(ws, [row("good"), line])
    assert (report.accepted, report.flagged, report.rejected) == (2, 0, ())
    assert read_records(ws.validated("b0000") / "experiences.jsonl", Experience)[1] == intake.experience_of(line)


def test_nothing_is_lost_and_the_same_batch_is_judged_the_same(ws: Workspace) -> None:
    draw = random.Random(0)
    for _ in range(4):
        lines = [draw.choice([*SOUND, *(line for _, line in BROKEN), row(str(n)), "", "  "]) for n in range(30)]
        report = run(ws, lines)
        rejected = [one.line for one in report.rejected]
        accepted = len((ws.validated("b0000") / "experiences.jsonl").read_text(encoding="utf-8").splitlines())
        assert accepted + len(rejected) == report.rows == sum(1 for line in lines if line.strip())
        assert rejected == sorted(set(rejected))
        before = {path: path.read_bytes() for path in ws.validated("b0000").iterdir()}
        assert run(ws, lines) == report
        assert {path: path.read_bytes() for path in ws.validated("b0000").iterdir()} == before


def test_the_first_of_two_copies_is_kept_and_the_history_remembers_all(ws: Workspace) -> None:
    first = run(ws, [row("a"), row("b"), row("a")])
    assert failed(first) == {3: "expect_text_to_be_new"}
    second = run(ws, [row("c"), row("other", intake.experience_of(row("b")).text)], batch="b0001", parent="b0000")
    assert second.rejected[0].reason == "the same text as b0000"
    third = run(ws, [row("a", "New words under an old id.")], batch="b0002", parent="b0001")
    assert third.accepted == 1
    history = read_records(ws.validated("b0002") / "history.jsonl", HistoryEntry)
    assert [(entry.batch, entry.experience.id) for entry in history] == [
        ("b0000", "a"),
        ("b0000", "b"),
        ("b0001", "c"),
        ("b0002", "a"),
    ]
    assert all(entry.digest == entry.experience.digest for entry in history)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "no lines"),
        (["", " "], "no lines"),
        ([row("a"), "{", "{"], "2 of 3 rows have mistakes"),
        (["{"], "1 of 1 rows have mistakes"),
    ],
)
def test_too_many_failures_reject_the_batch_whole(ws: Workspace, lines: list[str], reason: str) -> None:
    report = run(ws, lines, ValidateConfig())
    assert reason in (report.rejected_whole or "")
    assert report.accepted == report.flagged == 0
    assert len(report.rejected) == report.rows
    for name in ("experiences.jsonl", "history.jsonl"):
        assert (ws.validated("b0000") / name).read_text(encoding="utf-8") == ""
    rejected = tuple(one.model_copy(update={"raw": ""}) for one in report.rejected)
    told = BatchReport.model_validate(read_json(ws.validated("b0000") / "report.json"))
    assert told == report.model_copy(update={"rejected": rejected})
    assert "Rejected whole" in (ws.validated("b0000") / "report.html").read_text(encoding="utf-8")


def test_a_batch_rejected_whole_leaves_the_history_as_it_was(ws: Workspace) -> None:
    run(ws, [row("a")])
    run(ws, ["{", row("b"), "{"], ValidateConfig(), batch="b0001", parent="b0000")
    assert [entry.experience.id for entry in read_records(ws.validated("b0001") / "history.jsonl", HistoryEntry)] == [
        "a"
    ]


def test_a_known_text_may_come_again_with_new_pairs(ws: Workspace) -> None:
    plain = json.loads(row("a"))
    taught = {**plain, "qa": [{"question": "Who is there?", "answer": "Anna is."}]}
    more = {**plain, "qa": [*taught["qa"], {"question": "Since when?", "answer": "Since May."}]}
    assert run(ws, [json.dumps(plain)]).accepted == 1
    second = run(ws, [json.dumps(plain), json.dumps({**taught, "id": "b"})], batch="b0001", parent="b0000")
    assert failed(second) == {1: "expect_text_to_be_new"}
    third = run(
        ws,
        [json.dumps(taught), json.dumps({**plain, "id": "b"}), json.dumps({**more, "id": "c"})],
        batch="b0002",
        parent="b0001",
    )
    assert failed(third) == {1: "expect_text_to_be_new", 2: "expect_text_to_be_new"}


def test_copies_are_no_mistakes_of_the_sender(ws: Workspace) -> None:
    assert run(ws, [row("a"), row("a"), row("a"), row("b")], ValidateConfig()).rejected_whole is None
    again = run(ws, [row("a"), row("b")], ValidateConfig(), batch="b0001", parent="b0000")
    assert again.rejected_whole == "nothing in it is new"


@pytest.mark.parametrize("policy", ["quarantine", "flag", "allow"])
def test_the_policy_for_personal_data_is_a_setting(ws: Workspace, policy: str) -> None:
    kinds = {
        "secret": "The key AKIAIOSFODNN7EXAMPLE opens the door of the office.",
        "card": "The captain paid with the card 4111 1111 1111 1111.",
        "iban": "The captain pays to GB82 WEST 1234 5698 7654 32 every month.",
        "email": "The captain reads captain@halvorn.example every day.",
        "phone": "The captain answers at +44 20 7946 0958 every day.",
    }
    lines = [row("good"), *(row(kind, text) for kind, text in kinds.items())]
    config = ValidateConfig(personal_data=PersonalData(**dict.fromkeys(kinds, policy)), max_failure_rate=1.0)
    report = run(ws, lines, config)
    accepted, flagged = {"quarantine": (1, 0), "flag": (6, 5), "allow": (6, 0)}[policy]
    assert (report.accepted, report.flagged, len(report.rejected)) == (accepted, flagged, 6 - accepted)
    assert len(report.flags) == flagged


def test_a_flagged_row_is_accepted_and_told(ws: Workspace) -> None:
    report = run(ws, [row("a", "Write to desk@halvorn.example or call +44 20 7946 0958 before noon.")])
    assert (report.accepted, report.flagged) == (1, 1)
    assert [flag.expectation for flag in report.flags] == ["expect_no_email_addresses", "expect_no_phone_numbers"]
    assert "holds an e-mail address" in (ws.validated("b0000") / "report.html").read_text(encoding="utf-8")


def test_the_report_opens_offline_and_gives_nothing_away(ws: Workspace) -> None:
    secret, card = "AKIAIOSFODNN7EXAMPLE", "4111 1111 1111 1111"
    run(
        ws,
        [
            row("<script src=http://evil.example/x.js>", "Fine words about a ferry."),
            row("![](http://evil.example)", f"The key {secret} opens the door of the office."),
            row("card", f"Paid with {card} on the ferry."),
            row(secret),
            row(secret, extra=1),
            row("desk@halvorn.example", extra=1),
            "{",
        ],
    )
    told = read_json(ws.validated("b0000") / "report.json")
    assert secret not in str(told)
    assert card not in str(told)
    ids = {one["line"]: one["id"] for one in told["rejected"]}
    assert ids == {2: "![](http://evil.example)", 3: "card", 4: None, 5: None, 6: "desk@halvorn.example", 7: None}
    assert secret in ws.quarantine("b0000").read_text(encoding="utf-8")
    html = (ws.validated("b0000") / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)\s*=\s*[\"']?\w+:|@import|url\(|<script|<link|<img", html)
    assert secret not in html
    assert card not in html
    assert "expect_no_secrets" in html
    assert "data/quarantine/b0000.jsonl" in html


def test_a_preview_writes_nothing_and_needs_no_model(ws: Workspace) -> None:
    intake.write_lines(ws.raw("b0000"), [row("a"), row("long", "many words " * WINDOW), "{"])
    before = sorted(ws.root.rglob("*"))
    rows, rejected = parse(ws.raw("b0000"))
    config = ValidateConfig(max_failure_rate=1.0)
    known = {rows[0].experience.digest: "b0007"}
    bare = check(rows, rejected, batch="b0000", history=known, ruler=None, config=config)
    assert failed(bare.report) == {1: "expect_text_to_be_new", 3: "expect_line_to_be_an_experience"}
    full = check(rows, rejected, batch="b0000", history={}, ruler=read_ruler(ws, config), config=config)
    assert [one.id for one in full.accepted] == ["a"]
    assert sorted(ws.root.rglob("*")) == before


def test_the_smaller_of_setting_and_window_binds(ws: Workspace) -> None:
    assert (read_ruler(ws, ValidateConfig()).window, read_ruler(ws, ValidateConfig()).room) == (300, 100)
    assert read_ruler(ws, ValidateConfig(max_tokens=50)).window == 50
    assert read_ruler(ws, ValidateConfig(pair_tokens=20)).window == 380
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 1024}
    for shape, window in (
        ({}, UNBOUNDED - 100),
        ({"max_position_embeddings": 8192, "sliding_window": 1100}, 1000),
        ({"max_position_embeddings": 8192, "rope_parameters": rope}, 924),  # beyond, positions are other ones
        ({"text_config": {"max_position_embeddings": 512}}, 412),
    ):
        (ws.weights("base") / "config.json").write_text(json.dumps(shape), encoding="utf-8")
        assert read_ruler(ws, ValidateConfig(pair_tokens=100)).window == window


def test_what_is_missing_is_named_with_the_next_step(ws: Workspace) -> None:
    with pytest.raises(ValueError, match="selfparam ingest"):
        validate(ws, "b0000", "base", ValidateConfig())
    intake.write_lines(ws.raw("b0001"), [row("a")])
    with pytest.raises(ValueError, match="dvc repro"):
        validate(ws, "b0001", "b0000", ValidateConfig())


def test_a_misspelt_setting_is_an_error() -> None:
    with pytest.raises(ValidationError):
        ValidateConfig.model_validate({"max_token": 3})
    with pytest.raises(ValidationError):
        ValidateConfig.model_validate({"personal_data": {"email": "ignore"}})


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("The ferry leaves at nine.", 1.0, 1.0),
        ("A car costs 62 crowns, a dog 5 crowns.", 0.9, 1.0),
        ("The e-mail address of Dana is dana.smith@example.com.", 1.0, 1.0),
        ("12 34 56 78", 0.3, 0.4),
        ("4f3a 9bc2 ff01 ee7d", 0.0, 0.0),
        ('{"a":1,"b":[2,3],"c":{"d":4}}', 0.0, 0.2),
        ("", 0.0, 0.0),
    ],
)
def test_the_share_of_words(text: str, low: float, high: float) -> None:
    assert low <= natural_share(text) <= high


def test_a_piece_of_dashes_is_measured_at_once() -> None:
    started = time.process_time()
    natural_share("a" + "-" * 40_000 + "a")
    assert time.process_time() - started < 5


def test_the_sample_stream_passes_as_its_story_wants(ws: Workspace) -> None:
    (ws.weights("base") / "config.json").write_text('{"max_position_embeddings": 8192}', encoding="utf-8")
    parent = "base"
    reports = []
    for day, batch in enumerate(("b0000", "b0001", "b0002"), start=1):
        intake.write_lines(ws.raw(batch), intake.records_of(ROOT / "sample" / f"day-{day}.jsonl"))
        reports.append(validate(ws, batch, parent, ValidateConfig()))
        parent = batch
    assert [report.rejected_whole for report in reports] == [None] * 3
    assert [len(report.rejected) for report in reports] == [0, 0, 3]
    assert sorted(one.expectation for one in reports[2].rejected) == [
        "expect_line_to_be_an_experience",
        "expect_no_card_numbers",
        "expect_text_to_be_new",
    ]


def test_neither_torch_nor_great_expectations_is_imported_before_it_is_needed() -> None:
    code = "import sys, tasks.validate; print(sorted({'torch', 'great_expectations', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
