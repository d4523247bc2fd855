"""A child that dies with its parent, however the parent dies.

A killed `dvc repro` or a killed round would otherwise leave its stage running, and the next round would start a
second one beside it. On Linux the kernel sends the signal (`PR_SET_PDEATHSIG`); elsewhere a thread looks once a
second, and until it has looked the lock on the integration holds the second one back.

    python -P -m flows.lifeline dvc repro --single-item base     # the module `dvc`, bound to whoever started it
"""

import ctypes
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Sequence

from models.files import is_alive

PR_SET_PDEATHSIG = 1
PARENT = "SELFPARAM_PARENT"  # the process id of the round, for stages that a shell or DVC stands between


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs an installed module as a child bound to this process."""
    # -P: a workspace may hold folders that are named like installed packages; never import from there
    return [sys.executable, "-P", "-m", "flows.lifeline", module, *arguments]


def environment() -> dict[str, str]:
    """The environment for such a child: it names the process that must outlive it."""
    return {**os.environ, PARENT: str(os.getpid())}


def bind() -> None:
    """Bind this process to its parent, and to the round where there is one: when either is gone, so is this."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between the two calls, so no signal will come
            os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent, os.environ.get(PARENT)), daemon=True, name="lifeline").start()


def _watch(parent: int, round_pid: str | None) -> None:
    while os.getppid() == parent and (round_pid is None or is_alive(int(round_pid))):
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """Run an installed module as `python -m` would, bound to the process that started this one."""
    bind()
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
