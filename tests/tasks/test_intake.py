"""Intake loses nothing: whatever a file holds comes out of the raw batch again."""

import json
from pathlib import Path

import pytest

from tasks import intake

GOOD = '{"id": "a", "context": "The ferry leaves at nine."}'


def file(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_the_lines_of_a_jsonl_file_come_as_they_are(tmp_path: Path) -> None:
    odd = '{"id": "b",  "context": "a\u2028b \x0c c"}'  # characters at which str.splitlines would cut
    found = intake.records_of(file(tmp_path, "x.jsonl", f"{GOOD}\n\n{odd}\nnot json".encode()))
    assert found == [GOOD, "", odd, "not json"]  # a blank line, too: the others keep their numbers


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_adds_nothing(tmp_path: Path, data: bytes) -> None:
    assert not any(line.strip() for line in intake.records_of(file(tmp_path, "x.jsonl", data)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_mark_and_carriage_return_go(tmp_path: Path, encoding: str, end: str) -> None:
    path = file(tmp_path, "x.jsonl", f"{GOOD}{end}{GOOD}{end}".encode(encoding))
    assert intake.records_of(path) == [GOOD, GOOD]


def test_bytes_that_are_not_utf8_survive(tmp_path: Path) -> None:
    data = b'{"id": "a", "context": "caf\xe9"}\n\xff\xfe\xff\n'
    lines = intake.read_lines(file(tmp_path, "x.jsonl", data))
    intake.write_lines(tmp_path / "raw.jsonl", lines)
    assert (tmp_path / "raw.jsonl").read_bytes() == data
    assert intake.shown(lines[0]) == '{"id": "a", "context": "caf\\xe9"}'


def test_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    assert intake.read_lines(file(tmp_path, "x.jsonl", b"a\n\nb")) == ["a", "", "b"]


@pytest.mark.parametrize("suffix", [".md", ".txt", ".MD"])
def test_a_document_is_one_experience(tmp_path: Path, suffix: str) -> None:
    path = file(tmp_path, f"notes{suffix}", "# Notes\r\n\r\nThe café opens at nine.\r\n".encode())
    (line,) = intake.records_of(path)
    one = intake.experience_of(line)
    assert one.text == "# Notes\n\nThe café opens at nine."
    assert one.source == path.name
    assert one.id.startswith("notes-")
    again = file(tmp_path, f"notes{suffix}", b"Other words.")
    assert json.loads(intake.records_of(again)[0])["id"] != one.id


def test_a_document_in_another_encoding_is_not_lost(tmp_path: Path) -> None:
    (line,) = intake.records_of(file(tmp_path, "notes.txt", b"caf\xe9"))
    with pytest.raises(ValueError, match="save the file as UTF-8"):
        intake.experience_of(line)


def test_an_unknown_suffix_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Give \.jsonl, \.md, \.txt"):
        intake.records_of(file(tmp_path, "x.pdf", b"%PDF"))


def test_the_digest_knows_the_same_content_again() -> None:
    assert intake.digest_of(["a", "b"]) == intake.digest_of(["b ", "", "a"])
    assert intake.digest_of(["a", "b"]) != intake.digest_of(["a"])
    assert intake.digest_of(["a", "a"]) != intake.digest_of(["a"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "brackets"),
        ('{"context": "x"}', "id: Field required"),
        ('{"id": null, "context": "x"}', "id: Field required"),
        ('{"id": 7, "context": "x"}', "id: Input should be a valid string"),
        ('{"id": "a", "context": "  "}', "context"),
        ('{"id": "a", "context": "x", "contxt": "y"}', "contxt"),
        ('{"id": "a", "context": "x", "probes": [{"question": "q", "answers": []}]}', "probes.0.answers"),
        ('{"id": "a", "context": "x", "occurred_at": 20260304}', "ISO 8601"),
        ('{"id": "a", "context": "x", "occurred_at": "yesterday"}', "ISO 8601"),
        ('{"id": "a", "context": "x", "occurred_at": "2026-02-31"}', "occurred_at"),
        ('{"id": "a", "context": "half a pair \\ud83d"}', "context"),
        ('{"id": "a", "context": "' + "x" * 300_000 + '"}', "split it"),
    ],
)
def test_a_bad_line_is_told_why(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        intake.experience_of(line)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 500


def test_null_says_left_out() -> None:
    one = intake.experience_of('{"id": "a", "context": "x", "source": null, "probes": null, "occurred_at": null}')
    assert one.probes == ()


def test_of_a_file_that_is_evaluated_the_unreadable_lines_are_told(tmp_path: Path) -> None:
    found, wrong = intake.experiences(file(tmp_path, "x.jsonl", f"{GOOD}\n\n{{\n{GOOD}".encode()))
    assert [one.id for one in found] == ["a", "a"]
    assert list(wrong) == [3]
    assert wrong[3].startswith("not JSON")
