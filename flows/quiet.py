"""The environment that this program and everything it starts run in: quiet, and the same everywhere.

Imported before anything else by whatever is started (`flows.cli`, `flows.update`): Prefect, MLflow, DVC and
transformers read these variables when they are imported. A variable that is set already wins; `no_proxy` is added to.
"""

import os
import sys
from pathlib import Path

DEFAULTS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a line a run, in the midst of --json
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # MLflow's seven keep a person waiting for four minutes
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # as in prefect.toml, which a server started by hand reads
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",  # 20 s are too few for a busy machine's first start
    # Slots of a dead run stay taken for ever where leases live in the server's memory.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "selfparam",
    "PREFECT_CLI_PROMPT": "false",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that spin while they wait lose tenfold as soon as another process wants a core, and threads that sleep at
    # once are a quarter slower when none does: they spin for some 50 microseconds (docs/LOG.md).
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "10000",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TQDM_DISABLE": "1",  # bars of the libraries, in a log that is read line by line
    "PYTHONUNBUFFERED": "1",  # a stage's lines reach the round when they are written
}


def hush() -> None:
    """Set the defaults, and put this Python's executables first on the PATH of children."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    _ask_this_machine_directly()
    executables = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "").split(os.pathsep)
    if path[0] != executables:
        os.environ["PATH"] = os.pathsep.join([executables, *path])


def _ask_this_machine_directly() -> None:
    """A company's proxy would be asked for 127.0.0.1, too, and for Prefect's own API."""
    said = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))  # the former wins where both are set
    hosts = [host.strip() for host in said.split(",") if host.strip()]
    if "*" not in hosts:
        for name in ("no_proxy", "NO_PROXY"):
            os.environ[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))


hush()
