"""No more dollars than the config allows, however many jobs query at once.

journal/budget.json holds what every journal has taken and what its job holds in advance: a job
takes a share of what is left under a lock, spends from it without asking, and takes the next. All
of it is tokens, worth what they cost by the config at hand, so that a price that is given or mended
later values what came before, too. What a killed job held counts as spent when it runs again, as
what was under way may have been billed; of that no journal knows, so a file that is deleted forgets
it: at most `concurrency` requests a kill. The tokens of a request are bounded by the length of its
prompt and by max_tokens.
"""

import fcntl
import math
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import lock_file, read_json, write_json
from agorabench.llm.answers import is_expected_model
from agorabench.llm.journal import read_rows
from agorabench.llm.request import Request, Usage
from agorabench.paths import parse_journal

# Why a row has no usage though it may have been billed; None: it is a reply. A row of these has
# "most", the tokens that it can have taken at most.
BILLED = {None, "timeout", "connection", "malformed body", "wrong model"}
BILLED |= {"malformed line", "unknown id", "missing"}  # in a batch
COUNTS = ("spent", "held", "lost", "flight")  # tokens in a book
SHARE = 10  # a job takes at most this part of what is left
REQUESTS = 100  # and no more than so many requests could cost
EVERY = 5.0  # seconds between reports of what was spent to the other jobs
LEARNED = 20  # replies after which the tokens of a prompt are bounded by those of earlier ones
MARGIN = 1.25  # above the most tokens per byte that one of these had
FREE = {"input": 0.0, "output": 0.0}
COUNTED = {"input", "output", "cached"}


def usage_cost(usage: Usage, price: dict, batch: bool = False) -> float:
    """Cost of tokens in USD; `price` is in USD per million tokens, with the factor of batches."""
    factor = price.get("batch", 1.0) if batch else 1.0
    each = price.get("cached_input")
    saved = 0.0 if each is None else usage.get("cached", 0) * (price["input"] - each)
    return (
        factor * (usage["input"] * price["input"] - saved + usage["output"] * price["output"]) / 1e6
    )


def format_usd(amount: float | None) -> str:
    """USD in cents, small amounts in hundredths of them; nothing for None."""
    return "" if amount is None else f"{amount:,.{2 if abs(amount) >= 1 or not amount else 4}f}"


def max_usage(request: Request, entry: dict, per_byte: float = 1.0) -> Usage:
    """The most tokens that a request can take, with `per_byte` of them in a byte of its prompt: no
    tokenizer makes more than one of it."""
    sampling = request.get("sampling", entry["sampling"])
    tokens = math.ceil(_prompt_bytes(request) * per_byte) + 20
    return {"input": tokens, "output": sampling["max_tokens"]}


def _prompt_bytes(request):
    return sum(len(message["content"].encode()) for message in request["messages"])


def max_cost(request: Request, entry: dict) -> float:
    """The most that a request can cost, in USD."""
    return usage_cost(max_usage(request, entry), entry["price"], entry["mode"] == "batch")


def count_tokens(rows: Iterable[dict]) -> Counter:
    """Tokens of journal rows, replies and faults, at most where that is unknown: "input" (of which
    "cached") and "output", and those of batches as "batch input" and so on."""
    tokens = Counter()
    for row in rows:
        if usage := row.get("usage") or row.get("most"):
            kind = "batch " if "mode" in row else ""
            for side in COUNTED & usage.keys():
                tokens[kind + side] += usage[side]
    return tokens


def tokens_cost(tokens: Counter, price: dict) -> float:
    """Cost in USD of tokens as `count_tokens` has them."""
    batch = {side: tokens["batch " + side] for side in COUNTED}
    return usage_cost(tokens, price) + usage_cost(batch, price, batch=True)


def rows_cost(rows: Iterable[dict], price: dict) -> float:
    """Cost of journal rows, replies and faults, in USD; at most, where that is unknown."""
    return tokens_cost(count_tokens(rows), price)


