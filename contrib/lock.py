"""Renews the lock files in requirements/ from setup.cfg and pyproject.toml. Run it as `make lock`.

A lock file pins each package to one version, with the hashes of its files. It is valid for every Python and processor
below, and names no package registry, so that it can be installed from a mirror.
"""

import argparse
import configparser
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
FOLDER = Path("requirements")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
# A malicious release is usually found and removed within days, so newer ones are not considered.
COOLDOWN = "7 days"

COMPILE = (
    "pip", "compile", "-", "--quiet", "--no-config",
    "--universal", f"--python-version={PYTHONS[0]}",
    "--generate-hashes", "--only-binary=:all:", "--emit-build-options", "--no-strip-extras",
    "--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command=make lock",
)  # fmt: skip
INSTALL = ("pip", "install", "--quiet", "--no-config", "--dry-run", "--require-hashes", "--only-binary=:all:")


def main() -> int:
    only = parse_options().only
    try:
        lock("build", build_requirements(), only)
        lock("runtime", runtime_requirements(), only)
        lock("dev", [*build_requirements(), *runtime_requirements(), *dev_requirements()], only, "build", "runtime")
        for python in PYTHONS:
            for platform in PLATFORMS:
                demand_wheels(python, platform)
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="packages to renew; without any, all are")
    return parser.parse_args()


def build_requirements() -> list[str]:
    requires: list[str] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]
    return requires


def runtime_requirements() -> list[str]:
    return setup_cfg()["options"]["install_requires"].split("\n")


def dev_requirements() -> list[str]:
    return setup_cfg()["options.extras_require"]["dev"].split("\n")


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string((PROJECT / "setup.cfg").read_text())
    return parser


def lock(name: str, requirements: Iterable[str], only: list[str], *within: str) -> None:
    """Writes requirements/NAME.txt; what the lock files `within` pin is pinned to the same version."""
    upgrade = [f"--upgrade-package={package}" for package in only] or ["--upgrade"]
    constraints = [f"--constraints={FOLDER / each}.txt" for each in within]
    say(f"resolving {name}")
    uv(*COMPILE, *upgrade, *constraints, f"--output-file={FOLDER / name}.txt", requirements="\n".join(requirements))


def demand_wheels(python: str, platform: str) -> None:
    """Fails where a package in requirements/dev.txt, which holds all of them, has no wheel."""
    say(f"checking that Python {python} finds wheels on {platform}")
    with tempfile.TemporaryDirectory() as folder:
        where = (f"--target={folder}", f"--python-version={python}", f"--python-platform={platform}")
        uv(*INSTALL, *where, f"--requirements={FOLDER / 'dev.txt'}")


def uv(*arguments: str, requirements: str = "") -> None:
    program = Path(sys.executable).with_name("uv")
    environment = {"UV_EXCLUDE_NEWER": COOLDOWN, **os.environ}
    subprocess.run(
        [program, *arguments], cwd=PROJECT, env=environment, input=requirements, text=True, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def say(text: str) -> None:
    print(f"lock: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
