"""Parses HTML into a tree of elements; fails on unbalanced tags."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def walk(self) -> Iterator["Element"]:
        """This element and all descendants."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str = "", **attributes: str) -> list["Element"]:
        """Descendants with a tag and attributes. In attribute names, `_` stands for `-`; a trailing `_` is dropped."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            element
            for element in self.walk()
            if tag in ("", element.tag) and wanted.items() <= element.attributes.items()
        ]

    def one(self, tag: str = "", **attributes: str) -> "Element":
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def raw(self) -> str:
        """The text content, unchanged."""
        return "".join(child if isinstance(child, str) else child.raw for child in self.children)

    @property
    def text(self) -> str:
        """The text content with white space collapsed."""
        return " ".join(self.raw.split())

    def rows(self) -> list[list[str]]:
        """The cell texts of every row in table bodies below this element."""
        rows = [row for body in self.all("tbody") for row in body.all("tr")]
        return [[cell.text for cell in row.walk() if cell.tag in ("td", "th")] for row in rows]

    def pairs(self) -> dict[str, str]:
        """The terms and values of definition lists."""
        names, values = self.all("dt"), self.all("dd")
        return {name.text: value.text for name, value in zip(names, values, strict=True)}

    def live(self, name: str) -> "Element":
        """The live region of this name."""
        return self.one(data_live=name)

    def section(self, name: str) -> "Element":
        """The section with the heading of this id."""
        (found,) = (section for section in self.all("section") if section.all("h2", id=name))
        return found

    def link(self, text: str) -> str | None:
        """The address of the link with this text, or None."""
        found = {link["href"] for link in self.all("a") if link.text == text}
        assert len(found) < 2, found
        return found.pop() if found else None

    def form(self, action: str) -> "Element | None":
        return next(iter(self.all("form", action=action)), None)

    def buttons(self) -> list[str]:
        """The labels of all buttons."""
        return [button.text for button in self.all("button") if "hidden" not in button.attributes]

    def skeleton(self) -> list[tuple[str, tuple[str, ...]]]:
        """The markup without texts and values."""
        return [(element.tag, tuple(element.attributes)) for element in self.walk()]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)

    def finish(self) -> Element:
        self.close()
        assert self._open == [self.root], f"<{self._open[-1].tag}> is left open"
        return self.root


def parse(text: str) -> Element:
    """Parses a page. Fails on unbalanced tags."""
    parser = _Parser()
    parser.feed(text)
    return parser.finish()


def check_tame(page: Element) -> None:
    """Checks that there is no inline script or style, and nothing from other sites."""
    assert page.one("html")["lang"] == "en"
    for script in page.all("script"):
        assert (script.raw, list(script.attributes)) == ("", ["src", "defer"])
    for element in page.walk():
        assert element.tag not in ("style", "iframe", "object", "embed", "base", "template")
        for name, value in element.attributes.items():
            assert name not in ("style", "srcdoc", "ping", "target"), element
            assert not name.startswith("on"), element
            if name in ("href", "src", "action", "formaction"):
                assert value.startswith(("/", "#")), element
                assert not value.startswith(("//", "/\\")), element
    ids = [element["id"] for element in page.walk() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for refresh in page.all("meta", http_equiv="refresh"):
        assert refresh["content"] == "0"
