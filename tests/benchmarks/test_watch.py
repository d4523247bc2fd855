import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.memory import peak_memory
from benchmarks.watch import FIGURES, Clock, Watch, containment, reached
from models import attention, model
from models.evaluate import Question
from models.records import Probe


class Hand:
    """A clock's hand that moves only when it is pushed."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_a_clock_leaves_out_what_happens_while_it_is_stopped() -> None:
    hand = Hand()
    clock = Clock(hand)
    hand.at += 2
    for _ in range(2):
        with clock.stopped():
            hand.at += 50
    hand.at += 3
    assert clock.seconds == 5


def test_a_clock_goes_on_after_an_error() -> None:
    hand = Hand()
    clock = Clock(hand)

    def fail() -> None:
        with clock.stopped():
            hand.at += 50
            raise ValueError("asked in vain")

    with pytest.raises(ValueError, match="in vain"):
        fail()
    hand.at += 1
    assert clock.seconds == 1


def test_reached_is_the_first_time_that_is_high_enough() -> None:
    curve = [(1.0, 0.2), (2.0, 0.9), (3.0, 0.5), (4.0, 0.95)]
    assert reached(curve, 0.9) == 2.0
    assert reached(curve, 0.96) is None
    assert reached([(1.0, None)], 0.0) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process knows its own peak")
def test_the_peak_is_not_that_of_the_process_that_started_this_one() -> None:
    large = torch.ones(3 * 10**8, dtype=torch.uint8)
    script = "import torch; from benchmarks.memory import peak_memory; print(peak_memory(torch.device('cpu')))"
    own = float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    del large
    assert own < peak_memory(torch.device("cpu")) - 0.2


def test_containment_leaves_a_model_as_it_was(tiny_model: Path) -> None:
    lm = model.load(tiny_model)
    lm.model.train().set_attn_implementation("sdpa")
    asked = [Question("", "e", Probe(question="Who?", answers=("nobody at all",)))]
    assert containment(lm, asked) == 0.0
    assert lm.model.training
    assert lm.model.config._attn_implementation == "sdpa" != attention.NAME
    assert containment(lm, []) is None


def test_a_watch_asks_every_so_many_steps_and_at_the_end(tiny_model: Path) -> None:
    lm = model.load(tiny_model)
    watch = Watch([Question("", "e", Probe(question="Who?", answers=("nobody at all",)))], every=2)
    watch.start()
    for step in range(1, 6):
        watch.after(step, lm)
    figures = watch.figures(lm, tokens=10, taught=0.0, kl=0.5)
    assert set(figures) == {*FIGURES, "curve"}
    assert [share for _, share in figures["curve"]] == [0.0, 0.0, 0.0]
    assert figures["seconds"] < 1  # asking takes no time
