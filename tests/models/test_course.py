"""The course: every new sentence once a pass, an end where the held-out KL stops falling, the same when resumed."""

import itertools
import math
from collections.abc import Sequence

import pytest

from models.configs import IntegrateConfig
from models.course import MOST, NEW, Course, Step

BESIDE = {"unrelated": 3, "replay": 2, "locality": 1}
SIZES = {"unrelated": 10, "replay": 1, "locality": 0}
FALLING = [0.5**k for k in range(99)]
CONFIG = IntegrateConfig(epochs=5, least_steps=0, last_epochs=1, batch_size=7, held_out=0.1, least_fall=0.1, warmup=0.4)


def course(new: int, config: IntegrateConfig = CONFIG, seed: int = 0) -> Course:
    return Course({NEW: new, **SIZES}, BESIDE, config, seed)


def walked(course: Course, kl: Sequence[float] = FALLING) -> list[Step]:
    """All steps, where `kl` is what is measured after the first pass, the second and so on."""
    steps: list[Step] = []
    measured = 0
    while step := course.step(len(steps), kl[:measured]):
        steps.append(step)
        measured += step.is_measured
    return steps


def passes(course: Course, steps: list[Step], new: int) -> list[list[int]]:
    """The new sentences of each pass, in order; the last pass sees them all."""
    a_pass = math.ceil((new - len(course.held_out)) / CONFIG.batch_size)
    last = math.ceil(new / CONFIG.batch_size)
    starts = [*range(0, len(steps) - last, a_pass), len(steps) - last, len(steps)]
    return [[i for step in steps[a:b] for i in step.batch[NEW]] for a, b in itertools.pairwise(starts)]


@pytest.mark.parametrize("new", [1, 15, 16, 17, 40])
def test_every_new_sentence_is_seen_once_a_pass_and_the_held_out_in_the_last_alone(new: int) -> None:
    whole = course(new)
    steps = walked(whole)
    seen = passes(whole, steps, new)
    assert len(seen) == CONFIG.epochs
    assert len(whole.held_out) == (math.ceil(new / 10) if new >= 16 else 0)
    assert all(sorted(p) == sorted(set(range(new)) - set(whole.held_out)) for p in seen[:-1])
    assert sorted(seen[-1]) == list(range(new))
    assert max(len(step.batch[NEW]) for step in steps) <= CONFIG.batch_size
    if new > 1:
        assert seen[0] != seen[1]  # shuffled anew


def test_no_more_are_held_out_than_can_be_measured_at_once() -> None:
    assert len(course(2000).held_out) == MOST


def test_beside_them_stand_the_other_groups_in_turn() -> None:
    steps = walked(course(40))
    assert {len(step.batch["unrelated"]) for step in steps} == {3}
    assert all(step.batch["replay"] == [0, 0] and step.batch["locality"] == [] for step in steps)
    seen = [i for step in steps for i in step.batch["unrelated"]][:10]
    assert len(set(seen)) == len(seen)  # none again before all had their turn


@pytest.mark.parametrize(
    ("kl", "wanted"),
    [
        (FALLING, 5),  # it falls to the end: all passes
        ([1.0, 0.95], 3),  # too little in the second pass: then the last
        ([1.0, 1.2], 3),  # it rises
        ([1.0, 0.89, 0.82, 0.7], 4),
        ([1.0, 0.9, 0.81, 0.79], 5),
    ],
)
def test_the_last_pass_begins_where_the_held_out_kl_stops_falling(kl: list[float], wanted: int) -> None:
    whole = course(40)
    steps = walked(whole, kl)
    assert len(passes(whole, steps, 40)) == wanted
    assert steps[-1].steps == len(steps)
    assert all(step.steps >= len(steps) for step in steps)  # never less is announced than comes
    assert sum(step.is_measured for step in steps) == wanted - 1


def test_with_none_held_out_all_passes_are_made() -> None:
    for config in (CONFIG.model_copy(update={"held_out": 0.0}), CONFIG.model_copy(update={"epochs": 1})):
        whole = course(40, config)
        steps = walked(whole, [1.0, 1.0])
        assert whole.held_out == []
        assert not any(step.is_measured for step in steps)
        assert len(steps) == config.epochs * math.ceil(40 / 7)


