"""The stages: one module each. They read paths, call the learning core, write paths and report."""
