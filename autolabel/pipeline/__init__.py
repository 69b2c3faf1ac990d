"""A whole pipeline file: checked ahead, planned, and run."""
