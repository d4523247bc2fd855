"""The Prefect API that a round talks to: the server named by PREFECT_API_URL, in the environment or in the person's
Prefect profile, else one of the round's own.

Prefect would start such a temporary server itself, but a killed round would leave it running on the workspace's
database; this one dies with the round. Its history stays in `.prefect/`, where a real server shows it.
"""

import os
import shutil
import socket
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows import lifeline

START_SECONDS = 180.0  # 4 s on a free machine; the first start, which makes the database, took 65 s on a crowded one


# What makes create_app the temporary API that Prefect itself would start: no UI, no scheduler, but the services that
# record task runs and events. (`prefect server start --no-services` records no task runs.)
TEMPORARY = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1", "PREFECT_UI_ENABLED": "0"}
APP = "prefect.server.api.server:create_app"


@contextmanager
def reachable(root: Path) -> Iterator[str]:
    """Yield the API's address. Enter before Prefect is imported, which is done here: it reads the address then."""
    # Prefect's own lines go to its database; on the terminal they would tear the progress display
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    named = _named_in_profile()  # with the key and the certificates that stand beside it in that home
    if not named:
        os.environ.setdefault("PREFECT_HOME", str(root / ".prefect"))
    if url := os.environ.get("PREFECT_API_URL") or named:
        _must_answer(url)
        yield url
        return
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    log = root / ".prefect" / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    where = ("--host", "127.0.0.1", "--port", str(port))
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(
            lifeline.command("uvicorn", "--factory", APP, *where, "--log-level", "error", "--lifespan", "on"),
            env={**lifeline.environment(), **TEMPORARY},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the round, which still has something to tell it
        )
    os.environ["PREFECT_API_URL"] = url
    import prefect.main  # noqa: F401 - takes as long as the server's start: the two go side by side

    try:
        _wait(server, url, log)
        try:
            yield url
        finally:
            _tell_the_rest()
    finally:
        del os.environ["PREFECT_API_URL"]
        _stop(server)


def _named_in_profile() -> str | None:
    """The server that the person's Prefect profile names (`prefect config set PREFECT_API_URL=…`), if one is. Read
    here because importing Prefect takes seconds and fixes its home."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    path = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        url = found["profiles"][os.environ.get("PREFECT_PROFILE") or found["active"]]["PREFECT_API_URL"]
    except (OSError, ValueError, KeyError, TypeError):  # what is wrong with the file Prefect will say
        return None
    return str(url)


def _must_answer(url: str) -> None:
    """Say at once that somebody's server is not there, as Prefect finds it: it knows of keys and certificates."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        try:
            client.raise_for_api_version_mismatch()
        except RuntimeError as error:
            raise ValueError(
                f"PREFECT_API_URL is {url}: {error}. Start that server (`prefect server start`), or forget it (`unset "
                "PREFECT_API_URL`, or `prefect config unset PREFECT_API_URL` in a profile): a round needs none."
            ) from error


def _tell_the_rest() -> None:
    """Send the lines and events that still wait in this process: they could reach nobody when it ends."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    EventsWorker.drain_all(timeout=10)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()  # it writes down what it has recorded
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
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
    what = "ended at once" if server.poll() is not None else f"did not start within {START_SECONDS:.0f} s"
    left = shutil.disk_usage(log.parent).free / 1e6
    raise ValueError(f"Prefect's API {what}; {log} says why ({left:,.0f} MB are left on its disk). Start again.")
