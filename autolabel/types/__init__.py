"""The types that cross every boundary, and the Arrow schema that stores them."""

from autolabel.types.objects import (
    ACTIONS,
    CONFIRMED,
    CORRECTION,
    DELETED,
    DRAWN,
    MOVED,
    OBJECT,
    RELABELLED,
    Correction,
    Objects,
)
from autolabel.types.record import (
    CHANGED,
    DUPLICATE,
    EXCLUDED,
    GONE,
    LEAK,
    POOL,
    Record,
    Unmatched,
    is_unread,
)
from autolabel.types.table import SCHEMA, from_table, is_objects, to_table, upgraded

__all__ = [
    "ACTIONS", "CHANGED", "CONFIRMED", "CORRECTION", "DELETED", "DRAWN", "DUPLICATE", "EXCLUDED",
    "GONE", "LEAK", "MOVED", "OBJECT", "POOL", "RELABELLED", "SCHEMA", "Correction", "Objects",
    "Record", "Unmatched", "from_table", "is_objects", "is_unread", "to_table", "upgraded",
]  # fmt: skip
