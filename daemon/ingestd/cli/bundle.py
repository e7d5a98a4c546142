"""Commands to make a bundle for trials and to check a manifest. They need neither a daemon nor a database."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ingestd.cli.output import json_option, print_json, shown
from ingestd.cli.session import as_sync_id
from ingestd.errors import BundleError, NotFound
from ingestd.format.check import Report, check_manifest
from ingestd.make.bundle import MadeBundle, make_bundle
from ingestd.model import Action
from ingestd.mount.paths import printable

Progress = Callable[[int, int], None]


@click.group()
def bundle() -> None:
    """Makes bundles for trials, and checks manifests offline."""


@bundle.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--out", "root", required=True, type=click.Path(path_type=Path), help="The assets root to write below.")
@click.option("--action", type=click.Choice([action.value for action in Action]), default="create", show_default=True)
@click.option("--type", "kind", default="photo-set", show_default=True, help="The manifest's type.")
@click.option("--prior", metavar="SYNC_ID", type=as_sync_id, help="Bundle that this one follows.")
@click.option("--gallery", metavar="TITLE", help="Also make a gallery of all items.")
@json_option
def make(
    folder: Path, root: Path, action: str, kind: str, prior: str | None, gallery: str | None, as_json: bool
) -> None:
    """Makes a valid bundle from the media files in DIR and its subfolders.

    Prints the sync_id first. With --action remove nothing is copied: the bundle removes the items of these files.
    """
    if gallery is not None and action == Action.REMOVE:
        raise click.UsageError("--gallery cannot be combined with --action remove")
    with _progress() as on_progress:
        made = make_bundle(
            folder, root, action=action, kind=kind, prior=prior, gallery=gallery, on_progress=on_progress
        )
    _print_made(made, as_json)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A progress bar, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    with click.progressbar(length=1, label="media files", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show


def _print_made(made: MadeBundle, as_json: bool) -> None:
    facts: dict[str, Any] = {**asdict(made), "manifest": printable(str(made.manifest))}
    if as_json:
        print_json(facts)
        return
    click.echo(made.sync_id)
    for key, value in facts.items():
        if key != "sync_id":
            click.echo(f"{key}  {shown(value)}")


@bundle.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def check(context: click.Context, file: Path, as_json: bool) -> None:
    """Checks the manifest FILE and prints every problem; exits with status 1 if there are any.

    Only the manifest is checked, not the files that it lists.
    """
    report = check_manifest(_read(file), file_name=printable(file.name))
    if as_json:
        print_json(asdict(report))
    else:
        _print_report(report, printable(str(file)))
    context.exit(1 if report.problems else 0)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{printable(str(file))} does not exist; name a manifest file") from None
    except OSError as error:
        raise BundleError(
            f"cannot read {printable(str(file))}: {error.strerror}; name a readable manifest file"
        ) from error


def _print_report(report: Report, name: str) -> None:
    for problem in report.problems:
        click.echo(shown(problem))
    for warning in report.warnings:
        click.echo(f"warning: {shown(warning)}", err=True)
    result = _count(len(report.problems), "problem") if report.problems else "no problems"
    counts = f"{_count(report.item_count, 'item')}, {_count(report.container_count, 'container')}"
    click.echo(f"{shown(name)}: {result} ({counts})", err=True)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


COMMANDS = (bundle,)
