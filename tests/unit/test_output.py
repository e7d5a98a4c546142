"""What commands print cannot manipulate a terminal, and JSON still means the same."""

import json
import unicodedata

import pytest

from ingestd.cli.output import print_facts, print_json, print_rows

HOSTILE = [
    "\x9b2J", "\u202egpj.exe", "\u2066x\u2069", "\u200f", "\x7f", "\x1b[31m", "\x00", "\x85", "\u2028", "\u00ad",
    "\ufeff", "\U000e0041", "\U000f0000", "a\nb\tc",
]  # fmt: skip
HARMLESS = 'größe 写真 📷 \\u0041 "quoted"'


def assert_harmless(text: str) -> None:
    assert not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")]


@pytest.mark.parametrize("text", HOSTILE)
def test_json_escapes_what_a_terminal_would_act_on(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = {"title": text, text: [{"deep": f"a{text}b"}]}
    print_json(value)
    printed = capsys.readouterr().out
    assert_harmless(printed)
    assert json.loads(printed) == value
    print_rows([value, value], [], as_json=True, empty="")
    printed = capsys.readouterr().out
    assert_harmless(printed)
    assert json.loads(printed) == [value, value]


@pytest.mark.parametrize("text", HOSTILE)
def test_tables_escape_it_too(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"title": text}], ["title"], as_json=False, empty="")
    print_facts({"title": text, "titles": [text]})
    assert_harmless(capsys.readouterr().out)


def test_other_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"title": HARMLESS})
    printed = capsys.readouterr().out
    assert "größe 写真 📷" in printed
    assert json.loads(printed) == {"title": HARMLESS}
