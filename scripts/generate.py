r"""Have a generator write instances until N of them are valid; keep every reply.

    python scripts/generate.py --domain math --method response --size 600 --seed 1 \
        --entry '{"backend": "transformers", "model": "resources/models/strong",
                  "sampling": {"temperature": 1.0, "top_p": 0.9, "max_tokens": 96}}' \
        --generation '{"attempts": 10, "validators": {"math": ["length"]},
                       "max_characters": 20000, "system": null}' \
        --seeds resources/seeds/math/response.jsonl --prompt config/prompts/mini/response/math.md \
        --journal journal/math/response/strong/mini/seed1.jsonl --output /tmp/raw.jsonl

The output has one row per reply: slot, attempt, reply, finish_reason, usage, instruction, response
and verdict ("valid" or a reason). Slots are numbered from 0; a slot is asked again, up to the
ceiling of attempts, until it has a valid reply. Replies are journaled by fingerprint before they
are used, so nothing is asked twice.
"""

import argparse
import json
import random
from collections import Counter
from pathlib import Path

from agorabench import jsonl, parsing, prompts, validation
from agorabench.backends import connect, dataset
from agorabench.errors import UserError, run
from agorabench.journal import Journal
from agorabench.progress import Progress

# More than this share of a wave's slots without a valid reply end the work: the generator or the
# prompt is broken, and asking on would only cost money. Looked at after every stride of slots.
GIVE_UP_SHARE = 0.25
STRIDE = 512
FIRST_WAVE = 64  # slots, where nothing that was generated is shown and waves only serve giving up


class Shortfall(UserError):
    """The generator did not give N valid pairs."""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entry", type=json.loads, required=True, help="the generator's config")
    parser.add_argument("--generation", type=json.loads, required=True, help="config: generation")
    parser.add_argument("--domain", required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--size", type=int, required=True, help="valid pairs wanted")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seeds", help="seed data (JSON Lines)")
    parser.add_argument("--prompt", help="the meta-prompt file")
    parser.add_argument("--themes", nargs="*", default=[], help="a file, one theme a line")
    parser.add_argument("--openings", nargs="*", default=[], help="a file, one opening a line")
    parser.add_argument("--journal", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=64, help="requests answered together")
    args = parser.parse_args(argv)

    label = f"{args.method} {args.domain}, {Path(args.journal).parent.parent.name}"
    names = args.generation["validators"][args.domain]
    limit = args.generation["max_characters"]

    def check(pair):
        return validation.validate(pair, names, max_characters=limit)

    if args.entry["backend"] == "dataset":
        pairs = dataset.load(args.entry["data"][args.domain])
        jsonl.write(args.output, adopt(pairs, check, args.size, args.seed))
        return
    writer = Composer(
        domain=args.domain,
        method=args.method,
        seed=args.seed,
        template=Path(args.prompt).read_text(encoding="utf-8"),
        seeds=jsonl.read(args.seeds),
        themes=[line for path in args.themes for line in prompts.read_lines(path)],
        openings=[line for path in args.openings for line in prompts.read_lines(path)],
        demonstrations=args.generation.get("demonstrations"),
        system=args.generation["system"],
    )
    backend = connect(args.entry, args.threads, args.batch_size)
    with Journal(args.journal) as journal, Progress(label, args.size, "valid") as bar:

        def ask(requests):
            return answers(requests, backend, args.entry["sampling"], journal)

        rows = generate(
            writer, ask, check, args.size, args.generation["attempts"],
            args.generation.get("first_wave", FIRST_WAVE), bar,
        )  # fmt: skip
    jsonl.write(args.output, rows)


def generate(writer, ask, check, size, attempts, first_wave, bar):
    """Rows of all replies, in order of slot and attempt, with `size` valid ones among them.

    Slots are worked in waves: [0, first_wave), then each as long as all before it. Demonstrations
    are drawn from the valid pairs of earlier waves only, so that they depend neither on the order
    in which replies arrive nor on `size`; a larger set extends a smaller one.

    Raises:
        Shortfall: too many slots had no valid reply after `attempts`.
    """
    rows, valid = [], {}
    start, stop = 0, first_wave
    while len(valid) < size:
        pool = [valid[slot] for slot in sorted(valid)]
        slot = start
        while slot < stop and len(valid) < size:
            end = min(stop, slot + min(STRIDE, size - len(valid)))
            work(range(slot, end), pool, writer, ask, check, attempts, rows, valid, bar)
            slot = end
            tried, lost = slot - start, sum(s not in valid for s in range(start, slot))
            if len(valid) < size and tried >= first_wave and lost > GIVE_UP_SHARE * tried:
                raise Shortfall(
                    f"{writer}: {len(valid)} of {size} pairs are valid and {lost} of the last "
                    f"{tried} slots have none after {attempts} attempts each; {rejections(rows)}"
                )
        start, stop = stop, 2 * stop
    return sorted(rows, key=lambda row: (row["slot"], row["attempt"]))


