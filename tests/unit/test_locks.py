"""The lock files in requirements/: they satisfy setup.cfg, pin everything by hash, and name no registry."""

import configparser
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).resolve().parents[2]
LOCKS = ("build", "runtime", "dev")
PYTHONS = ("3.11", "3.12", "3.13")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
ADDRESS = re.compile(
    r"://|\b[a-z0-9-]+\.(?:org|com|net|io|dev|local)\b|--(?:extra-)?index-url|--find-links|--trusted-host"
)

# The newest release of a direct dependency with a published vulnerability that is fixed in the next one.
VULNERABLE = {
    "click": "8.3.2",
    "flask": "3.1.2",
    "orjson": "3.11.5",
    "pillow": "12.2.0",
    "pydantic-settings": "2.14.1",
    "pymysql": "1.1.0",
    "waitress": "3.0.0",
    "werkzeug": "3.1.5",
}


def entries(lock: str) -> Iterator[tuple[Requirement, str]]:
    """Each requirement of a lock file, and its hashes."""
    text = (PROJECT / "requirements" / f"{lock}.txt").read_text()
    lines = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    for line in lines:
        if line and not line.startswith(("#", "--")):
            pinned, _, hashes = line.partition(" --hash")
            yield Requirement(pinned), f"--hash{hashes}" if hashes else ""


def versions(lock: str, python: str = PYTHONS[0]) -> dict[str, Version]:
    """The version of each package that one Python gets on Linux."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    return {
        canonicalize_name(entry.name): Version(str(entry.specifier).removeprefix("=="))
        for entry, _ in entries(lock)
        if entry.marker is None or entry.marker.evaluate(environment)
    }


def declared(lock: str) -> list[Requirement]:
    """What the project asks for of the packages in a lock file."""
    setup = configparser.ConfigParser()
    setup.read_string((PROJECT / "setup.cfg").read_text())
    build = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]
    runtime = setup["options"]["install_requires"].split("\n")
    dev = setup["options.extras_require"]["dev"].split("\n")
    lines = {"build": build, "runtime": runtime, "dev": [*build, *runtime, *dev]}[lock]
    return [Requirement(line) for line in lines if line]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_lock_satisfies_every_requirement(lock: str, python: str) -> None:
    locked = versions(lock, python)
    wanted = declared(lock)
    assert wanted
    missing = [
        str(requirement)
        for requirement in wanted
        if (version := locked.get(canonicalize_name(requirement.name))) is None or version not in requirement.specifier
    ]
    assert not missing, "run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_every_package_to_one_version_with_hashes(lock: str) -> None:
    listed = list(entries(lock))
    assert listed
    for requirement, hashes in listed:
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert requirement.url is None, requirement
        assert HASH.search(hashes), f"{requirement} has no hash"
        assert not HASH.sub("", hashes).strip(), f"{requirement}: {hashes}"


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_allows_wheels_only_and_names_no_registry(lock: str) -> None:
    text = (PROJECT / "requirements" / f"{lock}.txt").read_text()
    assert "\n--only-binary :all:\n" in text
    assert ADDRESS.findall(text) == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", ["build", "runtime"])
def test_dev_lock_holds_the_other_locks_in_the_same_versions(lock: str, python: str) -> None:
    assert versions(lock, python).items() <= versions("dev", python).items()


@pytest.mark.parametrize(("name", "version"), VULNERABLE.items())
def test_lower_bounds_exclude_vulnerable_releases(name: str, version: str) -> None:
    (requirement,) = (each for each in declared("runtime") if canonicalize_name(each.name) == name)
    assert not requirement.specifier.contains(version)


def test_waitress_stays_below_its_next_major_version() -> None:
    """Its internals are used."""
    (requirement,) = (each for each in declared("runtime") if each.name == "waitress")
    assert requirement.specifier.contains("3.99")
    assert not requirement.specifier.contains("4.0", prereleases=True)
    assert versions("runtime")["waitress"] < Version("4.0.dev0")
