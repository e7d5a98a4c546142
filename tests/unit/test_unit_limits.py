"""The unit protects its host: limits of memory, tasks and files, with room for what the daemon needs."""

import re
from pathlib import Path

from ingestd.config import MountSettings
from ingestd.listener import WANTED_FILES
from ingestd.mount.access import Mount
from support.processes import helpers

UNIT = (Path(__file__).resolve().parents[2] / "contrib/systemd/ingestd.service").read_text(encoding="utf-8")
GIB = 2**30


def setting(name: str) -> str:
    found = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    assert len(found) == 1, name
    return str(found[0])


def size(name: str) -> int:
    text = setting(name)
    assert text.endswith("G")
    return int(text[:-1]) * GIB


def test_memory_has_room_for_the_largest_manifest_and_a_limit() -> None:
    assert 2.5 * GIB < size("MemoryHigh") < size("MemoryMax") <= 4 * GIB


def test_helper_that_the_kernel_ends_does_not_end_the_service() -> None:
    assert setting("OOMPolicy") == "continue"
    assert setting("Restart") == "always"


def test_kernel_ends_a_helper_before_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "sync").mkdir()
    mount = Mount(MountSettings(root=tmp_path, require_mount=False))
    try:
        mount.check()
        scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in helpers()]
    finally:
        mount.close()
    assert scores
    assert min(scores) > int(Path("/proc/self/oom_score_adj").read_text())


def test_tasks_and_files_are_limited() -> None:
    assert 256 <= int(setting("TasksMax")) < 4096
    assert int(setting("LimitNOFILE")) >= WANTED_FILES
