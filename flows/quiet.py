"""The environment that this program and everything it starts run in: quiet, and the same everywhere.

Imported before anything else by whatever is started (`flows.cli`, `flows.update`): Prefect, MLflow, DVC and
transformers read these variables when they are imported. A variable that is set already wins.
"""

import os
import sys
from pathlib import Path

DEFAULTS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
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
    executables = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "").split(os.pathsep)
    if path[0] != executables:
        os.environ["PATH"] = os.pathsep.join([executables, *path])


hush()
