from tests.datasets.conftest import made, masked

__all__ = ["made", "masked"]
