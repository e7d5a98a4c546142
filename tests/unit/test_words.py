"""Plain words: the project's text avoids expressions and names that a newcomer would have to look up."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = ("daemon", "docs", "tests", "sql", "contrib", "benchmarks")
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile")
SUFFIXES = {".py", ".md", ".sql", ".html", ".js", ".css", ".yml", ".json", ".toml", ".sh", ".service", ""}

PROSE = [
    "whoever", "whoso", "nobody", "anew", "lest", "thereby", "doomed", "ill-treated", "for ever", "all the same",
    "tell", "tells", "told", "telling", "mend", "mends", "mended", "mending", "say so", "says so", "said so",
    "became of", "becomes of", "in hand(?!-)", "under way", "comes? to rest", "came to rest", "from under the hand",
    "it is for others", "whatever came", "looks? on", "looked on", "as it is now", "no [a-z]+ may",
    "(is|are) no (?!longer|more|less)[a-z]+", "(is|are) (?-i:none)",
]  # fmt: skip
FORMER_NAMES = [
    "claimers?", "tellers?", "sweep new", "judge[ds]?", "judging", "gather", "survey", "one ahead", "may go on",
    "landed", "patient", "deaths", "unhappy", "careful", "spared seconds", "drafts?", "wish(es)?", "frail",
    "crowds?", "desks?", "fronts?",
]  # fmt: skip
INNOCENT = ["t?here (is|are) (?-i:none)", "t?here (is|are) no", "in front"]
AVOIDED = re.compile(
    rf"(?<![a-z0-9])(?:(?P<innocent>{'|'.join(INNOCENT)})|{'|'.join(PROSE + FORMER_NAMES)})(?![a-z0-9])".replace(
        " ", " +"
    ),
    re.IGNORECASE,
)
FORMER_IDENTIFIERS = re.compile(
    r"\bHeart\b|\bFacts\b|\bReaders\b(?! )|\bPiece\b|\b(?:Told|Asked|Refused)\b(?=[(\[:,)])"
    r"|\b(?:MOST|LEAST)_[A-Z]|[A-Z]_MOST\b|\bLONGEST|\bpages[./](?:signing|selected|shown|frame)\b"
)
# Names are split into words, and a sentence may go on in the next line of a comment.
SPACES = str.maketrans("_\n#", "   ")


def files() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (path for path in sorted((PROJECT / folder).rglob("*")) if path.suffix in SUFFIXES)
    yield from (PROJECT / name for name in DOCUMENTS)


def hits(text: str) -> list[tuple[int, str]]:
    """Line number and text of each avoided expression, in order."""
    words = (match for match in AVOIDED.finditer(text.translate(SPACES)) if not match["innocent"])
    found = [*words, *FORMER_IDENTIFIERS.finditer(text)]
    return sorted((text.count("\n", 0, match.start()) + 1, " ".join(match[0].split())) for match in found)


def test_no_avoided_word_is_used() -> None:
    found = []
    for path in files():
        name = str(path.relative_to(PROJECT))
        if path.is_file() and path != Path(__file__).resolve():
            found += [f"{name}:{line}: {words}" for line, words in hits(path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(["avoided words; rewrite these sentences plainly:", *found])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nobody may do it", ["nobody"]),
        ("def test_nobody_waits() -> None:", ["nobody"]),
        ("no item may fail", ["no item may"]),
        ("the path is no file", ["is no file"]),
        ("# what is in\n# hand", ["in hand"]),
        ("MOST_ROWS = 1", ["MOST_R"]),
        ("class Heart:", ["Heart"]),
        ("there is no file, there are none, it is no longer there", []),
        ("the hand-over in hand-over.md, a heartbeat, recommend, intellect, in front of", []),
    ],
)
def test_the_patterns_hit_words_and_spare_innocent_ones(text: str, expected: list[str]) -> None:
    assert [words for _, words in hits(text)] == expected