@pytest.mark.parametrize("new", [1, 7, 40, 300])
@pytest.mark.parametrize("kl", [FALLING, [1.0, 1.0]])
def test_the_rate_rises_to_its_peak_stays_and_falls_in_the_last_pass(new: int, kl: list[float]) -> None:
    rates = [step.rate for step in walked(course(new), kl)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(1)
    assert peak < max(1, math.ceil(new / 7))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    last = math.ceil(new / 7)
    assert set(rates[peak:-last]) <= {1.0}
    falls = [a - b for a, b in itertools.pairwise(rates[-last:])]  # in equal parts, down to where the next were zero
    assert falls == pytest.approx([rates[-1]] * len(falls))


@pytest.mark.parametrize("unrelated", [10, 1000])
def test_it_is_known_before_which_of_them_will_be_seen(unrelated: int) -> None:
    whole = Course({NEW: 40, **SIZES, "unrelated": unrelated}, BESIDE, CONFIG, 0)
    steps = walked(whole)
    for group in BESIDE:
        assert whole.seen(group) == sorted({i for step in steps for i in step.batch[group]})
    assert len(whole.seen("unrelated")) == min(unrelated, 3 * len(steps))


@pytest.mark.parametrize(("kl", "wanted"), [(FALLING, 5), ([1.0, 1.0], 4)])
def test_the_last_passes_may_be_several(kl: list[float], wanted: int) -> None:
    whole = course(40, CONFIG.model_copy(update={"last_epochs": 2}))
    steps = walked(whole, kl)
    last = 2 * math.ceil(40 / 7)
    assert len(steps) == (wanted - 2) * math.ceil(36 / 7) + last
    seen = [i for step in steps[-last:] for i in step.batch[NEW]]
    assert sorted(seen) == sorted([*range(40)] * 2)
    assert sorted(seen[:40]) == list(range(40))  # one after the other
    assert [step.rate for step in steps[-last:]] == pytest.approx([(last - k) / last for k in range(last)])
    every = walked(course(40, CONFIG.model_copy(update={"last_epochs": 9})))
    assert len(every) == 5 * math.ceil(40 / 7)
    assert not any(step.is_measured for step in every)


def test_the_fall_may_begin_within_a_pass() -> None:
    whole = course(40, CONFIG.model_copy(update={"last_epochs": 1.5}))
    steps = walked(whole)
    assert len(steps) == 3 * math.ceil(36 / 7) + 2 * math.ceil(40 / 7)  # the held-out ones are in the last two
    fall = round(1.5 * math.ceil(40 / 7))
    assert [step.rate for step in steps[-fall:]] == pytest.approx([(fall - k) / fall for k in range(fall)])
    assert steps[-fall - 1].rate == 1
    whole_course = walked(course(40, CONFIG.model_copy(update={"last_epochs": 0.01})))
    assert whole_course[-1].rate == 1  # a single step has no way to fall


def test_same_seed_same_course() -> None:
    assert walked(course(40, seed=1)) == walked(course(40, seed=1)) != walked(course(40, seed=2))
    assert course(40, seed=1).held_out != course(40, seed=2).held_out


@pytest.mark.parametrize(
    ("new", "least", "wanted"), [(3, 30, 30), (10, 30, 30), (10, 31, 32), (40, 30, 30), (50, 0, 40)]
)
def test_few_sentences_are_gone_through_until_there_are_enough_steps(new: int, least: int, wanted: int) -> None:
    usual = CONFIG.model_copy(update={"held_out": 0.0})
    short = course(new, usual.model_copy(update={"least_steps": least}))
    steps = walked(short)
    assert len(steps) == wanted == steps[0].steps == short.most_steps
    seen = [i for step in steps for i in step.batch[NEW]]
    assert {seen.count(i) for i in range(new)} == {len(seen) // new}
    # the rate rises and falls over the same shares of the lesson as in a long one
    rates, longer = [step.rate for step in steps], walked(course(350, usual))
    at_peak = [sum(rate == 1 for rate in r) / len(r) for r in (rates, [step.rate for step in longer])]
    assert at_peak[0] == pytest.approx(at_peak[1], abs=0.1)


def test_no_lesson_ends_before_it_has_the_least_steps() -> None:
    for least, wanted in ((0, 18), (40, 42)):  # passes of six steps, and one that is the last
        config = CONFIG.model_copy(update={"epochs": 9, "least_steps": least})
        assert len(walked(course(40, config), [1.0] * 99)) == wanted


@pytest.mark.parametrize("new", [1, 15, 16, 17, 33, 49])
def test_those_held_out_do_not_shorten_it(new: int) -> None:
    config = CONFIG.model_copy(update={"batch_size": 16, "least_steps": 30})
    assert len(walked(course(new, config))) >= 30
