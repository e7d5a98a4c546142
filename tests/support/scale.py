"""How large tests are: small enough for every change, or as large as `make soak` runs them."""

import os

IS_SOAK = "SOAK" in os.environ


def scaled(normal: int, soak: int) -> int:
    return soak if IS_SOAK else normal
