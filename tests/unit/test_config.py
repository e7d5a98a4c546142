"""Settings: where they come from, which of them win, and that everything wrong is named at once."""

import os
import re
from pathlib import Path

import pytest

from ingestd import config
from ingestd.config import DatabaseSettings, Settings, load, read_secret
from ingestd.errors import ConfigError
from ingestd.model import Action

DOCUMENTED = {
    "mount": {
        "root": Path("/mnt/s3-sync/assets"), "require_mount": True, "watch": "auto", "poll_interval": 5.0,
        "rescan_interval": 60.0, "settle_seconds": 300.0, "max_future": 3600.0, "verify": "size",
        "max_manifest_bytes": 536_870_912, "max_document_bytes": 4_194_304, "max_item_documents": 1000,
        "max_item_document_bytes": 67_108_864, "max_items": 1_000_000, "readers": 32, "deadline": 30.0,
        "max_containers": 10_000, "max_envelope_bytes": 65_536, "max_entry_bytes": 262_144,
    },
    "database": {
        "unix_socket": "", "host": "127.0.0.1", "port": 3306, "user": "ingestd", "password_file": "",
        "name": "admin_panel", "ssl": "auto", "ssl_ca": "", "ssl_verify": True,
    },
    "migrate": {"user": "", "password_file": ""},
    "queue": {"auto": (), "priority": 100, "removal_limit": 1000, "revive_interval": 60.0,
              "retry_pauses": (60.0, 300.0, 1200.0, 3600.0, 10800.0)},
    "worker": {
        "threads": 4, "poll_interval": 1.0, "chunk_items": 500, "heartbeat_interval": 15.0, "stale_after": 900.0,
        "stop_seconds": 30.0,
    },
    "http": {
        "listen": "127.0.0.1:8640", "tokens_file": "", "allowed_hosts": ("127.0.0.1:8640", "localhost:8640"),
    },
    "metrics": {"listen": "127.0.0.1:9640", "allowed_hosts": (), "per_job": True},
    "log": {"level": "info", "format": "auto"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("INGESTD_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "default.toml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ingestd.toml"


def problems(file: Path | None = None) -> list[str]:
    """The lines that name what is wrong."""
    with pytest.raises(ConfigError) as caught:
        load(file)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_defaults_are_the_documented_ones() -> None:
    assert load().model_dump() == DOCUMENTED


def test_a_file_wins_over_defaults_and_leaves_the_others(file: Path) -> None:
    file.write_text('[queue]\nauto = ["create", "update"]\n[mount]\nroot = "/media"\n')
    settings = load(file)
    assert settings.queue.auto == (Action.CREATE, Action.UPDATE)
    assert settings.mount.root == Path("/media")
    assert (settings.queue.priority, settings.mount.verify) == (100, "size")


def test_the_default_file_is_read_if_it_is_there() -> None:
    config.DEFAULT_FILE.write_text("[queue]\npriority = 7\n")
    assert load().queue.priority == 7


def test_a_named_file_replaces_the_default_file(file: Path) -> None:
    config.DEFAULT_FILE.write_text("[queue]\npriority = 7\nremoval_limit = 7\n")
    file.write_text("[queue]\npriority = 8\n")
    assert (load(file).queue.priority, load(file).queue.removal_limit) == (8, 1000)


def test_environment_wins_over_the_file_and_options_over_both(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[queue]\npriority = 1\nremoval_limit = 1\nrevive_interval = 1\n")
    monkeypatch.setenv("INGESTD_QUEUE__PRIORITY", "2")
    monkeypatch.setenv("INGESTD_QUEUE__REMOVAL_LIMIT", "2")
    queue = load(file, {"queue": {"priority": 3}}).queue
    assert (queue.priority, queue.removal_limit, queue.revive_interval) == (3, 2, 1.0)


def test_one_load_does_not_change_the_next(file: Path) -> None:
    file.write_text("[queue]\npriority = 1\n")
    assert load(file).queue.priority == 1
    assert load().queue.priority == 100


@pytest.mark.parametrize("name", ["INGESTD_QUEUE__PRIORITY", "ingestd_queue__priority"])
def test_variables_in_any_case(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "-5")
    assert load().queue.priority == -5


@pytest.mark.parametrize(
    ("text", "actions"),
    [("[]", ()), ('["create"]', (Action.CREATE,)), ('["update", "remove"]', (Action.UPDATE, Action.REMOVE))],
)
def test_lists_from_the_environment(text: str, actions: tuple[Action, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_QUEUE__AUTO", text)
    monkeypatch.setenv("INGESTD_HTTP__ALLOWED_HOSTS", '["a:1", "b:2"]')
    settings = load()
    assert settings.queue.auto == actions
    assert settings.http.allowed_hosts == ("a:1", "b:2")


@pytest.mark.parametrize("text", ["create", "create,update", "", '["create"', "7", '{"create": 1}'])
def test_an_invalid_list_is_reported_with_all_other_errors(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_QUEUE__AUTO", text)
    monkeypatch.setenv("INGESTD_WORKER__THREADS", "many")
    listed, threads = problems()
    assert listed.startswith('queue.auto: a list is needed, as in ["create", "update"]')
    assert threads.startswith("worker.threads: ")
    assert "'many'" in threads


def test_an_unknown_action_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_QUEUE__AUTO", '["create", "destroy"]')
    (problem,) = problems()
    assert problem.startswith("queue.auto.1: ")
    assert problem.endswith("(got 'destroy')")


def test_all_errors_are_reported_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(
        'surprise = 1\n[mount]\nrooot = "/x"\nverify = "md5"\n[http]\nlisten = "8640"\n[worker]\nthreads = 0\n'
    )
    monkeypatch.setenv("INGESTD_DATABASE__PORT", "70000")
    monkeypatch.setenv("INGESTD_MUONT__ROOT", "/x")
    assert {problem.partition(":")[0] for problem in problems(file)} == {
        "surprise", "mount.rooot", "mount.verify", "http.listen", "worker.threads", "database.port",
        "INGESTD_MUONT__ROOT",
    }  # fmt: skip
    with pytest.raises(ConfigError, match=re.escape(str(file))) as caught:
        load(file)
    assert caught.value.exit_status == 78


@pytest.mark.parametrize("name", ["INGESTD_MOUNT", "INGESTD_MOUNT__", "INGESTD_MOUNT__ROOTS", "INGESTD_X", "INGESTD_"])
def test_unknown_variables_are_errors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "{}")
    assert f"{name}: no such setting" in problems()


def test_an_unknown_key_does_not_show_its_value(file: Path) -> None:
    file.write_text('[database]\npassword = "hunter2"\n')
    assert problems(file) == ["database.password: no such setting"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mount.poll_interval", "0"),
        ("mount.poll_interval", "-1"),
        ("mount.settle_seconds", "inf"),
        ("mount.max_future", "1e12"),
        ("mount.rescan_interval", "9e9"),
        ("worker.stale_after", "nan"),
        ("worker.chunk_items", "10001"),
        ("queue.removal_limit", "-1"),
        ("queue.removal_limit", "4294967296"),
        ("queue.priority", "2147483648"),
        ("mount.require_mount", "perhaps"),
        ("mount.watch", "fanotify"),
        ("database.name", "a`b"),
        ("database.name", ""),
        ("log.level", "loud"),
        ("log.format", "xml"),
    ],
)
def test_values_out_of_range_are_named(key: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"INGESTD_{key.replace('.', '__')}".upper(), value)
    (problem,) = problems()
    assert problem.startswith(f"{key}: ")
    assert problem.endswith(f"(got '{value}')")


@pytest.mark.parametrize("key", ["http.listen", "metrics.listen"])
@pytest.mark.parametrize("address", ["", "127.0.0.1:0", "127.0.0.1:65535", "[::1]:8640", "localhost:1"])
def test_addresses_to_listen_on(key: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    section, name = key.split(".")
    monkeypatch.setenv(f"INGESTD_{section}__{name}".upper(), address)
    assert getattr(getattr(load(), section), name) == address


@pytest.mark.parametrize("address", [":8640", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "h:-1", "h:1\n", "h:²"])
def test_invalid_listen_addresses(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_HTTP__LISTEN", address)
    (problem,) = problems()
    assert problem.startswith("http.listen: an address and a port are needed")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        load(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="is not a file"):
        load(tmp_path)


def test_a_syntax_error_is_reported_with_its_position(file: Path) -> None:
    file.write_text('[mount]\nroot = "/x\n')
    (problem,) = problems(file)
    assert problem.startswith("the file is not valid TOML: ")
    assert "line 2" in problem


def test_a_broken_file_hides_no_wrong_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(b"\xff\xfe")
    monkeypatch.setenv("INGESTD_MUONT__ROOT", "/x")
    assert [problem.partition(":")[0] for problem in problems(file)] == [
        "the file is not valid TOML",
        "INGESTD_MUONT__ROOT",
    ]


def test_a_file_that_may_not_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    file.write_text("")
    with monkeypatch.context() as patch:
        patch.setattr("ingestd.text_file.os.open", refused)
        assert problems(file) == ["the file cannot be read: Permission denied"]
    # The folder of the default file: an unreadable file must not silently mean defaults.
    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(ConfigError, match=r"default\.toml cannot be read: Permission denied"):
        load()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().queue.priority = 1  # type: ignore[misc]
    assert isinstance(load(), Settings)


def test_no_secret_file_means_no_secret() -> None:
    assert read_secret("") == ""
    assert DatabaseSettings().password() == ""


@pytest.mark.parametrize(
    ("content", "secret"), [("s3cret\n", "s3cret"), ("s3cret", "s3cret"), (" a \n\n", " a "), ("", "")]
)
def test_a_secret_is_a_file_without_the_line_breaks_at_its_end(content: str, secret: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(content)
    assert DatabaseSettings(password_file=str(file)).password() == secret


def test_relative_names_are_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("from systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret("password") == "from systemd"
    (tmp_path / "elsewhere").mkdir()
    absolute = tmp_path / "elsewhere" / "password"
    absolute.write_text("from a file")
    assert read_secret(str(absolute)) == "from a file"


def test_secrets_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the secret file .*nowhere: No such file"):
        read_secret(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="cannot read"):
        read_secret(str(tmp_path))
    (tmp_path / "noise").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not valid UTF-8"):
        read_secret(str(tmp_path / "noise"))
