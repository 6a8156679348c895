"""One way to show how far long work is: what is done of what, rate and time left.

On a terminal a single line is redrawn; elsewhere (logs, pipes) a readable line is written now and
then, so that a log of a week-long job stays short.
"""

import sys
import time
from contextlib import suppress

LINE_EVERY = 15.0  # seconds between lines in a log
REDRAW_EVERY = 0.2  # seconds between redraws on a terminal


class Progress:
    """A counter that reports on stderr; use as a context manager and call `advance`."""

    def __init__(self, label, total=None, unit="it", done=0, stream=None):
        self.label, self.total, self.unit = label, total, unit
        self.done = self.resumed = done
        self.stream = stream or sys.stderr
        self.tty = self.stream.isatty()
        self.start = self.shown = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._show(last=True)
        elif self.tty:
            _write(self.stream, "\n")

    def advance(self, count=1, note=""):
        """Count `count` more units as done; `note` is appended to the line when one is shown."""
        self.done += count
        now = time.monotonic()
        if now - self.shown >= (REDRAW_EVERY if self.tty else LINE_EVERY):
            self.shown = now
            self._show(note)

    def _show(self, note="", last=False):
        elapsed = time.monotonic() - self.start
        fresh = self.done - self.resumed
        rate = fresh / elapsed if elapsed > 0 else 0.0
        of = f" of {self.total:,}" if self.total is not None else ""
        text = f"{self.label}: {self.done:,}{of} {self.unit}"
        if fresh:
            text += f", {rate:,.1f}/s"
        if last:
            text += f", {duration(elapsed)} in all"
        elif self.total is not None and rate > 0:
            text += f", {duration((self.total - self.done) / rate)} left"
        if note:
            text += f" ({note})"
        end = "\n" if last or not self.tty else ""
        _write(self.stream, f"\r\x1b[K{text}{end}" if self.tty else text + end)


def tell(text):
    """Write a line on stderr."""
    _write(sys.stderr, f"{text}\n")


def _write(stream, text):
    """Write what the work does not depend on: the terminal may be gone, the disk of a log full."""
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()


def progress(iterable, label, total=None, unit="it"):
    """Yield the items of `iterable` and report how many have been finished."""
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    with Progress(label, total, unit) as bar:
        for item in iterable:
            yield item
            bar.advance()


def duration(seconds):
    """Seconds as a person says them: `48s`, `3m05s`, `2h10m`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


def hush():
    """Turn off the Hugging Face libraries' own bars, so that one voice speaks."""
    import datasets
    import huggingface_hub
    import transformers

    datasets.disable_progress_bars()
    huggingface_hub.utils.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
