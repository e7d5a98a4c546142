"""Configuration, password and token files as editors and other systems write them: read, or refused in one sentence."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.cli.client import read_token
from ingestd.config import DatabaseSettings, load, read_secret
from ingestd.errors import ConfigError
from ingestd.web.security.tokens import Tokens

TOKEN = "a-token-of-some-length"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "the-file"


def priority(file: Path) -> int:
    return load(file).queue.priority


def password(file: Path) -> str:
    return DatabaseSettings(password_file=str(file)).password()


def known(file: Path) -> bool:
    return Tokens(str(file)).find(TOKEN.encode()) is not None


SPELLINGS = ["{}", "{}\n", "{}\r\n", "\ufeff{}", "\ufeff{}\n", "\ufeff{}\r\n", "{}\n\n", "{}\r\n\r\n", "{}\n\n\n"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_byte_order_marks_and_line_breaks_are_accepted(spelling: str, file: Path) -> None:
    def write(text: str) -> None:
        file.write_bytes(spelling.replace("{}", text).encode())

    write("s3cret ö")
    assert password(file) == "s3cret ö"
    write(TOKEN)
    assert read_token(file) == TOKEN
    write(f"olga:operator:{TOKEN}")
    assert known(file)
    write("[queue]\npriority = 7")
    assert priority(file) == 7
    write("[queue]\r\npriority = 7")
    assert priority(file) == 7


def test_empty_files(file: Path) -> None:
    for content in (b"", b"\xef\xbb\xbf", b"\n", b"\xef\xbb\xbf\r\n"):
        file.write_bytes(content)
        assert priority(file) == 100
        assert password(file) == ""
        assert not known(file)
        with pytest.raises(ConfigError, match=r"the-file has no token"):
            read_token(file)


def as_folder(file: Path) -> None:
    file.mkdir()


def as_pipe(file: Path) -> None:
    os.mkfifo(file)


def as_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def as_loop(file: Path) -> None:
    file.symlink_to(file)


def as_dangling_link(file: Path) -> None:
    file.symlink_to(file.with_name("nowhere"))


def as_utf_16(file: Path) -> None:
    file.write_bytes(f"olga:operator:{TOKEN}\n".encode("utf-16"))


def as_utf_16_without_mark(file: Path) -> None:
    file.write_bytes(TOKEN.encode("utf-16-le"))


def as_latin_1(file: Path) -> None:
    file.write_bytes("pässword = 1".encode("latin-1"))


def as_large_file(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(2**30)


UNREADABLE = [
    as_folder, as_pipe, as_device, as_loop, as_dangling_link, as_utf_16, as_utf_16_without_mark, as_latin_1,
    as_large_file,
]  # fmt: skip


@pytest.mark.parametrize("make", UNREADABLE)
@pytest.mark.parametrize("read", [load, password, lambda file: read_secret(str(file)), read_token])
def test_other_files_are_refused_in_one_sentence_with_their_name(
    make: Callable[[Path], None], read: Callable[[Path], object], file: Path
) -> None:
    make(file)
    with pytest.raises(ConfigError, match="the-file") as refused:
        read(file)
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize("make", UNREADABLE)
def test_such_a_tokens_file_lets_no_request_in(make: Callable[[Path], None], file: Path) -> None:
    make(file)
    assert not known(file)


@pytest.mark.parametrize("content", ["a\nb\n", "\na", "a\r\nb", "a\rb"])
def test_password_of_several_lines_is_refused_without_showing_it(content: str, file: Path) -> None:
    file.write_bytes(content.replace("a", "first").encode())
    with pytest.raises(ConfigError, match="the-file has several lines") as refused:
        password(file)
    assert "first" not in str(refused.value)


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "{b=" * 100_000, "a = " + "9" * 5000])
def test_absurd_toml_is_refused(text: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"the-file[^\0]*the file is not valid TOML"):
        load(file)


def test_name_with_a_nul_character_is_refused(file: Path) -> None:
    file.write_text('[database]\npassword_file = "a\\u0000b"')
    with pytest.raises(ConfigError, match="cannot read the secret file"):
        load(file).database.password()


@pytest.mark.parametrize("make", [as_folder, as_pipe, as_device, as_loop, as_dangling_link])
def test_default_file_is_never_silently_ignored(
    make: Callable[[Path], None], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestd.config.DEFAULT_FILE", file)
    assert load().queue.priority == 100
    make(file)
    with pytest.raises(ConfigError, match=r"the-file"):
        load()
