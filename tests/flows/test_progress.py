"""What a person sees of a round: in a terminal a line a stage, elsewhere the lines as they come."""

import io
import logging
import time

from rich.console import Console

from flows.progress import shown

log = logging.getLogger("selfparam")


def a_stage() -> None:
    for line in ("started", "step 1/9 loss 0.9", "step 2/9 loss 0.8", "step 3/9 loss [bold]0.7"):
        log.info("integrate b0000: %s", line, extra={"stage": "integrate b0000"})
        time.sleep(0.3)  # the terminal is drawn ten times a second
    log.info("integrate b0000: done in 1 s", extra={"stage": "integrate b0000", "is_done": True})


def seen(*, is_terminal: bool) -> str:
    out = io.StringIO()
    with shown(Console(file=out, force_terminal=is_terminal, width=140)):
        a_stage()
        log.info("4 of 7 records accepted")
    return out.getvalue()


def test_a_terminal_shows_how_far_it_is_and_how_long_it_will_take() -> None:
    drawn = seen(is_terminal=True)
    assert "integrate b0000" in drawn
    assert "step 2/9 loss 0.8" in drawn
    assert "step 3/9 loss [bold]0.7" in drawn  # no markup of ours
    assert " left" in drawn
    assert "done in 1 s" in drawn
    assert "4 of 7 records accepted" in drawn


def test_elsewhere_the_lines_are_printed_as_they_come() -> None:
    assert seen(is_terminal=False).splitlines() == [
        "integrate b0000: started",
        "integrate b0000: step 1/9 loss 0.9",
        "integrate b0000: step 2/9 loss 0.8",
        "integrate b0000: step 3/9 loss [bold]0.7",
        "integrate b0000: done in 1 s",
        "4 of 7 records accepted",
    ]


def test_the_logger_is_as_it_was_afterwards() -> None:
    before, level = list(log.handlers), log.level
    seen(is_terminal=False)
    assert (log.handlers, log.level) == (before, level)
