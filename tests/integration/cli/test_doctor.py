"""The command doctor."""

from pathlib import Path

import pytest

from support.command import Result, Run
from support.world import World


def checks(result: Result) -> dict[str, bool]:
    return {finding["check"]: finding["ok"] for finding in result.json}


ALL_CHECKS = {
    "configuration", "mount", "sentinels", "server version", "packet size", "binary log", "clock", "rights",
    "needed rights", "claim index", "machine-id", "mount identity", "bulk writes",
}  # fmt: skip


def test_doctor_of_a_healthy_installation(configured: World, run: Run) -> None:
    result = run("doctor", "--json")
    assert (result.code, result.stderr) == (0, "")
    assert checks(result) == dict.fromkeys(ALL_CHECKS, True)
    shown = run("doctor")
    assert (shown.code, shown.stderr) == (0, "")
    assert [line[:4] for line in shown.stdout.splitlines()] == ["ok  "] * len(ALL_CHECKS)


def test_doctor_finds_an_account_with_too_many_rights(
    configured: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_DATABASE__USER", "root")
    result = run("doctor")
    assert result.code == 1
    (place,) = (i for i, line in enumerate(result.stdout.splitlines()) if line.startswith("FAIL  rights: may "))
    line, remedy = result.stdout.splitlines()[place : place + 2]
    assert "DELETE" in line
    assert "UPDATE" in line
    assert "sql/grants.sql" in remedy
    assert result.stdout.count("FAIL") == 1


def test_doctor_finds_a_packet_too_small_for_the_largest_document(
    configured: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_MOUNT__MAX_DOCUMENT_BYTES", str(100 * 2**20))
    result = run("doctor")
    assert result.code == 1
    assert "set it to at least 300M, or lower mount.max_document_bytes" in result.stdout


def test_doctor_finds_missing_rights(configured: World, run: Run) -> None:
    configured.sql("REVOKE INSERT, UPDATE ON asset FROM ingestd@localhost")
    configured.sql("REVOKE SELECT ON import_job FROM ingestd@localhost")
    configured.sql("REVOKE UPDATE ON ingest_control FROM ingestd@localhost")
    try:
        findings = {finding["check"]: finding for finding in run("doctor", "--json").json}
    finally:
        configured.server.grant()
    assert not findings["needed rights"]["ok"]
    wanted = "lacks SELECT on import_job, INSERT on asset, UPDATE on asset and 1 more"
    assert findings["needed rights"]["detail"] == wanted
    assert not findings["claim index"]["ok"]
    assert findings["rights"]["ok"]


def test_doctor_reports_an_unreachable_database_once(
    configured: World, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INGESTD_DATABASE__UNIX_SOCKET", str(tmp_path / "nowhere.sock"))
    result = run("doctor", "--json")
    assert result.code == 1
    assert checks(result) == {"configuration": True, "mount": True, "sentinels": True, "database": False}
    assert "nowhere.sock" in result.json[-1]["detail"]


def test_doctor_reports_a_missing_database(configured: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_DATABASE__USER", "root")
    monkeypatch.setenv("INGESTD_DATABASE__NAME", "other")
    result = run("doctor")
    assert result.code == 1
    assert "ingestd migrate" in result.stdout


def test_doctor_reports_an_absent_mount(configured: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", "/nowhere")
    result = run("doctor", "--json")
    assert result.code == 1
    assert checks(result) == {**dict.fromkeys(ALL_CHECKS - {"sentinels", "mount identity"}, True), "mount": False}
    (mount,) = (finding for finding in result.json if finding["check"] == "mount")
    assert "/nowhere" in mount["detail"]


def test_doctor_reports_how_many_rows_are_written(configured: World, run: Run) -> None:
    def found() -> str:
        return next(
            str(finding["detail"]) for finding in run("doctor", "--json").json if finding["check"] == "bulk writes"
        )

    assert "LOAD DATA LOCAL" in found()
    configured.sql("SET GLOBAL local_infile = 0")
    try:
        assert "by INSERT" in found()
    finally:
        configured.sql("SET GLOBAL local_infile = 1")
