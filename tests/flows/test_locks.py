"""Who waits for whom: a round for those who are done in seconds, nobody for a round."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import locks


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PEEK", 0.0)


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from flows import locks\n"
        "with locks.held(Path(sys.argv[1]), 'round'): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # ends with this test
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(locks.Busy, match=f"process {holder.pid}"), locks.held(tmp_path, "round"):
            pass
        holder.kill()
    with locks.held(tmp_path, "round"):
        pass


@contextmanager
def at_work(root: Path, seconds: float) -> Iterator[None]:
    """Somebody who holds the books for some seconds."""
    began = threading.Event()

    def work() -> None:
        with locks.held_briefly(root):
            began.set()
            time.sleep(seconds)

    thread = threading.Thread(target=work)
    thread.start()
    assert began.wait(10)
    yield
    thread.join()


def test_who_is_done_in_seconds_is_waited_for(tmp_path: Path) -> None:
    with at_work(tmp_path, 0.3), locks.held_for_a_round(tmp_path):
        pass
    with at_work(tmp_path, 0.3), locks.held_briefly(tmp_path):
        pass


def test_nobody_waits_for_a_round(tmp_path: Path) -> None:
    with locks.held_for_a_round(tmp_path):
        for taken in (locks.held_for_a_round, locks.held_briefly):
            with pytest.raises(locks.Busy, match="A round is running"), taken(tmp_path):
                pass
