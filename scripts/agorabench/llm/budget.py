"""No more dollars than the config allows, however many jobs query at once.

journal/budget.json holds what every journal has cost and what its job holds in advance: a job takes
a share of what is left under a lock, spends from it without asking, and takes the next. A job that
was killed leaves its share held until it runs again, so the limit errs on the side of spending
less. The cost of a request is bounded by the length of its prompt and by max_tokens.
"""

import fcntl
import math
import time
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import read_json, write_json
from agorabench.llm.journal import read_rows
from agorabench.llm.request import Request, Usage
from agorabench.paths import list_journals

BYTES_PER_TOKEN = 2.0  # of a prompt, at least: English has 4, LaTeX and code about 3
# Why a row has no usage though it may have been billed; None: it is a reply. A row of these has
# "most", the tokens that it can have taken at most.
BILLED = {None, "timeout", "connection", "malformed body", "wrong model"}
BILLED |= {"malformed line", "unknown id", "missing"}  # in a batch
SHARE = 10  # a job takes at most this part of what is left
REQUESTS = 100  # and no more than so many requests could cost
EVERY = 5.0  # seconds between reports of what was spent to the other jobs


def usage_cost(usage: Usage, price: dict, batch: bool = False) -> float:
    """Cost of tokens in USD; `price` is in USD per million tokens, with the factor of batches."""
    factor = price.get("batch", 1.0) if batch else 1.0
    return factor * (usage["input"] * price["input"] + usage["output"] * price["output"]) / 1e6


def format_usd(amount: float | None) -> str:
    """USD in cents, small amounts in hundredths of them; nothing for None."""
    return "" if amount is None else f"{amount:,.{2 if abs(amount) >= 1 or not amount else 4}f}"


def max_usage(request: Request, entry: dict) -> Usage:
    """The most tokens that a request can take."""
    size = sum(len(message["content"].encode()) for message in request["messages"])
    sampling = request.get("sampling", entry["sampling"])
    return {
        "input": math.ceil(size / BYTES_PER_TOKEN) + 20,
        "output": sampling["max_tokens"],
    }


def max_cost(request: Request, entry: dict) -> float:
    """The most that a request can cost, in USD."""
    return usage_cost(max_usage(request, entry), entry["price"], entry["mode"] == "batch")


def rows_cost(rows: Iterable[dict], price: dict) -> float:
    """Cost of journal rows, replies and faults, in USD; at most, where that is unknown."""
    return sum(
        usage_cost(usage, price, "mode" in row)
        for row in rows
        if (usage := row.get("usage") or row.get("most"))
    )


class Budget:
    """The share of one job: `reserve` before a request, `settle` after it.

    Args:
        journal: path of the job's journal.
        spent: what its rows have cost, in USD.
        root: the folder of all journals; holds budget.json.
        generators: name -> config entry of every generator that has a price.
        generator: name of this job's.
        total: max_usd of the whole config, or None; the generator's own is in its entry.
    """

    def __init__(
        self, journal, spent, root, generators, generator, total=None, clock=time.monotonic
    ):
        self.root, self.generators, self.generator = Path(root), generators, generator
        self.entry, self.total, self.clock = generators[generator], total, clock
        self.name = self._book_name(journal)
        self.spent = spent  # and what has come in since
        self.free = self.under_way = 0.0
        self._reserved = {}

    def __enter__(self):
        with self._locked_books() as books:
            self._update_books(books)
        return self

    def __exit__(self, *_):
        self.free = self.under_way = 0.0
        with self._locked_books() as books:
            self._update_books(books)

    def reserve(self, request: Request) -> bool:
        """Set aside what a request may cost; False where that must wait for one under way.

        Raises:
            UserError: it can never be paid; nothing of this job is under way.
        """
        amount = max_cost(request, self.entry)
        if amount > self.free:
            self._take_share(amount)
        if amount <= self.free:
            self.free -= amount
            self.under_way += amount
            self._reserved[request["fingerprint"]] = amount
            return True
        if self._reserved:
            return False
        name, *amounts = self.limit
        limit, spent, held = map(format_usd, amounts)
        raise UserError(
            f"{name} allows {limit} USD: {spent} are spent, {held} are held by other jobs, and the "
            f"next request could cost {format_usd(amount)}, as max_tokens is "
            f"{max_usage(request, self.entry)['output']}; raise the limit, and the same command "
            "goes on from there"
        )

    def settle(self, request: Request, row: dict | None) -> None:
        """Spend what a request has cost that ended with `row` (None: it was given up)."""
        amount = self._reserved.pop(request["fingerprint"])
        cost = 0.0
        if row and (row.get("usage") or row.get("most")):
            cost = rows_cost([row], self.entry["price"])
        elif row and "fault" not in row:
            cost = amount  # a reply whose provider reported no usage
        self.under_way -= amount
        self._spend(cost, amount)

    def charge(self, row: dict) -> None:
        """Spend the cost of a row of an earlier run's batch, for which nothing was set aside."""
        self._spend(rows_cost([row], self.entry["price"]), 0.0)

    def _spend(self, cost, reserved):
        self.free += reserved - cost
        self.spent += cost
        if self.clock() - self.reported > EVERY:
            self._take_share(0.0)

    def _take_share(self, amount):
        """Report what was spent, and take a further share if `amount` is not free."""
        with self._locked_books() as books:
            self._update_books(books)
            left, self.limit = self._tightest_limit(books)
            wanted = amount - self.free
            if 0 < wanted <= left:
                taken = max(wanted, min(left / SHARE, REQUESTS * amount))
                self.free += taken
                books[self.name]["held"] += taken

    def _tightest_limit(self, books):
        """(USD of the tightest limit that are neither spent nor held, (its name, the limit, what is
        spent, what other jobs hold))."""
        limits = [(float("inf"), None)]
        for name, limit, generator in (
            (f"max_usd of generator '{self.generator}'", self.entry["max_usd"], self.generator),
            ("max_usd of the config", self.total, None),
        ):
            if limit is not None:
                counted = [b for b in books.values() if generator in (None, b["generator"])]
                spent, held = sum(b["spent"] for b in counted), sum(b["held"] for b in counted)
                own = self.free + self.under_way
                limits.append((limit - spent - held, (name, limit, spent, held - own)))
        return min(limits, key=lambda pair: pair[0])

    # The file

    def _book_name(self, journal):
        return str(Path(journal).relative_to(self.root))

    @contextmanager
    def _locked_books(self):
        """All books, locked; written back at the end."""
        path = self.root / "budget.json"
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / ".budget.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            books = read_json(path) if path.exists() else {}
            yield books
            write_json(path, books)

    def _update_books(self, books):
        """Bring `books` up to date with what this job has spent and holds."""
        known = self.name in books
        amounts = {"spent": self.spent, "held": self.free + self.under_way}
        books[self.name] = {"generator": self.generator} | amounts
        if not known:  # a new job, or somebody has deleted the file
            for path, journal in list_journals(self.root).items():
                if (name := self._book_name(path)) not in books:
                    books[name] = self._journal_book(path, journal.generator)
        self.reported = self.clock()

    def _journal_book(self, path, generator):
        """The book of a journal whose job is not at work: what its rows cost."""
        price = self.generators.get(generator, {}).get("price", {"input": 0.0, "output": 0.0})
        spent = rows_cost(read_rows(path), price)
        return {"generator": generator, "spent": spent, "held": 0.0}
