"""What a server is told and what it remembers: settings, faults, rate limit and books."""

import copy
import json
import random
import time
from collections import Counter, defaultdict

SETTINGS = {
    "key": "test-key",  # the key that is accepted; null: any, even none
    "models": {},  # asked for -> named in the reply; when empty, any model, under its own name
    "write": "instance",  # which of providers.WRITE makes the text
    "invalid": 0.0,  # share of the requests (by their hash) without markers or a readable verdict
    "words": 0,  # filler words in each text, for replies of a realistic length
    "tokens_per_word": 1.0,  # what usage is counted with; words are what single spaces part
    "latency": 0.0,  # seconds before a completion is answered
    "jitter": 0.0,  # further seconds, at most; how many of them, the request's hash decides
    "limit": None,  # {"requests": n, "tokens": n, "window": s, "retry_after": true}, see Limit
    "faults": [],  # see Faults
    "habits": None,  # seed of a provider with bad habits, see mutations.py
    "batch": {
        "polls": 2,  # looks at a batch that find it unfinished
        "seconds": 0.0,  # and the least time that it takes
        "requests": None,  # most in one batch; null: the provider's own 50,000 or 100,000
        "bytes": None,  # most in one batch; null: the provider's own 200 MB or 256 MB
        "enqueued": None,  # OpenAI: most input tokens of a model's unfinished batches
        "queue": None,  # Anthropic: most requests of all unfinished batches
        "retry_after": None,  # Anthropic: seconds that a look at an unfinished batch is told
    },
}

# The faults by what they spoil, and where each can strike (its first place unless "at" says so).
PLACES = ["complete", "models", "model", "upload", "file", "content"]
PLACES += ["create", "poll", "list", "results", "cancel"]
REFUSALS = ["429", "429_bare", "500", "502", "503", "529", "401", "403", "404", "400"]
REFUSALS += ["content_policy", "quota"]
TRANSPORT = ["reset", "drop", "hang"]
CONTENTS = ["empty", "length", "refusal", "content_filter", "no_usage", "wrong_model"]
FAULTS = {
    **{name: [*PLACES, "item"] for name in [*REFUSALS, "malformed"]},
    **{name: PLACES for name in TRANSPORT},
    **{name: ["complete", "item"] for name in CONTENTS},
    **{name: ["item"] for name in ("canceled", "duplicate", "missing", "no_id")},
    "expired": ["batch", "item"],
    **{name: ["batch"] for name in ("failed", "shuffled")},
}

# What a fault may say besides: which requests it concerns, how often it strikes, and its details.
WHOM = {"fault", "at", "protocol", "match"}
WHEN = {"after", "first", "every", "share", "seed", "tries", "times"}
DETAILS = {"retry_after", "seconds", "done", "code", "message"}


def changed(settings, changes):
    """A copy of the settings with changes, "batch" merged; ValueError names an unknown key."""
    settings = copy.deepcopy(settings)
    for key, value in changes.items():
        if key not in SETTINGS:
            raise ValueError(f"unknown setting {key!r}; known: {', '.join(SETTINGS)}")
        if key == "batch":
            if wrong := value.keys() - SETTINGS["batch"].keys():
                raise ValueError(f"unknown batch setting {min(wrong)!r}")
            settings["batch"] |= value
        else:
            settings[key] = value
    return settings


class Faults:
    """Decides which request meets which fault.

    A fault is {"fault": name} and, all optional: whom it concerns, "at" (see FAULTS),
    "protocol" (openai or anthropic) and "match" (text in the request's path or body); when it
    strikes, counted over the requests that it concerns: not the "after" first ones, and of the
    others the "first" n, each n-th ("every"), a "share" drawn at random with "seed", the first
    n "tries" of each body; n "times" in all. All that is given must hold; nothing given: always.
    """

    def __init__(self, entries):
        self.entries = []
        for entry in entries:
            name = entry.get("fault")
            if name not in FAULTS:
                raise ValueError(f"unknown fault {name!r}; known: {', '.join(FAULTS)}")
            if wrong := entry.keys() - WHOM - WHEN - DETAILS:
                raise ValueError(f"fault {name}: unknown key {min(wrong)!r}")
            place = entry.get("at", FAULTS[name][0])
            if place not in FAULTS[name]:
                raise ValueError(f"fault {name}: not at {place}, but {', '.join(FAULTS[name])}")
            dice = random.Random(entry.get("seed", 0))
            state = {"seen": 0, "struck": 0, "tries": Counter(), "dice": dice}
            self.entries.append((entry | {"at": place}, state))

    def striking(self, protocol, place, text):
        """The faults that strike this request (`text`: bytes), in the order of the list."""
        found = []
        for entry, state in self.entries:
            if (
                entry["at"] == place
                and entry.get("protocol", protocol) == protocol
                and entry.get("match", "").encode() in text
                and self._strikes(entry, state, text)
            ):
                state["struck"] += 1
                found.append(entry)
        return found

    @staticmethod
    def _strikes(entry, state, text):
        state["seen"] += 1
        number = state["seen"] - entry.get("after", 0)
        if number < 1:
            return False
        if "tries" in entry:
            state["tries"][hash(text)] += 1
        return (
            number <= entry.get("first", number)
            and number % entry.get("every", 1) == 0
            and ("share" not in entry or state["dice"].random() < entry["share"])
            and ("tries" not in entry or state["tries"][hash(text)] <= entry["tries"])
            and state["struck"] < entry.get("times", state["struck"] + 1)
        )


