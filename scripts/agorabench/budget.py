"""No more dollars than the config allows, however many jobs ask at once.

journal/budget.json holds what every journal has cost and what its job holds in advance: a job takes
a share of what is left under a lock, spends from it without asking, and takes the next. A job that
was killed leaves its share held until it runs again, so the limit errs on the side of spending
less. What a request may cost is bounded by the length of its prompt and by max_tokens.
"""

import fcntl
import json
import time
from contextlib import contextmanager
from pathlib import Path

from agorabench import jsonl
from agorabench.errors import UserError

BYTES_PER_TOKEN = 2.0  # of a prompt, at least: English has 4, LaTeX and code about 3
SHARE = 10  # a job takes at most this part of what is left
REQUESTS = 100  # and no more than so many requests could cost
EVERY = 5.0  # seconds after which what was spent is told to the other jobs


def usd(usage, price, batch=False):
    """What tokens cost in USD; `price` is per million tokens, with the factor of batches."""
    factor = price.get("batch", 1.0) if batch else 1.0
    return factor * (usage["input"] * price["input"] + usage["output"] * price["output"]) / 1e6


def ceiling(request, entry):
    """The most that a request can cost, in USD."""
    size = sum(len(message["content"].encode()) for message in request["messages"])
    usage = {"input": size / BYTES_PER_TOKEN + 20, "output": entry["sampling"]["max_tokens"]}
    return usd(usage, entry["price"], entry["mode"] == "batch")


def spent(rows, price):
    """What journal rows, replies and faults, have cost in USD, as far as usage is known."""
    return sum(usd(row["usage"], price, "mode" in row) for row in rows if row.get("usage"))


class Budget:
    """The share of one job: `reserve` before a request, `settle` after it.

    Args:
        journal: path of the job's journal, {root}/{domain}/{method}/{generator}/...
        root: the folder of all journals; holds budget.json.
        generators: name -> config entry of every generator that has a price.
        generator: name of this job's.
        total: max_usd of the whole config, or None; the generator's own is in its entry.
    """

    def __init__(self, journal, root, generators, generator, total=None, clock=time.monotonic):
        self.root, self.generators, self.generator = Path(root), generators, generator
        self.entry, self.total, self.clock = generators[generator], total, clock
        self.name = str(Path(journal).relative_to(root))
        self.free = self.under_way = 0.0
        self._amounts = {}

    def __enter__(self):
        with self._books() as books:
            for path in sorted(self.root.rglob("seed*.jsonl")):
                name = str(path.relative_to(self.root))
                if name == self.name or name not in books:
                    books[name] = self._read(path)
            mine = books.setdefault(self.name, {"generator": self.generator, "held": 0.0})
            self.spent = mine.setdefault("spent", 0.0)
        self.told = self.clock()
        return self

    def __exit__(self, *_):
        self.free = 0.0
        with self._books() as books:
            books[self.name] |= {"spent": self.spent, "held": 0.0}

    def reserve(self, request):
        """Set aside what a request may cost; False where that must wait for one under way.

        Raises:
            UserError: it can never be paid; nothing of this job is under way.
        """
        amount = ceiling(request, self.entry)
        if amount > self.free:
            self._sync(amount)
        if amount <= self.free:
            self.free -= amount
            self.under_way += amount
            self._amounts[request["fingerprint"]] = amount
            return True
        if self._amounts:
            return False
        raise UserError(
            f"{self.limit[0]} allows {self.limit[1]:.2f} USD: {self.limit[2]:.2f} are spent, "
            f"{self.limit[3]:.2f} are held by other jobs, and the next request could cost "
            f"{amount:.4f}; raise it, and the same command goes on from there"
        )

    def settle(self, request, row):
        """A request has ended with `row` (None: it was given up); what it cost is spent."""
        amount = self._amounts.pop(request["fingerprint"])
        cost = 0.0
        if row and row.get("usage"):
            cost = usd(row["usage"], self.entry["price"], self.entry["mode"] == "batch")
        elif row and "fault" not in row:
            cost = amount  # a reply whose provider told no usage
        self.under_way -= amount
        self.free += amount - cost
        self.spent += cost
        if self.clock() - self.told > EVERY:
            self._sync(0.0)

    def _sync(self, amount):
        """Tell what was spent, and take a further share if `amount` is not free."""
        with self._books() as books:
            mine = books[self.name]
            mine |= {"spent": self.spent, "held": self.free + self.under_way}
            left, self.limit = self._left(books)
            wanted = amount - self.free
            if 0 < wanted <= left:
                taken = max(wanted, min(left / SHARE, REQUESTS * amount))
                self.free += taken
                mine["held"] += taken
        self.told = self.clock()

    def _left(self, books):
        """(USD that nobody has spent or holds, (name, limit, spent, held)) of the tightest limit."""
        found = [(float("inf"), None)]
        for name, limit, whose in (
            (f"max_usd of generator '{self.generator}'", self.entry["max_usd"], self.generator),
            ("max_usd of the config", self.total, None),
        ):
            if limit is not None:
                mine = [b for b in books.values() if whose in (None, b["generator"])]
                gone, held = sum(b["spent"] for b in mine), sum(b["held"] for b in mine)
                own = self.free + self.under_way
                found.append((limit - gone - held, (name, limit, gone, held - own)))
        return min(found, key=lambda pair: pair[0])

    def _read(self, path):
        """The books of a journal that has none: what its rows cost."""
        generator = path.relative_to(self.root).parts[2]
        price = self.generators.get(generator, {}).get("price", {"input": 0.0, "output": 0.0})
        with open(path, "rb") as lines:
            rows = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return {"generator": generator, "spent": spent(rows, price), "held": 0.0}

    @contextmanager
    def _books(self):
        """All books, locked; written back at the end."""
        path = self.root / "budget.json"
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / ".budget.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            books = jsonl.read_json(path) if path.exists() else {}
            yield books
            jsonl.write_json(path, books)
