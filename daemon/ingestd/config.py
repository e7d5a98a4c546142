"""Settings: defaults < TOML file < INGESTD_<SECTION>__<KEY> < options. Parsed once; all errors together."""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ingestd.errors import ConfigError
from ingestd.model import Action, Patience
from ingestd.text_file import read_text

DEFAULT_FILE = Path("/etc/ingestd/ingestd.toml")
OTHERS_OR_GROUP_WRITE = stat.S_IRWXO | stat.S_IWGRP


def _listen_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value and not (host and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise ValueError('an address and a port are needed, as in "127.0.0.1:8640", or "" for none')
    return value


def _list(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(value)
    raise ValueError('a list is needed, as in ["create", "update"]')


Seconds = Annotated[float, Field(gt=0, le=3.2e9, allow_inf_nan=False)]
"""A duration of up to a century: clocks and dates can still be added to it."""
Listen = Annotated[str, AfterValidator(_listen_address)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MountSettings(Section):
    root: Path = Path("/mnt/s3-sync/assets")
    require_mount: bool = True
    watch: Literal["auto", "inotify", "poll"] = "auto"
    poll_interval: Seconds = 5.0
    rescan_interval: Seconds = 60.0
    settle_seconds: Seconds = 300.0
    max_future: Seconds = 3600.0
    verify: Literal["none", "size", "sha256"] = "size"
    max_manifest_bytes: int = Field(512 * 2**20, gt=0)
    max_document_bytes: int = Field(4 * 2**20, gt=0)
    max_item_documents: int = Field(1000, gt=0)
    max_item_document_bytes: int = Field(64 * 2**20, gt=0)
    max_items: int = Field(1_000_000, gt=0)
    max_containers: int = Field(10_000, gt=0)
    max_envelope_bytes: int = Field(2**16, ge=2**12, le=2**20)
    max_entry_bytes: int = Field(2**18, ge=2**12, le=2**22)
    readers: int = Field(32, ge=1, le=128)
    deadline: Seconds = 30.0


class DatabaseSettings(Section):
    unix_socket: str = ""
    host: str = "127.0.0.1"
    port: int = Field(3306, ge=1, le=65535)
    user: str = "ingestd"
    password_file: str = ""
    name: str = Field("admin_panel", pattern=r"^[A-Za-z0-9_]{1,64}$")
    ssl: Literal["auto", "required", "off"] = "auto"
    ssl_ca: str = ""
    ssl_verify: bool = True

    def password(self) -> str:
        return read_password(self.password_file)


class MigrateSettings(Section):
    user: str = ""
    password_file: str = ""


class QueueSettings(Section):
    auto: Annotated[tuple[Action, ...], BeforeValidator(_list)] = ()
    priority: int = Field(100, ge=-(2**31), lt=2**31)
    removal_limit: int = Field(1000, ge=0, lt=2**32)
    revive_interval: Seconds = 60.0
    retry_pauses: Annotated[tuple[Seconds, ...], BeforeValidator(_list)] = (60.0, 300.0, 1200.0, 3600.0, 10800.0)


class WorkerSettings(Section):
    threads: int = Field(4, ge=1, le=256)
    poll_interval: Seconds = 1.0
    chunk_items: int = Field(500, ge=1, le=10_000)
    heartbeat_interval: Seconds = 15.0
    stale_after: Seconds = 900.0
    stop_seconds: Seconds = 30.0

    @property
    def heartbeat_seconds(self) -> float:
        """`heartbeat_interval`, or less where a live worker would otherwise be stale between two heartbeats."""
        return min(self.heartbeat_interval, self.stale_after / 4)

    @property
    def patience(self) -> Patience:
        return Patience(self.heartbeat_seconds, self.stale_after)


class HttpSettings(Section):
    listen: Listen = "127.0.0.1:8640"
    tokens_file: str = ""
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_list)] = ("127.0.0.1:8640", "localhost:8640")


class MetricsSettings(Section):
    listen: Listen = "127.0.0.1:9640"
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_list)] = ()
    per_job: bool = True


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class _Environment(EnvSettingsSource):
    """The environment; invalid JSON in a list stays text, so that validation reports it with other errors."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class _TomlFile(TomlConfigSettingsSource):
    """The configuration file, which an editor may have saved with a byte order mark."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        try:
            return tomllib.loads(read_text(file_path))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None


