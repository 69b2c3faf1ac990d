"""Stages: a batch of records in, a batch of records of the same length and order out.

`autolabel.stages.table` lists them. `wants(record)` is False for records that pass through
untouched; `__call__(batch)` is the work. The engine reads the pixels for a stage that needs them;
what else can be done ahead on threads, a stage does in `prepare(record)`.
"""
