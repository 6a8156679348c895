"""From a generator's reply to a pair of instruction and response.

A parser demands its markers: each at the start of a line, once, in order, with nothing but white
space before the first. Text is cut at the first `[END]`, which is also the stop string, so a reply
may end without it. Whether the token limit cut it off is for the caller to see, in its finish
reason.
"""

import re

END = "[END]"
MARKERS = {
    "instance": ("INPUT:", "OUTPUT:"),
    "response": (),
    "enhancement": ("Revised Question:", "Revised Answer:"),
}


class Malformed(ValueError):
    """A reply that is no pair; its text is a short, stable reason, fit to be counted."""


def parse(method, text):
    """Read one reply of `method` (instance, response or enhancement).

    Returns:
        (instruction, response), both stripped and not empty; instruction is None for method
        response, where it is the seed's own.

    Raises:
        Malformed: "no INPUT marker", "OUTPUT marker twice", "markers out of order",
            "text before INPUT", "empty instruction", "empty response" and the like.
    """
    text = text.split(END, 1)[0]
    markers = MARKERS[method]
    if not markers:
        return None, _filled("response", text)
    (start, opened), (end, closed) = (_find(marker, text) for marker in markers)
    if end < start:
        raise Malformed("markers out of order")
    if text[:start].strip():
        raise Malformed(f"text before {markers[0].rstrip(':')}")
    return _filled("instruction", text[opened:end]), _filled("response", text[closed:])


def _find(marker, text):
    found = list(re.finditer(rf"^[ \t]*{re.escape(marker)}", text, re.MULTILINE))
    if len(found) != 1:
        name = marker.rstrip(":")
        raise Malformed(f"{name} marker twice" if found else f"no {name} marker")
    return found[0].span()


def _filled(part, text):
    text = text.strip()
    if not text:
        raise Malformed(f"empty {part}")
    return text
