"""`ingestd bundle make` and `ingestd bundle check`, as people and scripts call them."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from ingestd.cli import cli
from ingestd.cli.bundle import bundle
from ingestd.errors import BundleError, NotFound
from ingestd.format.manifest import parse_manifest

PRIOR = "bc02ed61-9d39-4538-952a-ed4ced680e96"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(bundle, [str(argument) for argument in arguments])


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"moving")
    (folder / "notes.txt").write_bytes(b"")
    return folder


@pytest.fixture
def manifest(media: Path, tmp_path: Path) -> Path:
    """A manifest without problems."""
    return Path(json.loads(run("make", media, "--out", tmp_path / "root", "--json").stdout)["manifest"])


def test_the_group_belongs_to_the_command_line() -> None:
    assert cli.get_command(click.Context(cli), "bundle") is bundle


def test_make_prints_the_sync_id_first(media: Path, tmp_path: Path) -> None:
    result = run("make", media, "--out", tmp_path / "root")
    assert (result.exit_code, result.stderr) == (0, "")
    first, *others = result.stdout.splitlines()
    assert (tmp_path / f"root/sync/{first}.ready").exists()
    assert "items  1" in others
    assert "skipped  1" in others


def test_make_prints_json(media: Path, tmp_path: Path) -> None:
    result = run("make", media, "--out", tmp_path / "root", "--json")
    made = json.loads(result.stdout)
    assert next(iter(made)) == "sync_id"
    assert (made["items"], made["bytes"], made["skipped"]) == (1, 6, 1)
    assert made["manifest"] == f"{tmp_path}/root/sync/{made['sync_id']}.json"


def test_make_passes_its_options_on(media: Path, tmp_path: Path) -> None:
    options = ["--action", "update", "--type", "event", "--prior", PRIOR.upper(), "--gallery", "Dawn set", "--json"]
    made = json.loads(run("make", media, "--out", tmp_path / "root", *options).stdout)
    manifest = parse_manifest(Path(made["manifest"]).read_bytes())
    assert (manifest.action, manifest.type, manifest.prior_sync_id) == ("update", "event", PRIOR)
    assert [container.title for container in manifest.containers()] == ["Dawn set"]


def test_make_removes(media: Path, tmp_path: Path) -> None:
    made = json.loads(run("make", media, "--out", tmp_path / "root", "--action", "remove", "--json").stdout)
    assert parse_manifest(Path(made["manifest"]).read_bytes()).action == "remove"
    assert run("make", media, "--out", tmp_path, "--action", "remove", "--gallery", "x").exit_code == 2


@pytest.mark.parametrize("options", [[], ["--action", "destroy"]])
def test_wrong_usage(media: Path, options: list[str]) -> None:
    result = run("make", media, *options)
    assert (result.exit_code, result.stdout) == (2, "")


def test_errors_of_ours_are_left_to_the_entry_point(tmp_path: Path) -> None:
    result = run("make", tmp_path / "nowhere", "--out", tmp_path / "root")
    assert isinstance(result.exception, BundleError)
    assert result.exception.exit_status == 1
    assert result.stdout == ""


def test_a_progress_bar_is_for_terminals_only(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, int]] = []

    class Bar:
        length, pos = 1, 0

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, steps: int) -> None:
            self.pos += steps
            shown.append((self.pos, self.length))

    def progressbar(**options: Any) -> Bar:
        assert options["file"].isatty(), "it goes to standard error"
        return Bar()

    monkeypatch.setattr(click, "progressbar", progressbar)
    (media / "b.mp4").write_bytes(b"on")
    run("make", media, "--out", tmp_path / "root")
    assert shown == []
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _self: True, raising=False)
    result = run("make", media, "--out", tmp_path / "root")
    assert (result.exit_code, shown) == (0, [(1, 2), (2, 2)])


def test_check_is_content(manifest: Path) -> None:
    result = run("check", manifest)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no problems (1 item, 0 containers)" in result.stderr


def broken(manifest: Path) -> Path:
    fields = {**json.loads(manifest.read_bytes()), "status": "uploading", "items": [{}], "prior_sync_id": "\u001b[31m"}
    manifest.write_text(json.dumps(fields))
    return manifest


def test_check_prints_every_problem(manifest: Path) -> None:
    result = run("check", broken(manifest))
    assert result.exit_code == 1
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["status", "prior_sync_id", "items[0]"]
    assert "\u001b" not in result.output
    assert "3 problems" in result.stderr


def test_check_prints_json(manifest: Path) -> None:
    report = json.loads(run("check", manifest, "--json").stdout)
    assert report == {
        "sync_id": manifest.stem, "problems": [], "warnings": [], "item_count": 1, "container_count": 0,
    }  # fmt: skip
    result = run("check", broken(manifest), "--json")
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)["problems"]) == 3


def test_warnings_go_to_stderr_and_do_not_fail(manifest: Path) -> None:
    copy = manifest.rename(manifest.parent / "copy.json")
    result = run("check", copy)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "warning: the file is named 'copy.json'" in result.stderr


def test_check_of_what_cannot_be_read(tmp_path: Path) -> None:
    missing = run("check", tmp_path / "nowhere.json").exception
    assert isinstance(missing, NotFound)
    assert missing.exit_status == 3
    assert isinstance(run("check", tmp_path).exception, BundleError)
