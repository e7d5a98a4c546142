"""`ingestd` on a host of its own: another boot, name, pid namespace and network, but the machine-id of this one.

CLONE_HOST and CLONE_BOOT_ID_FILE say which host. CLONE_CARELESS makes it take what seems to be dead for dead, to show
that a test would notice.
"""

import os
import sys
from pathlib import Path

from ingestd.cli import main
from ingestd.pipeline import identity

NAMESPACES = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "--net")


def careless(instance: identity.Instance, text: str | None) -> identity.Fate:
    return identity.Fate.ALIVE if text == str(instance) else identity.Fate.DEAD


def be_a_clone() -> None:
    Path("/proc/sys/kernel/hostname").write_text(os.environ["CLONE_HOST"])
    identity.BOOT_ID_FILE = os.environ["CLONE_BOOT_ID_FILE"]
    if os.environ.get("CLONE_CARELESS"):
        setattr(identity.Instance, "fate_of", careless)  # noqa: B010  its declared type is another


if __name__ == "__main__":
    if "CLONE_INSIDE" in os.environ:
        be_a_clone()
        main()
    os.environ["CLONE_INSIDE"] = "1"
    os.execvp(NAMESPACES[0], [*NAMESPACES, sys.executable, "-P", *sys.argv])