def work(slots, pool, writer, ask, check, attempts, rows, valid, bar):
    """Ask for `slots` in rounds until each has a valid reply or no attempt left."""
    waiting = list(slots)
    for attempt in range(attempts):
        requests = [writer.request(slot, attempt, pool) for slot in waiting]
        for request, reply in zip(requests, ask(requests), strict=True):
            row = {key: request[key] for key in ("slot", "attempt", "seeds")} | reply
            row |= read(writer.method, request["instruction"], reply, check)
            rows.append(row)
            if row["verdict"] == "valid":
                valid[row["slot"]] = {key: row[key] for key in ("instruction", "response")}
                bar.advance()
        waiting = [slot for slot in waiting if slot not in valid]
        if not waiting:
            return


def read(method, instruction, reply, check):
    """A reply's pair and verdict: "valid", or why it is not."""
    row = {"instruction": instruction, "response": None}
    if reply["finish_reason"] != "stop":
        finish = reply["finish_reason"]
        return row | {"verdict": "truncated" if finish == "length" else finish}
    try:
        written, row["response"] = parsing.parse(method, reply["reply"])
    except parsing.Malformed as error:
        return row | {"verdict": str(error)}
    row["instruction"] = written or instruction
    return row | {"verdict": check((row["instruction"], row["response"]))}


def answers(requests, backend, sampling, journal):
    """Replies to `requests`, in their order; only what the journal lacks is asked."""
    for request in requests:
        request["fingerprint"] = jsonl.fingerprint(
            backend.identity, request["messages"], sampling, request["sample"]
        )
    missing = [request for request in requests if request["fingerprint"] not in journal]
    for replies in backend.complete(missing):
        journal.add(replies)
    return [journal[request["fingerprint"]] for request in requests]


def adopt(pairs, check, size, seed):
    """Rows of the first `size` valid pairs of a data set, in an order drawn by `seed`."""
    order = random.Random(f"adopt {seed}").sample(range(len(pairs)), len(pairs))
    rows, valid = [], 0
    for slot, place in enumerate(order):
        if valid == size:
            return rows
        pair = pairs[place]
        verdict = check((pair["instruction"], pair["response"]))
        valid += verdict == "valid"
        usage = {"input": 0, "output": 0}
        rows.append({"slot": slot, "attempt": 0, "usage": usage, **pair, "verdict": verdict})
    if valid == size:
        return rows
    raise Shortfall(
        f"the data set has {valid} valid pairs of {len(pairs)} and {size} are wanted; "
        f"{rejections(rows)}"
    )


def rejections(rows):
    """How often each reason spoke against a reply."""
    reasons = Counter(row["verdict"] for row in rows if row["verdict"] != "valid")
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return f"rejected: {told or 'none'}"


class Composer:
    """Write the request for a slot: the same seeds and themes for every generator."""

    def __init__(
        self, *, domain, method, seed, template, seeds, themes, openings, demonstrations, system
    ):
        self.domain, self.method, self.seed = domain, method, seed
        self.template, self.system = template, system
        self.seeds, self.themes, self.openings = seeds, themes, openings
        self.demonstrations = demonstrations
        self.order = self._random("order").sample(range(len(seeds)), len(seeds))

    def __str__(self):
        return f"{self.method} {self.domain}, seed {self.seed}"

    def _random(self, *parts):
        return random.Random("/".join(map(str, (self.seed, self.domain, self.method, *parts))))

    def request(self, slot, attempt, pool):
        """Messages for one attempt at a slot; `pool` holds the valid pairs of earlier waves."""
        draw = self._random(slot, attempt)
        if self.method == "instance":
            count = min(self.demonstrations["seed"], len(self.seeds))
            shown = draw.sample(self.seeds, count)
            values = {
                "theme": draw.choice(self.themes) if self.themes else "",
                "opening": draw.choice(self.openings) if self.openings else "",
            }
            # Last, because the pool is the generator's own: what was drawn before is common to all.
            own = draw.sample(pool, min(self.demonstrations["generated"], len(pool)))
            values["demonstrations"] = prompts.demonstrations(shown + own)
            instruction = None
        else:
            shown = [self.seeds[self.order[slot % len(self.seeds)]]]
            values = {key: shown[0][key] for key in prompts.PLACEHOLDERS[self.method]}
            instruction = shown[0]["instruction"]
        content = prompts.render(self.template, values)
        system = [{"role": "system", "content": self.system}] if self.system else []
        return {
            "slot": slot,
            "attempt": attempt,
            "sample": [self.seed, slot, attempt],
            "seeds": [row["id"] for row in shown],
            "instruction": instruction,
            "messages": [*system, {"role": "user", "content": content}],
        }


if __name__ == "__main__":
    run(main)
