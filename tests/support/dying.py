"""`ingestd` that the kernel seems to kill while it opens bundles whose items have a certain title."""

import os
import signal

from ingestd.cli import main
from ingestd.format.manifest import Manifest
from ingestd.pipeline import preflight
from ingestd.pipeline.staging import Plan

DEADLY = "deadly"


def make_plan(*arguments: object) -> Plan:
    """Dies while the opening transaction is open, as for want of memory."""
    manifest = next(argument for argument in arguments if isinstance(argument, Manifest))
    if any(entry.title == DEADLY for entry in manifest.standing()):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)  # type: ignore[arg-type]


real = preflight.make_plan

if __name__ == "__main__":
    preflight.make_plan = make_plan  # type: ignore[assignment]
    main()
