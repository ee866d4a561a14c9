"""What a document may hold: markdown as blocks and spans of words, drawings as plain shapes.

Everything that comes from outside ends as text or is left out; nothing is passed on as markup.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from urllib.parse import urlsplit
from xml.etree import ElementTree

import mistune

from planner.display import clean

SVG_SPACE = "http://www.w3.org/2000/svg"
_TAGS = """svg g path text tspan rect line circle ellipse polygon polyline defs clipPath title desc
linearGradient radialGradient stop"""
_ATTRIBUTES = """class width height viewBox x y x1 y1 x2 y2 dx dy cx cy r rx ry d points transform
fill stroke opacity fill-opacity stroke-opacity stroke-width stroke-dasharray stroke-dashoffset
stroke-linecap stroke-linejoin stroke-miterlimit font-family font-size font-weight font-style
text-anchor dominant-baseline clip-path id offset stop-color stop-opacity display gradientUnits
fill-rule clip-rule"""
SVG_TAGS, SVG_ATTRIBUTES = set(_TAGS.split()), set(_ATTRIBUTES.split())


class DocumentError(ValueError):
    """The notebook cannot become a document; the message says which cell and what to do."""


@cache
def _parser():
    return mistune.create_markdown(renderer="ast", plugins=["table", "strikethrough"])


def markdown(source: str) -> list[dict]:
    """Blocks of a markdown text; HTML in it stays text.

    Examples
    --------
    >>> markdown("a *b* <i>")[0]["spans"][1]
    {'kind': 'emphasis', 'spans': [{'kind': 'text', 'text': 'b'}]}
    """
    return _blocks(_parser()(clean(source)))


def _blocks(tokens: Iterable[Mapping]) -> list[dict]:
    return [block for token in tokens for block in _block(token)]


def _block(token: Mapping) -> list[dict]:
    kind, children = token["type"], token.get("children", [])
    if kind == "heading":
        spans = _spans(children)
        level = token["attrs"]["level"]
        return [{"kind": "heading", "level": level, "spans": spans, "text": plain(spans)}]
    if kind in ("paragraph", "block_text"):
        return [{"kind": "paragraph", "spans": _spans(children)}]
    if kind == "list":
        items = [_blocks(item["children"]) for item in children]
        return [{"kind": "list", "ordered": bool(token["attrs"]["ordered"]), "items": items}]
    if kind == "block_quote":
        return [{"kind": "quote", "blocks": _blocks(children)}]
    if kind == "block_code":
        return [{"kind": "code", "text": token["raw"].rstrip("\n")}]
    if kind == "thematic_break":
        return [{"kind": "rule"}]
    if kind == "table":
        return [_markdown_table(token)]
    if kind == "blank_line":
        return []
    raw = token.get("raw", "").strip()
    return [{"kind": "paragraph", "spans": [{"kind": "text", "text": raw}]}] if raw else []


def _markdown_table(token: Mapping) -> dict:
    head, *body = token["children"]
    cells = [(plain(_spans(cell["children"])), cell["attrs"]) for cell in head["children"]]
    columns = [
        {"label": label, "unit": "", "align": "right" if attrs["align"] == "right" else "left"}
        for label, attrs in cells
    ]
    rows = [
        {
            "cells": [{"text": plain(_spans(c["children"])), "band": ""} for c in row["children"]],
            "emphasis": "",
        }
        for row in (body[0]["children"] if body else [])
    ]
    return {"kind": "table", "columns": columns, "rows": rows, "caption": "", "note": ""}


def _spans(tokens: Iterable[Mapping]) -> list[dict]:
    return [span for token in tokens for span in _span(token)]


def _span(token: Mapping) -> list[dict]:
    kind = token["type"]
    if kind in ("strong", "emphasis", "strikethrough"):
        return [{"kind": kind, "spans": _spans(token["children"])}]
    if kind == "codespan":
        return [{"kind": "code", "text": token["raw"]}]
    if kind in ("linebreak", "softbreak"):
        return [{"kind": "break"} if kind == "linebreak" else {"kind": "text", "text": " "}]
    if kind == "link":
        spans, address = _spans(token["children"]), token["attrs"]["url"]
        if urlsplit(address).scheme in ("http", "https", "mailto"):
            return [{"kind": "link", "url": address, "spans": spans}]
        return [*spans, {"kind": "text", "text": f" ({address})"}]
    if kind == "image":  # a document requests nothing: the words stay
        words = plain(_spans(token.get("children", [])))
        return [{"kind": "text", "text": f"![{words}]({token['attrs']['url']})"}]
    return [{"kind": "text", "text": token.get("raw", "")}]


def plain(spans: Iterable[Mapping]) -> str:
    """The words of spans without their markup."""
    return "".join(
        span.get("text", " " if span["kind"] == "break" else "") + plain(span.get("spans", []))
        for span in spans
    )


def safe_svg(source: str, where: str = "the figure") -> str:
    """The drawing with nothing but shapes and words: no script, no style, no link, no request."""
    try:
        root = ElementTree.fromstring(source)
    except ElementTree.ParseError as error:
        raise DocumentError(f"{where} holds an SVG that cannot be read: {error}") from None
    if root.tag != f"{{{SVG_SPACE}}}svg":
        raise DocumentError(f"{where} holds an SVG whose root is {root.tag}")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", root.get("width", "")):
        raise DocumentError(f"{where} holds an SVG without a width in pixels")
    _strip(root)
    ElementTree.register_namespace("", SVG_SPACE)
    return ElementTree.tostring(root, encoding="unicode")


def _strip(element: ElementTree.Element) -> None:
    for name, value in list(element.attrib.items()):
        outside = "url(" in value and not re.fullmatch(r"url\(['\"]?#[\w-]+['\"]?\)", value)
        if name not in SVG_ATTRIBUTES or outside:
            del element.attrib[name]
    for child in list(element):
        if child.tag.removeprefix(f"{{{SVG_SPACE}}}") in SVG_TAGS:
            _strip(child)
        else:
            element.remove(child)
