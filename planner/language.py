"""The language of what is shown: English as written in the code, or Simplified Chinese.

A text is looked up by its English template. One that has no translation is shown in English and
remembered, so that a test can list what a translator still has to do.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "zh")
LOCALES = Path(__file__).parent / "locales"
# One language at a time: a report has a process of its own.
_now = "en"
_missing: set[str] = set()
_CHINESE, _LATIN = "[\u3400-\u9fff]", "[A-Za-z0-9¥%]"
_NO_GAP = re.compile(rf"(?<={_CHINESE}) +(?={_CHINESE})")
_GAP = re.compile(
    rf"(?<={_CHINESE})(?<![年月日])(?={_LATIN})|(?<={_LATIN})(?=(?![年月日]){_CHINESE})"
)


def use(language: str) -> str:
    """
    Speak this language from now on.

    Parameters
    ----------
    language : str
        One of `LANGUAGES`.

    Returns
    -------
    before : str
        What was spoken until now.
    """
    global _now
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r} is unknown; use one of {', '.join(LANGUAGES)}")
    before, _now = _now, language
    return before


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak this language inside a ``with`` block."""
    before = use(language)
    try:
        yield
    finally:
        use(before)


def current() -> str:
    """The language that is spoken."""
    return _now


@cache
def translations(language: str) -> dict[str, str]:
    """
    Every translation into a language.

    Parameters
    ----------
    language : str
        One of `LANGUAGES`.

    Returns
    -------
    found : dict
        English template to translated template; empty for English.
    """
    if language == "en":
        return {}
    path = LOCALES / f"{language}.toml"
    sections = tomllib.loads(path.read_text(encoding="utf-8"))
    return {english: text for section in sections.values() for english, text in section.items()}


def say(template: str, **fields: object) -> str:
    """
    A text in the language that is spoken.

    Parameters
    ----------
    template : str
        English, with named fields as in `str.format`.
    fields
        Their values.

    Returns
    -------
    text : str

    Examples
    --------
    >>> say("month {first:.0f}", first=7.2)
    'month 7'
    >>> with speaking("zh"):
    ...     say("month {first:.0f}", first=7.2)
    '第 7 个月'
    """
    found = template
    if _now != "en":
        found = translations(_now).get(template)
        if found is None:
            _missing.add(template)
            found = template
    said = found.format(**fields) if fields else found
    return _spaced(said) if _now == "zh" else said


def _spaced(text):
    """One space between Chinese and Latin or figures, none in Chinese or in a date.

    >>> _spaced("购买2台 服务器，2026年11月"), _spaced("以 fp8格式")
    ('购买 2 台服务器，2026年11月', '以 fp8 格式')
    """
    return _GAP.sub(" ", _NO_GAP.sub("", text))


def label(text: str) -> str:
    """
    A whole text that reaches the page: translated, unless it is already or says nothing in words.

    Parameters
    ----------
    text : str
        English without fields, or the result of `say`.

    Returns
    -------
    text : str
    """
    translated = _now == "en" or is_chinese(text) or not any(map(str.isalpha, text))
    return text if translated else say(text)


def term(text: str) -> str:
    """
    A name or a unit: translated where a translation is known, else as it is.

    Parameters
    ----------
    text : str
        English.

    Returns
    -------
    text : str
    """
    return translations(_now).get(text, text)


def is_chinese(text: str) -> bool:
    """
    Whether a text has a Chinese character.

    Examples
    --------
    >>> is_chinese("三年"), is_chinese("years")
    (True, False)
    """
    return any("\u3400" <= character <= "\u9fff" for character in text)


def missing() -> set[str]:
    """Templates that were wanted in another language and had no translation, so far."""
    return set(_missing)