class Settings(BaseSettings):
    """All settings; durations are seconds."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="INGESTD_", env_nested_delimiter="__", case_sensitive=False
    )

    mount: MountSettings = MountSettings()
    database: DatabaseSettings = DatabaseSettings()
    migrate: MigrateSettings = MigrateSettings()
    queue: QueueSettings = QueueSettings()
    worker: WorkerSettings = WorkerSettings()
    http: HttpSettings = HttpSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = cls.model_config.get("toml_file")
        toml = _TomlFile(settings_cls, file if isinstance(file, Path) else None)
        return (init_settings, _Environment(settings_cls), toml)


def load(file: Path | None = None, options: Mapping[str, Any] | None = None) -> Settings:
    """Settings from `file` (or the default file, if there is one), the environment and `options`.

    Raises ConfigError naming every wrong key at once.
    """
    chosen = _chosen(file)

    class Loaded(Settings):
        model_config = SettingsConfigDict(toml_file=chosen)

    problems = []
    try:
        settings = Loaded(**(options or {}))
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors()]
    except ValueError as error:
        problems = [f"the file is not valid TOML: {error}"]
    except OSError as error:
        problems = [f"the file cannot be read: {error.strerror}"]
    problems += unknown_environment(os.environ)
    if problems:
        raise ConfigError(_sentence(problems, chosen))
    return settings


def _chosen(file: Path | None) -> Path | None:
    """The file to read, if any. A file that was named must exist; the default file is optional, but never ignored."""
    path = file or DEFAULT_FILE
    try:
        found = path.is_file()
    except OSError as error:
        raise ConfigError(f"configuration file {path} cannot be read: {error.strerror}") from error
    if not found and (file is not None or os.path.lexists(path)):
        raise ConfigError(f"configuration file {path} does not exist or is not a file")
    return path if found else None


def unknown_environment(environment: Mapping[str, str]) -> list[str]:
    """One problem for each INGESTD_… variable that names no setting: a typo there would be silent otherwise."""
    known = {
        f"INGESTD_{section}__{key}".upper()
        for section, info in Settings.model_fields.items()
        for key in info.annotation.model_fields  # type: ignore[union-attr]
    }
    names = sorted(name for name in environment if name.upper().startswith("INGESTD_"))
    return [f"{name}: no such setting" for name in names if name.upper() not in known]


def _problem(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{key}: no such setting"
    return f"{key}: {error['msg'].removeprefix('Value error, ')} (got {error['input']!r})"


def _sentence(problems: list[str], file: Path | None) -> str:
    where = f"in {file} or the environment" if file else "in the environment or options"
    return f"the configuration is wrong ({where}):\n" + "\n".join(f"  {problem}" for problem in problems)


def read_secret(file: str) -> str:
    """The content of a secret file, without the line breaks at its end; relative names are systemd credentials.

    An empty name means no secret.
    """
    if not file:
        return ""
    path = secret_path(file)
    try:
        return read_text(path).rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"cannot read the secret file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"cannot read the secret file {path}: {error}") from error


def read_password(file: str) -> str:
    """The password in a secret file of one line."""
    password = read_secret(file)
    if "\n" in password or "\r" in password:
        raise ConfigError(f"the secret file {secret_path(file)} has several lines; a password is the only line")
    return password


def secret_path(file: str) -> Path:
    """Where a secret file is; relative names are systemd credentials."""
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", ".")) / file


def exposed_secrets(settings: Settings) -> Iterator[Path]:
    """The secret files that users other than their owner and group can read or replace."""
    for file in (settings.database.password_file, settings.migrate.password_file, settings.http.tokens_file):
        try:
            is_exposed = bool(file) and secret_path(file).stat().st_mode & OTHERS_OR_GROUP_WRITE
        except (OSError, ValueError):
            continue
        if is_exposed:
            yield secret_path(file)
