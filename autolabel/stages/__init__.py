"""Stages: a batch of records in, a batch of records of the same length and order out.

A stage has three members. `wants(record)` is False for records that pass through untouched;
`prepare(record)` is CPU work that the engine runs ahead on threads; `__call__(batch)` is the rest.
"""
