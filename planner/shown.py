"""Something that a cell shows, and the words that may stand in it."""

import re
import unicodedata
from collections.abc import Mapping

# Characters that reverse the reading order of what follows could make a figure read backwards.
_REORDERING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Shown:
    """An object that Jupyter shows in several mime types; `data` maps mime type to content."""

    def __init__(self, data: Mapping[str, object], plain: str):
        self.data = dict(data)
        self.plain = plain

    def __repr__(self) -> str:
        return self.plain

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.plain, **self.data}


def clean(value: object) -> str:
    """Text without control characters, lone surrogates and reordering marks.

    Examples
    --------
    >>> clean("a\\x00b\\u202ec")
    'abc'
    """
    characters = unicodedata.normalize("NFC", _REORDERING.sub("", str(value)))
    if characters.isprintable():  # nearly always, and much quicker to tell
        return characters
    return "".join(
        character
        for character in characters
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs", "Cn")
    )


def escape(value: object) -> str:
    """Text from outside (a team's name, a file's path) so that markdown prints it as it is.

    Examples
    --------
    >>> escape("*team* #1 <b>")
    '\\\\*team\\\\* \\\\#1 \\\\<b\\\\>'
    """
    flat = re.sub(r"\s+", " ", clean(value)).strip()
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$&:])", r"\\\1", flat)