class Budget:
    """The share of one job: `reserve` before a request, `settle` after it.

    Args:
        journal: path of the job's journal.
        rows: those of its rows that were billed.
        root: the folder of all journals; holds budget.json.
        generators: name -> config entry of every generator that has a price.
        generator: name of this job's.
        total: max_usd of the whole config, or None; the generator's own is in its entry.
        owners: path of a journal -> its generator, where the path does not say it.
    """

    def __init__(
        self,
        journal,
        rows,
        root,
        generators,
        generator,
        total=None,
        owners=None,
        clock=time.monotonic,
    ):
        self.root, self.generators, self.generator = Path(root), generators, generator
        self.entry, self.total, self.clock = generators[generator], total, clock
        self._kind = "batch " if self.entry["mode"] == "batch" else ""
        self._owners = {self._book_name(path): name for path, name in (owners or {}).items()}
        self.name = self._book_name(journal)
        self.spent = count_tokens(rows)  # and what has come in since
        self.lost = Counter()  # what earlier runs held that were killed
        self.free, self.under_way = Counter(), Counter()
        self._flight = Counter()  # the most that can have been under way at once
        self._reserved = {}
        self._replies, self._per_byte = 0, 0.0  # of these, the most tokens per byte of a prompt

    def __enter__(self):
        with self._locked_books(scan=True) as books:
            if before := books.get(self.name):
                # Batches are found again; what a journal no longer holds was paid all the same.
                held, flight = before["held"], before["flight"]
                held = {k: min(n, flight[k]) for k, n in held.items() if "batch" not in k}
                self.lost = before["lost"] + (before["spent"] + Counter(held) - self.spent)
            self._update_books(books)
        return self

    def __exit__(self, kind, *_):
        if not self._kind:  # what was not waited for may have been billed
            self.lost += self.under_way
            self.under_way = Counter()
        self.free = Counter()
        with suppress(*[OSError, UserError] if kind else []), self._locked_books() as books:
            self._update_books(books)

    def reserve(self, request: Request) -> bool:
        """Set aside what a request may cost; False where that must wait for one under way.

        Raises:
            UserError: it can never be paid; nothing of this job is under way.
        """
        most = max_usage(request, self.entry, self.tokens_per_byte)
        amount = Counter({self._kind + side: count for side, count in most.items()})
        if not self._fits(amount):
            self._take_share(amount)
        if self._fits(amount):
            self.free.subtract(amount)
            self.under_way.update(amount)
            self._reserved[request["fingerprint"]] = amount
            return True
        if self._reserved:
            return False
        name, *amounts = self.limit
        limit, spent, held = map(format_usd, amounts)
        cost = format_usd(tokens_cost(amount, self.entry["price"]))
        raise UserError(
            f"{name} allows {limit} USD: {spent} are spent, {held} are held by other jobs, and the "
            f"next request could cost {cost}, as max_tokens is "
            f"{most['output']}; raise the limit, and the same command "
            "goes on from there"
        )

    @property
    def tokens_per_byte(self) -> float:
        """The most tokens that a byte of a prompt is taken for."""
        learned = MARGIN * self._per_byte
        return learned if self._replies >= LEARNED else max(1.0, learned)

    def reserved_usage(self, request: Request) -> Usage:
        """The tokens that are set aside for a request under way."""
        amount = self._reserved[request["fingerprint"]]
        return {side: amount[self._kind + side] for side in FREE}

    def settle(self, request: Request | None, row: dict | None) -> None:
        """Spend what a request has cost that ended with `row` (None: it was given up); for one of
        an earlier run's batch (None: nobody wants it now) nothing may have been set aside."""
        amount = self._reserved.pop(request["fingerprint"] if request else None, Counter())
        cost = count_tokens([row] if row else [])
        if row and "fault" not in row and not cost:
            cost = amount  # a reply whose provider reported no usage
        if request and row and (usage := row.get("usage")) and usage["input"]:
            self._replies += 1
            ratio = (usage["input"] - 20) / max(1, _prompt_bytes(request))
            self._per_byte = max(self._per_byte, ratio)
        self.under_way.subtract(amount)
        self.free.update(amount)
        self._spend(cost)

    def _fits(self, amount):
        return all(count <= self.free[kind] for kind, count in amount.items())

    def _spend(self, cost):
        self.free.subtract(cost)
        self.spent.update(cost)
        if self.clock() - self.reported > EVERY:
            with self._locked_books() as books:
                self._update_books(books)

    def _take_share(self, amount):
        """Take a share for requests of `amount` in place of the last one, and report what was
        spent."""
        self.free = Counter()
        with self._locked_books() as books:
            self._update_books(books)
            left, self.limit = self._tightest_limit(books)
            cost = tokens_cost(amount, self.entry["price"])
            if cost <= left:
                count = min(REQUESTS, left / SHARE / cost) if cost else REQUESTS
                self.free = Counter({kind: n * max(1, int(count)) for kind, n in amount.items()})
                under_way = {kind: n * self.entry["concurrency"] for kind, n in amount.items()}
                self._flight |= Counter(under_way)
                self._update_books(books)

    def _tightest_limit(self, books):
        """(USD of the tightest limit that are neither spent nor held, (its name, the limit, what is
        spent, what other jobs hold))."""
        limits = [(float("inf"), None)]
        own = tokens_cost(self.under_way, self.entry["price"])
        for name, limit, generator in (
            (f"max_usd of generator '{self.generator}'", self.entry["max_usd"], self.generator),
            ("max_usd of the config", self.total, None),
        ):
            if limit is not None:
                counted = [b for b in books.values() if generator in (None, b["generator"])]
                spent = sum(self._value(b, "spent") + self._value(b, "lost") for b in counted)
                held = sum(self._value(b, "held") for b in counted)
                limits.append((limit - spent - held, (name, limit, spent, held - own)))
        return min(limits, key=lambda pair: pair[0])

    def _value(self, book, key):
        # Of a generator that the config no longer has, the price that it had.
        price = self.generators.get(book["generator"], {}).get("price") or book["price"] or FREE
        return tokens_cost(book[key], price)

    # The file

    def _book_name(self, journal):
        path = Path(journal)
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    @contextmanager
    def _locked_books(self, scan=False):
        """All books, locked; written back at the end."""
        path = self.root / "budget.json"
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / ".budget.lock", "a") as lock:
            lock_file(lock, fcntl.LOCK_EX)
            try:
                books = read_json(path) if path.exists() else {}
                # Earlier versions had dollars there; their journals say the tokens.
                books = {
                    name: {"generator": book["generator"], "price": book.get("price")}
                    | {key: Counter(_counts(book.get(key, {}))) for key in COUNTS}
                    for name, book in books.items()
                    if "lost" in book
                }
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                raise UserError(
                    f"{path} is damaged; delete it, and it is made anew from all journals"
                ) from None
            if scan or self.name not in books:  # somebody has deleted the file
                self._add_journals(books)
            yield books
            write_json(path, books)

    def _update_books(self, books):
        """Bring `books` up to date with what this job has spent and holds."""
        held = Counter(self.under_way)
        held.update(self.free)
        amounts = {"spent": self.spent, "held": +held, "lost": self.lost, "flight": self._flight}
        price = self.entry["price"]
        books[self.name] = {"generator": self.generator, "price": price} | amounts
        self.reported = self.clock()

    def _add_journals(self, books):
        """Add what journals hold that have no book."""
        for path in sorted(self.root.rglob("*.jsonl")):
            if (name := self._book_name(path)) not in books and name != self.name:
                rows = list(read_rows(path))
                books[name] = {"generator": self._find_owner(name, rows), "price": None}
                books[name] |= {key: Counter() for key in COUNTS} | {"spent": count_tokens(rows)}

    def _find_owner(self, name, rows):
        """The generator whose replies a journal holds: by the config, the journal's path, or the
        model that answered."""
        if name in self._owners:
            return self._owners[name]
        if name.count("/") == 4:
            return parse_journal(name).generator
        model = next((row["model"] for row in rows if row.get("model")), None)
        known = (key for key, e in self.generators.items() if is_expected_model(e, model))
        return next(known, None) if model else None


def _counts(tokens):
    """Tokens of a book, which are whole numbers.

    Raises:
        ValueError: they are not.
    """
    if not all(type(count) is int for count in tokens.values()):
        raise ValueError
    return tokens
