"""The models: one protocol per task, one small adapter per family; torch lives here alone."""

import os

# By default OpenMP threads spin while they wait for each other. When another process is busy on the
# machine, a forward pass of a small model then takes up to sixty times as long. It must be set
# before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
