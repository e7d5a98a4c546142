"""Debian's Prometheus: promtool, and a private server that always ends with its test."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitoring.files import CONFIG, RULES, read_yaml
from support.fuse import clean_environment
from support.programs import demand
from support.wait import until

LISTENING = re.compile(r'msg="Listening on" address=(127\.0\.0\.1:\d+)')
READY = "Server is ready to receive web requests."
SCRAPE_INTERVAL = "1s"

Sample = tuple[dict[str, str], float]


def promtool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [demand("promtool", "prometheus"), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())


@dataclass
class Server:
    """A running Prometheus."""

    address: str
    process: "subprocess.Popen[bytes]"
    moment: float | None = None
    """when `ask` evaluates, in seconds since 1970; None is now"""

    def ask(self, expression: str) -> list[Sample]:
        """The labels and values of an expression at `moment`."""
        at = {} if self.moment is None else {"time": f"{self.moment:.3f}"}
        data = self._get("query", query=expression, **at)
        assert data["resultType"] == "vector", expression
        return [(found["metric"], float(found["value"][1])) for found in data["result"]]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str, **parameters: str) -> Any:
        # No proxy: the server is local.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with opener.open(url, timeout=10) as answer:
            result = json.load(answer)
        assert result["status"] == "success", result
        return result["data"]


@contextmanager
def prometheus(folder: Path, targets: list[str]) -> Iterator[Server]:
    """Prometheus with the project's rules and its example configuration, scraping `targets`."""
    program, config, log = demand("prometheus", "prometheus"), folder / "prometheus.yml", folder / "prometheus.log"
    config.write_text(yaml.safe_dump(_with_short_intervals(targets)), encoding="utf-8")
    options = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", "--web.listen-address=127.0.0.1:0"]
    with log.open("wb") as output:
        process = subprocess.Popen([program, *options], stdout=output, stderr=output, env=clean_environment())
    try:
        yield Server(until(lambda: _announced(process, log), what=f"for Prometheus; its log is {log}"), process)
    finally:
        process.kill()
        process.wait()


def _with_short_intervals(targets: list[str]) -> dict[str, Any]:
    """The example configuration with these targets and short intervals."""
    config: dict[str, Any] = read_yaml(CONFIG)
    assert config["rule_files"] == [RULES.name]
    (scraped,) = config["scrape_configs"]
    scraped["static_configs"] = [{"targets": targets}]
    hurry = {"scrape_interval": SCRAPE_INTERVAL, "scrape_timeout": SCRAPE_INTERVAL, "evaluation_interval": "1s"}
    return {**config, "global": hurry, "rule_files": [str(RULES)]}


def _announced(process: "subprocess.Popen[bytes]", log: Path) -> str:
    text = log.read_text(errors="replace")
    assert process.poll() is None, f"Prometheus did not start: {text}"
    found = LISTENING.search(text)
    return found[1] if found and READY in text else ""
