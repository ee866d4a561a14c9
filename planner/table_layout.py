"""How wide the columns of a printed table are, and how large its letters."""

import re
import string
from collections.abc import Mapping

# Widest line of a table in characters by font size [pt], on an upright page and on its side.
BAND = 0.85  # size of a range under its figure, against the figure
UPRIGHT = {8: 119, 7.5: 127, 7: 136}
WIDE = "\u2e80-\u9fff\uff00-\uffef"  # Chinese characters and signs
BROAD = str.maketrans("", "", string.ascii_uppercase + "mw%@")  # leaves all other signs
WORDS = re.compile(f"[{WIDE}]+|[^\\s{WIDE}]+")
GAP = 2.8  # room between columns [character]
SIDEWAYS = {8.5: 160, 8: 171, 7.5: 182, 7: 195, 6: 228, 5: 273}


def layout(block: Mapping) -> dict:
    """Font size, page direction and relative widths with which a table stays on its page."""
    columns = []
    for position, head in enumerate(block["columns"]):
        cells = [row["cells"][position] for row in block["rows"]]
        lines = {line for cell in cells for line in cell["text"].split("\n")}
        words = {word for line in lines for word in _pieces(line, head["align"])}
        labels = [*_words(head["label"]), head["unit"] and f"[{head['unit']}]"]
        bands = [BAND * _length(band) for band in {cell["band"] for cell in cells}]
        least = max([*map(_length, [*words, *labels, ""]), *bands])
        wanted = [*map(_length, lines), min(_length(head["label"]), 18)]
        columns.append((least, max(least, *wanted)))
    needed = sum(least for least, _ in columns) + GAP * len(columns)
    sizes = [(size, room, False) for size, room in UPRIGHT.items()]
    sizes += [(size, room, True) for size, room in SIDEWAYS.items()]
    size, room, sideways = next((choice for choice in sizes if choice[1] >= needed), sizes[-1])
    widths = [least + GAP for least, _ in columns]
    slack = max(0.0, room - needed)
    # What is left goes where most is wanted; what nobody wants, mostly to words.
    wants = [most - least for least, most in columns]
    share = min(1.0, slack / sum(wants)) if sum(wants) else 0.0
    widths = [width + share * want for width, want in zip(widths, wants, strict=True)]
    slack -= share * sum(wants)
    weights = [4 if head["align"] == "left" else 1 for head in block["columns"]]
    widths = [w + slack * weight / sum(weights) for w, weight in zip(widths, weights, strict=True)]
    return {"size": size, "sideways": sideways, "widths": widths}


def is_wide(sign: str) -> bool:
    """Chinese characters and signs, which are as wide as two others and break between any two."""
    return "\u2e80" <= sign <= "\u9fff" or "\uff00" <= sign <= "\uffef"


def in_chinese_font(sign: str) -> bool:
    """The font in planner/fonts holds the characters of GB 2312 and the signs around them."""
    try:
        sign.encode("gb2312")
    except UnicodeEncodeError:
        return "\u3000" <= sign <= "\u303f" or "\uff00" <= sign <= "\uffef"
    return True


def _length(text: str) -> float:
    """Width in average characters; capitals, wide letters and Chinese take more.

    >>> _length("Max 5 %"), _length("Máx 5 %")
    (7.8, 7.8)
    """
    if text.isascii():  # nearly all are, and this is quick
        return len(text) + 0.3 * (len(text) - len(text.translate(BROAD))) + 0.2
    wide = 0.95 * sum(map(is_wide, text))
    return len(text) + wide + 0.3 * sum(sign.isupper() or sign in "mw%@" for sign in text) + 0.2


def _words(line: str) -> list[str]:
    """The words of a line; Chinese of up to four signs is one, longer Chinese breaks anywhere."""
    if line.isascii():
        return line.split()
    return [word[:4] if is_wide(word[0]) else word for word in WORDS.findall(line)]


def _pieces(line: str, align: str) -> list[str]:
    """The parts of a line that may not be broken; the template breaks longer ones anywhere."""
    if align == "right":
        return [line[:24]]
    words = _words(line)
    pieces = [word for word in words if len(word) <= 14]
    for word in words:
        if len(word) > 14:
            pieces += [piece[:16] for piece in re.split(r"(?<=[/_\-.:@,])", word)]
    return pieces
