"""Scripts for an environment of their own, not tests: see README.md."""

collect_ignore = ["compare_grounding_dino.py", "reference.py", "weights.py"]
