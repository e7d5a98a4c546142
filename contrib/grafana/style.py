"""Colours by meaning: one word has the same colour on every panel."""

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

GREEN, RED, DARK_RED, ORANGE, YELLOW = "green", "red", "dark-red", "orange", "yellow"
BLUE, LIGHT_BLUE, PURPLE, GREY = "blue", "light-blue", "purple", "#8e8e8e"

COLOURS: dict[str, dict[str, str]] = {
    "decision": {
        "created": GREEN, "updated": BLUE, "linked": PURPLE, "removed": ORANGE, "skipped": GREY, "deferred": YELLOW,
        "failed": RED,
    },
    "state": {"waiting": GREY, "queued": YELLOW, "running": BLUE, "idle": GREY, "busy": BLUE},
    "status": {
        "new": LIGHT_BLUE, "ready": GREEN, "held": PURPLE, "queued": YELLOW, "importing": BLUE, "invalid": DARK_RED,
        "partial": ORANGE, "failed": RED,
    },
    "outcome": {"done": GREEN, "failed": RED, "released": YELLOW, "lost": ORANGE},
    "result": {"ok": GREEN, "error": RED, "failed": RED},
    "source": {"inotify": GREEN, "poll": BLUE, "scan": YELLOW},
    "kind": {"deadlock": PURPLE, "lock_wait": YELLOW, "timeout": ORANGE, "connection": RED, "other": GREY},
    "quantile": {"p50": LIGHT_BLUE, "p95": BLUE, "p99": PURPLE},
}  # fmt: skip
"""Colours of label values; used by every panel whose legend is such a label."""

Steps = tuple[tuple[float | None, str], ...]
NONE_IS_GOOD: Steps = ((None, GREEN), (1, RED))
FEW_IS_GOOD: Steps = ((None, GREEN), (1, YELLOW))
NEUTRAL: Steps = ((None, BLUE),)


def thresholds(steps: Steps) -> build.ThresholdsConfig:
    """A colour from each value upwards; the first starts at minus infinity."""
    made = [model.Threshold(value=value, color=colour) for value, colour in steps]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def words(**meanings: tuple[float, str]) -> list[model.ValueMapping]:
    """A word and a colour for each number that represents a state."""
    options = {
        f"{number:g}": model.ValueMappingResult(text=word.replace("_", " "), color=colour, index=index)
        for index, (word, (number, colour)) in enumerate(meanings.items())
    }
    return [model.ValueMap(options=options)]


def fixed(colour: str) -> model.DynamicConfigValue:
    return model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
