"""Tables in Markdown, readable as plain text too."""


def table(head, lines, sides=None):
    """A Markdown table whose columns are aligned as plain text too ("l" or "r" for each)."""
    sides = sides or "l" * len(head)
    lines = [[str(cell) for cell in line] for line in [head, *lines]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * (width - 1) for width in widths]
    lines.insert(1, [dashes + "-:"[side == "r"] for dashes, side in zip(rule, sides, strict=True)])
    pads = [str.rjust if side == "r" else str.ljust for side in sides]
    return "".join(
        f"| {' | '.join(pad(*cell) for pad, *cell in zip(pads, line, widths, strict=True))} |\n"
        for line in lines
    )
