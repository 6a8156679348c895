"""The PGR table as a figure: what each generator's data recovered, by method and domain.

A panel is one method and one domain, or an average; a row of it is one generator: its PGR and the
95 % interval, on one scale for all panels, from 0 (the base) to 100 (the reference) and beyond.
With several seeds the mark is their mean, with the seeds as small rings.
docs/captions/pgr_figure.rst says what the marks mean.
"""

from agorabench.analysis.study import has_sound_pgr
from agorabench.errors import UserError
from agorabench.report import figures
from agorabench.stats.pgr import MEAN

# Inches: one generator's row, what a panel needs besides, and the narrowest legible panel.
ROW, PANEL, NARROWEST = 0.155, 0.1, 0.8
# Percent: a gap hardly above its noise makes any PGR; what lies further out is told in figures.
WIDEST = -100, 200
AVERAGE = "average"
RING = {"ms": 2.6, "mfc": "none", "mew": 0.5, "alpha": 0.8, "zorder": 2.5}
MUTED = {"color": figures.MUTED, "size": 7}


def select_views(views, student=None, prompt=None, size=None):
    """Those of the views that have this student, prompt and size. Raises UserError for none."""
    for name, value in (("student", student), ("prompt", prompt), ("size", size)):
        known = list(dict.fromkeys(getattr(view, name) for view in views))
        views = [view for view in views if value in (None, getattr(view, name))]
        if not views:
            known = ", ".join(map(str, known))
            raise UserError(f"no {name} {value!r} in the table; known: {known}")
    return views


def draw_views(views, width, titles=None):
    """Figure of views, `width` inches wide, as high as it must be. Call it in figures.style().

    `titles`: methods -> what they are called in full.
    """
    from matplotlib.figure import Figure

    blocks = [Block(view, width, titles or {}) for view in views]
    top = sum(block.height for block in blocks)
    figure = Figure(figsize=(width, top))
    for block in blocks:
        block.draw(figure, top)
        top -= block.height
    return figure