class Limit:
    """A bucket of requests and one of tokens (in and out), refilled evenly over `window` seconds.

    A refused request takes nothing from either. Either may be null, for no such limit.
    """

    # What the headers of a server without a limit say: more than any test can use up.
    NONE = 10_000_000

    def __init__(self, settings):
        settings = settings or {}
        if wrong := settings.keys() - {"requests", "tokens", "window", "retry_after"}:
            raise ValueError(f"limit: unknown key {min(wrong)!r}")
        self.most = {kind: settings.get(kind) or self.NONE for kind in ("requests", "tokens")}
        self.bounded = [kind for kind in self.most if settings.get(kind)]
        self.window = settings.get("window", 60.0)
        self.retry_after = settings.get("retry_after", True)
        self.left = dict(self.most)
        self.time = time.monotonic()

    def take(self, tokens):
        """Take a request and its tokens. Returns (None, 0), or (the kind that lacks, seconds)."""
        now = time.monotonic()
        gone, self.time = now - self.time, now
        for kind in self.bounded:
            most = self.most[kind]
            self.left[kind] = min(most, self.left[kind] + gone * most / self.window)
        wanted = {"requests": 1, "tokens": tokens}
        for kind in self.bounded:
            # more than a full bucket can never be had, so a full bucket must do
            lacking = min(wanted[kind], self.most[kind]) - self.left[kind]
            if lacking > 0:
                return kind, lacking * self.window / self.most[kind]
        for kind in self.bounded:
            self.left[kind] -= wanted[kind]
        return None, 0

    def headers(self, protocol):
        """What the provider says of its limits, with a completion or a refusal."""
        told = {}
        now = time.time()
        for kind, most in self.most.items():
            left = max(0, int(self.left[kind]))
            reset = (most - self.left[kind]) * self.window / most
            if protocol == "openai":
                told[f"x-ratelimit-limit-{kind}"] = str(most)
                told[f"x-ratelimit-remaining-{kind}"] = str(left)
                told[f"x-ratelimit-reset-{kind}"] = _span(reset)
            else:
                full = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + reset))
                names = ["requests"] if kind == "requests" else ["input-tokens", "output-tokens"]
                for name in names:
                    told[f"anthropic-ratelimit-{name}-limit"] = str(most)
                    told[f"anthropic-ratelimit-{name}-remaining"] = str(left)
                    told[f"anthropic-ratelimit-{name}-reset"] = full
        return told


def _span(seconds):
    """Seconds the way that OpenAI writes them: 4ms, 39.801s, 1m4.296s."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, seconds = divmod(seconds, 60)
    return (f"{int(minutes)}m" if minutes else "") + f"{round(seconds, 3):g}s"


class Books:
    """What was asked, answered and billed, to be compared with what a client believes.

    A completion is billed when a 200 was made for it, whatever became of that on its way.
    """

    def __init__(self):
        self.received = Counter()  # "openai complete" -> requests
        self.statuses = defaultdict(Counter)  # -> status -> responses made
        self.kinds = defaultdict(Counter)  # -> "ok", the fault's name, "limit", "key" ... -> same
        self.bodies = Counter()  # identity of the request -> times billed
        self.billed = Counter()  # "online" or "batch" -> completions
        self.tokens = {mode: {"input": 0, "output": 0} for mode in ("online", "batch")}
        self.batches = Counter()  # protocol -> created
        # what completions can have taken at most that went out in a form which does not say it
        self.unclear = {mode: {"input": 0, "output": 0} for mode in ("online", "batch")}
        self.answered = 0  # online completions that went out whole
        self.in_flight = self.peak = 0  # online completions

    def bill(self, mode, reply):
        """Note one completion that was made; `reply` is providers.Reply."""
        self.bodies[reply.identity] += 1
        self.billed[mode] += 1
        self.tokens[mode]["input"] += reply.input
        self.tokens[mode]["output"] += reply.output

    def doubt(self, mode, body):
        """Note that nobody can read what the completion of a request's body took."""
        self.unclear[mode]["input"] += len(json.dumps(body)) + 50  # a byte a token, and a template
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or 0
        self.unclear[mode]["output"] += limit

    def read(self, bodies=False):
        """All of it as a dict; the requests themselves, by identity, only where they are wanted."""
        told = {key: value for key, value in vars(self).items() if key != "bodies"}
        told["distinct"] = len(self.bodies)
        return told | ({"bodies": self.bodies} if bodies else {})
