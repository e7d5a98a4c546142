"""Escapes text from outside for those who read lines: terminals and logs. Pure."""


def escaped(text: str) -> str:
    """Escapes control characters, line breaks of every kind, and characters that reverse the writing direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
