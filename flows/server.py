"""The Prefect API that a round talks to: the server named by PREFECT_API_URL, else one of the round's own.

Prefect would start such a temporary server itself, but a killed round would leave it running on the workspace's
database; this one dies with the round. Its history stays in `.prefect/`, where a real server shows it.
"""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows import lifeline

START_SECONDS = 180.0  # 4 s on a free machine; the first start, which makes the database, took 65 s on a crowded one


@contextmanager
def reachable(root: Path) -> Iterator[str]:
    """Yield the API's address. Enter before Prefect is imported: it reads the address then."""
    os.environ.setdefault("PREFECT_HOME", str(root / ".prefect"))
    if url := os.environ.get("PREFECT_API_URL"):
        yield url
        return
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    log = root / ".prefect" / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(
            lifeline.command(
                "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui", "--no-services"
            ),
            env=lifeline.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    os.environ["PREFECT_API_URL"] = url
    try:
        _wait(server, url, log)
        yield url
    finally:
        del os.environ["PREFECT_API_URL"]
        server.kill()  # its state is in SQLite: nothing is lost, and a polite end takes seconds
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise ValueError(f"Prefect's API did not start within {START_SECONDS:.0f} s; {log} says why. Start again.")
