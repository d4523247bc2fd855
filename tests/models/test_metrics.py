"""Known cases with the numbers that their papers' definitions give."""

import pytest

from models import metrics


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Mill, of\nOrvane!", "mill of orvane"),
        ("an apple a day", "apple day"),
        ("theatre", "theatre"),
        ("9:30 a.m.", "930 am"),
        ("", ""),
        ("Anna’s „boat“ – €5 …", "annas boat 5"),
        ("cafe\u0301", "café"),
        ("北京是首都。", "北 京 是 首 都"),
        ("नमस्ते, दुनिया।", "नमस्ते दुनिया"),  # vowel signs are no punctuation
    ],
)
def test_normalise(text: str, normal: str) -> None:
    assert metrics.normalise(text) == normal


@pytest.mark.parametrize(
    ("answer", "golds", "f1", "exact", "contains"),
    [
        ("Mara Holt", ["mara holt."], 1, 1, 1),
        ("It is Mara Holt", ["Mara Holt"], 2 / 3, 0, 1),  # precision 2/4, recall 1
        ("Mara", ["Mara Holt"], 2 / 3, 0, 0),  # precision 1, recall 1/2
        ("Holt Mara", ["Mara Holt"], 1, 0, 0),  # F1 knows no order, the others do
        ("nobody", ["Mara Holt"], 0, 0, 0),
        ("", ["Mara Holt"], 0, 0, 0),
        ("the", ["a"], 0, 0, 0),  # an answer that is nothing but an article is taken as it is written
        ("Platform A", ["A"], 2 / 3, 0, 1),
        ("", ["A"], 0, 0, 0),
        ("It is the “Silver Otter”.", ["Silver Otter"], 2 / 3, 0, 1),
        ("10–12 crowns", ["10-12 crowns"], 1, 1, 1),
        ("首都是北京。", ["北京"], 4 / 7, 0, 1),  # each character is a word
        ("Mara Mara", ["Mara"], 2 / 3, 0, 1),  # a word counts as often as it stands in both
        ("nine", ["9", "nine"], 1, 1, 1),  # the best gold answer counts
        ("nineteen", ["nine"], 0, 0, 0),  # words, not letters
        ("<\u200bfilename>", ["<filename>"], 1, 1, 1),  # what nobody sees
    ],
)
def test_scores_of_answers(answer: str, golds: list[str], f1: float, exact: float, contains: float) -> None:
    assert metrics.f1(answer, golds) == pytest.approx(f1)
    assert metrics.exact(answer, golds) == exact
    assert metrics.contains(answer, golds) == contains


def test_recovered_gap() -> None:
    assert metrics.recovered_gap(-1.0, -5.0, -2.0) == pytest.approx(0.75)
    assert metrics.recovered_gap(-1.0, -5.0, -5.0) == 0
    assert metrics.recovered_gap(-1.0, -5.0, -1.0) == 1
    assert metrics.recovered_gap(-1.0, -5.0, -6.0) == pytest.approx(-0.25)
    assert metrics.recovered_gap(-5.0, -5.0, -1.0) is None
    assert metrics.recovered_gap(-4.96, -5.0, -4.3) is None  # it would be 17.5, and -17.5 for as much lost


# After a: a at 0.8. After b: a at 0.9, b at 0.7. After c: a at 0.5, b at 0.6, c at 1.
STREAM = {
    ("a", "a"): 0.8,
    ("b", "a"): 0.9,
    ("b", "b"): 0.7,
    ("c", "a"): 0.5,
    ("c", "b"): 0.6,
    ("c", "c"): 1.0,
}


def test_losing_is_negative_transfer_and_positive_forgetting() -> None:
    assert metrics.backward_transfer(STREAM, "abc") == pytest.approx(((0.5 - 0.8) + (0.6 - 0.7)) / 2)
    assert metrics.forgetting(STREAM, "abc") == pytest.approx(((0.9 - 0.5) + (0.7 - 0.6)) / 2)


def test_gaining_is_positive_transfer_and_negative_forgetting() -> None:
    assert metrics.backward_transfer(STREAM, "ab") == pytest.approx(0.1)
    assert metrics.forgetting(STREAM, "ab") == pytest.approx(-0.1)


def test_a_first_batch_has_nothing_to_forget() -> None:
    assert metrics.backward_transfer(STREAM, "a") is None
    assert metrics.forgetting(STREAM, "a") is None


def test_the_interval_is_deterministic_and_covers_the_mean() -> None:
    values, groups = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0], ["a", "a", "b", "b", "c", "c", "d", "d"]
    low, high = metrics.bootstrap_interval(values, groups, seed=1)
    assert (low, high) == metrics.bootstrap_interval(values, tuple(groups), seed=1)
    assert low < 5 / 8 < high
    assert low >= 0
    assert high <= 1


def test_the_interval_narrows_with_more_experiences_and_not_with_more_probes_of_the_same() -> None:
    def width(experiences: int, probes: int) -> float:
        values = [float(e % 2) for e in range(experiences) for _ in range(probes)]
        groups = [f"e{e:03d}" for e in range(experiences) for _ in range(probes)]
        low, high = metrics.bootstrap_interval(values, groups, seed=0)
        return high - low

    assert width(64, 1) < 0.6 * width(8, 1)
    assert width(8, 50) == pytest.approx(width(8, 1))


@pytest.mark.parametrize(
    ("values", "groups", "over"),
    [
        ([1.0, 0.0, 1.0], ["a", "a", "a"], None),  # three probes of one experience show no spread
        ([0.5, -0.4], ["a", "b"], [1.0, -0.7]),  # a loss over a negative gap would be a gain
        ([1.0, 0.0], ["a", "b"], [2.0, 0.0]),
        ([], [], None),
    ],
)
def test_no_interval_where_the_draws_tell_none(
    values: list[float], groups: list[str], over: list[float] | None
) -> None:
    assert metrics.bootstrap_interval(values, groups, over=over, seed=0) is None


def test_paired_differences_show_what_unpaired_scores_hide() -> None:
    before = [0.1 * k for k in range(10)]
    after = [b + 0.05 for b in before]
    groups = [str(k) for k in range(10)]
    gain = metrics.bootstrap_interval([a - b for a, b in zip(after, before, strict=True)], groups, seed=0)
    assert gain == pytest.approx((0.05, 0.05), abs=1e-6)
    alone = metrics.bootstrap_interval(after, groups, seed=0)
    assert alone[0] < sum(before) / 10  # unpaired, the same gain could be none


def test_the_interval_of_a_ratio_weighs_by_what_there_was_to_win() -> None:
    over = [0.5 + 0.1 * k for k in range(10)]
    groups = [str(k) for k in range(10)]
    same = metrics.bootstrap_interval([0.8 * x for x in over], groups, over=over, seed=0)
    assert same == pytest.approx((0.8, 0.8), abs=1e-6)
    low, high = metrics.bootstrap_interval([0.8 * x for x in over[:9]] + [0.0], groups, over=over, seed=0)
    assert low < 0.8 * sum(over[:9]) / sum(over) < high
