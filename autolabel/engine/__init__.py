"""Engines run a stage over the shards that are still to do."""
