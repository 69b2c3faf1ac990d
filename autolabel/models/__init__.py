"""The models: one protocol per task, one small adapter per family; torch lives here alone."""
