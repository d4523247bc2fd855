"""What an operator starts: the command line, the round and its schedule."""

import gc

# An import of torch, Prefect or MLflow makes objects by the hundred thousand, and all of them stay. Looking for garbage
# among them after every 700, as Python does, takes a quarter of the import's time (docs/LOG.md).
gc.set_threshold(20_000)