class Block:
    """A view on its place in the figure: bands of methods, below each other where width is short.

    Everything is placed in inches, so that type keeps its size at any width.
    """

    EDGE, TITLE, LINE, GAP = 0.06, 0.2, 0.13, 0.07

    def __init__(self, view, width, titles):
        self.view, self.width = view, width
        # An average over one thing would only repeat it.
        self.domains = [*view.domains, MEAN] if len(view.domains) > 1 else view.domains
        self.methods = [*view.methods, MEAN] if len(view.methods) > 1 else view.methods
        self.seed = MEAN if len(view.seeds) > 1 else view.seeds[0]
        self.main, self.single = self.list_marks()
        self.low, self.high = self.shared_limits()
        self.names = 0.3 + figures.text_width(view.generators)  # inches: domain, then generators
        room = width - self.names - 2 * self.EDGE
        across = max(1, min(len(self.methods), int(room // (NARROWEST + self.GAP))))
        # As even as can be: four methods are two and two, not three and one.
        across = -(-len(self.methods) // -(-len(self.methods) // across))
        self.bands = [self.methods[i : i + across] for i in range(0, len(self.methods), across)]
        words = max(figures.text_width([domain_word(domain)], bold=True) for domain in self.domains)
        rows = PANEL + ROW * len(view.generators)
        self.panel = room / across - self.GAP, max(rows, words + 0.04)
        self.headings = {name: domain_word(titles.get(name, name)) for name in self.methods}
        self.head = 0.08 + self.LINE
        if figures.text_width(self.headings.values(), bold=True) > self.panel[0]:
            self.headings = {key: name.replace(" ", "\n") for key, name in self.headings.items()}
            self.head += self.LINE
        self.foot = 0.5 if self.lines_named() else 0.37
        band = self.head + self.foot + len(self.domains) * (self.panel[1] + self.GAP)
        self.height = self.TITLE + len(self.bands) * band + self.EDGE

    def place_marks(self, generator, method, domain):
        """(row of the main mark or None, rows of single seeds) of one place."""
        at = (generator, method, domain)
        seeds = [self.view.cells.get((*at, seed)) for seed in self.view.seeds]
        return self.view.cells.get((*at, self.seed)), [row for row in seeds if row]

    def list_marks(self):
        """Main marks and single seeds of all places."""
        places = [
            self.place_marks(generator, method, domain)
            for generator in self.view.generators
            for method in self.methods
            for domain in self.domains
        ]
        single = [row for _, rows in places for row in rows if self.seed == MEAN]
        return [row for row, _ in places if row], single

    def shared_limits(self):
        """Range (low, high) of all panels' axes, percent."""
        # A ratio over a gap within noise can be anything: it must not set the scale.
        points = [row["pgr"] for row in [*self.main, *self.single] if has_sound_pgr(row)]
        ends = [row[end] for row in self.main for end in ("pgr_low", "pgr_high")]
        known = [end for end in ends if end is not None]
        return figures.axis_limits(points, known, (0, 100), WIDEST)

    def lines_named(self):
        """Is there room to name the lines at 0 and 100 below a panel?"""
        return 100 / (self.high - self.low) * self.panel[0] > 0.78

    def draw(self, figure, top):
        """Draw it into a figure, `top` inches above its lower edge."""
        width, total = figure.get_size_inches()
        left, y = self.EDGE / width, (top - self.EDGE) / total
        title = self.view.title(self.seed)
        figure.text(left, y, title, va="top", **MUTED)
        y = top - self.TITLE
        for band in self.bands:
            y -= self.head
            for i, domain in enumerate(self.domains):
                y -= self.panel[1]
                for j, method in enumerate(band):
                    x = self.names + j * (self.panel[0] + self.GAP)
                    box = (x / width, y / total, self.panel[0] / width, self.panel[1] / total)
                    axes = figure.add_axes(box)
                    self.draw_panel(axes, method, domain)
                    if i == 0:
                        axes.set_title(self.headings[method], pad=4, weight="bold")
                    self.label_panel(axes, names=j == 0, numbers=domain == self.domains[-1])
                beside = {"rotation": 90, "va": "center", "weight": "bold", "size": 7.5}
                middle = (y + self.panel[1] / 2) / total
                figure.text(left, middle, domain_word(domain), **beside)
                y -= self.GAP
            x = self.names + (len(band) * (self.panel[0] + self.GAP) - self.GAP) / 2
            foot, words = y + self.GAP + 0.18 - self.foot, "performance gap recovered, PGR (%)"
            figure.text(x / width, foot / total, words, ha="center", va="top", size=7.5)
            y -= self.foot

    def draw_panel(self, axes, method, domain):
        low, high = self.low, self.high
        axes.axvline(0, color=figures.INK, linewidth=0.8, zorder=1)
        axes.axvline(100, color=figures.INK, linewidth=0.8, dashes=(3, 2), zorder=1)
        if MEAN in (method, domain):
            axes.set_facecolor("#f6f6f6")
        for i, generator in enumerate(self.view.generators):
            colour, marker = figures.series_look(i)
            row, singles = self.place_marks(generator, method, domain)
            if self.seed == MEAN:
                points = [one["pgr"] for one in singles if one["pgr"] is not None]
                inside = [x for x in points if low <= x <= high]
                axes.plot(inside, [i + 0.32] * len(inside), "o", mec=colour, **RING)
            if row is None:
                continue
            if row["pgr"] is None:
                across = {"transform": axes.get_yaxis_transform(), "bbox": text_ground(axes)}
                axes.text(0.5, i, "n/a", ha="center", va="center", **MUTED, **across)
            elif not low <= row["pgr"] <= high:
                draw_arrow(axes, i, row["pgr"] > high, low, high, colour, row["pgr"])
            else:
                if row["pgr_low"] is not None:
                    draw_bar(axes, i, row["pgr_low"], row["pgr_high"], low, high, colour)
                face = "white" if row["flag"] else colour
                axes.plot(row["pgr"], i, marker, ms=4.2, mfc=face, mec=colour, mew=0.8, zorder=3)
        axes.set_xlim(low, high)
        axes.set_ylim(len(self.view.generators) - 0.5 + PANEL / ROW / 2, -0.5 - PANEL / ROW / 2)

    def label_panel(self, axes, names, numbers):
        low, high = self.low, self.high
        # A number at the edge of a panel would run into its neighbour's.
        edge = 0.08 * (high - low)
        inner = [x for x in figures.round_ticks(low, high) if low + edge < x < high - edge]
        positions = sorted({0, 100, *inner})
        axes.set_xticks(positions, [figures.format_tick(x) for x in positions])
        if numbers and self.lines_named():
            below = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
            for x, name, side, shift in ((0, "base", "left", -2), (100, "reference", "right", 2)):
                axes.annotate(name, (x, 0), (shift, -19), ha=side, color=figures.MUTED, **below)
        axes.set_yticks(range(len(self.view.generators)), self.view.generators)
        axes.tick_params(labelleft=names, labelbottom=numbers, bottom=numbers)


def domain_word(name):
    return AVERAGE if name == MEAN else name


def draw_bar(axes, y, start, stop, low, high, colour):
    axes.plot([max(start, low), min(stop, high)], [y, y], color=colour, linewidth=1.1, zorder=2)
    if start < low:
        draw_arrow(axes, y, False, low, high, colour)
    if stop > high:
        draw_arrow(axes, y, True, low, high, colour)


def draw_arrow(axes, y, right, low, high, colour, value=None):
    inside = 0.015 * (high - low)
    place, marker, side = (high - inside, ">", "right") if right else (low + inside, "<", "left")
    axes.plot(place, y, marker, color=colour, markersize=3.5, clip_on=False, zorder=4)
    if value is not None:
        axes.annotate(
            f"{value:.0f}".replace("-", "\u2212"),
            (place, y),
            (-4 if right else 4, 0),
            textcoords="offset points",
            ha=side,
            va="center_baseline",
            bbox=text_ground(axes),
        )


def text_ground(axes):
    """The look of a box that keeps what is behind a text from it."""
    return {"facecolor": axes.get_facecolor(), "edgecolor": "none", "pad": 0.6}
