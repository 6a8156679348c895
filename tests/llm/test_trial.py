"""Where the first replies all fail, the work stops before money goes; one success lets it run."""

import random
from types import SimpleNamespace

import pytest
import servers
from agorabench.errors import UserError
from agorabench.evaluation.judge import judge_games
from agorabench.generation.duplicates import repeat_filter
from agorabench.generation.slots import Shortfall, Slots
from agorabench.llm import batch, connect, transformers, vllm
from agorabench.llm.journal import Journal
from agorabench.llm.silent import JournalView, SilentBackend
from agorabench.llm.trial import Trial
from generation.test_generate import composer
from helpers.asking import KEY, Cell

SIZE, MOST = 20, 48
METHODS = pytest.mark.parametrize("method", ["instance", "response", "enhancement"])


@pytest.fixture(scope="module")
def server():
    with servers.start() as running:
        yield running


def spoil(server, fault):
    """Have the server spoil every reply in the same way; with None it says what it was asked."""
    faults = [{"fault": fault}, {"fault": fault, "at": "item"}] if fault else []
    server.set(write="instance" if fault else "echo", faults=faults)
    server.reset()


@METHODS
@pytest.mark.parametrize("mode", ["online", "batch"])
@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_a_set_whose_replies_all_fail_alike(tmp_path, server, monkeypatch, method, mode, protocol):
    monkeypatch.setenv(KEY, server.key)
    monkeypatch.setattr(batch.Pace, "retry_pause", lambda self, tries, after=None: 0.02)
    spoil(server, "length")
    cell = Cell(tmp_path, server, protocol, method, SIZE, mode=mode, batch={"poll": 0.02})
    for _ in range(2):  # and the same command asks for nothing more
        with pytest.raises(Shortfall) as caught:
            cell.run()
        assert MOST - 4 <= len(cell.journaled()) <= MOST
    words = ("g, ", "none of the first 48", "truncated 48", "such as", "sampling.max_tokens")
    assert [word for word in words if word not in str(caught.value)] == []


@METHODS
@pytest.mark.parametrize("mode", ["online", "batch"])
@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize("size", [SIZE, 1000])
def test_a_set_without_the_form_it_asks_for_shows_a_reply(
    tmp_path, server, monkeypatch, method, mode, protocol, size
):
    monkeypatch.setenv(KEY, server.key)
    monkeypatch.setattr(batch.Pace, "retry_pause", lambda self, tries, after=None: 0.02)
    spoil(server, "refusal" if method == "response" else None)
    cell = Cell(tmp_path, server, protocol, method, size, mode=mode, batch={"poll": 0.02})
    with pytest.raises(Shortfall, match=r'none of the first 48 replies is good .*, such as (an|")'):
        cell.run()
    assert MOST - 4 <= len(cell.journaled()) <= MOST


class LocalEngine:
    """Both engines in one: every reply is the same."""

    def __init__(self, finish):
        self.left, self.asked, self.finish = [], 0, finish

    def chat(self, messages):
        return [1]

    def generate(self, prompts, seeds, **_):
        self.asked += len(prompts)
        usage = {"input": 1, "output": 1}
        return [{"reply": "hm", "finish_reason": self.finish, "usage": usage} for _ in prompts]

    def add_request(self, request):
        self.asked += 1
        self.left.append(str(self.asked))
        return self.left[-1]

    def step(self):
        completion = SimpleNamespace(finish_reason=self.finish, token_ids=[1], text="hm")
        return [
            SimpleNamespace(
                finished=True,
                request_id=self.left.pop(),
                outputs=[completion],
                prompt_token_ids=[1],
            )
        ]

    def abort_requests(self, numbers):
        raise AssertionError(f"{numbers} under way at the end")


@METHODS
@pytest.mark.parametrize("backend", [vllm, transformers])
@pytest.mark.parametrize("finish", ["length", "stop"])
def test_a_local_model_whose_replies_all_fail_alike(tmp_path, monkeypatch, method, backend, finish):
    engine = LocalEngine(finish)
    monkeypatch.setattr(backend, "Engine", lambda *_: engine)
    monkeypatch.setattr(backend, "model_identity", lambda model: model)
    generator = backend.connect({"model": "m", "sampling": {}}, batch_size=512)
    template = "{instruction}" if method != "instance" else "{demonstrations}"
    with Journal(tmp_path / "j.jsonl") as journal:
        slots = Slots(
            composer(method, template=template), journal, "m", {}, lambda pair: "too dull", 20, 32
        )
        reason = "too dull" if method == "response" else ".*"  # the others lack their markers
        with pytest.raises(Shortfall, match=f"{'truncated' if finish == 'length' else reason} 48"):
            slots.generate(generator)
    assert engine.asked == MOST


class Lucky:
    """A generator of which a `share` of the replies is good; the others fail for `reasons`."""

    identity = "lucky"

    def __init__(self, share, seed, reasons=1):
        self.share, self.dice, self.reasons, self.asked = share, random.Random(seed), reasons, 0

    def complete(self, queue):
        while queue:
            request = queue.popleft()
            self.asked += 1
            good = self.dice.random() < self.share
            bad = ["no markers", "INPUT: q", "INPUT: q\nOUTPUT:"][self.asked % self.reasons]
            reply = f"INPUT: q{self.asked}\nOUTPUT: a\n[END]" if good else bad
            row = {"fingerprint": request["fingerprint"], "reply": reply}
            yield [row | {"finish_reason": "stop", "usage": {"input": 1, "output": 1}}]


def fill(tmp_path, backend, size=20, trial=None, repeats=None):
    with Journal(tmp_path / f"{random.random()}.jsonl") as journal:
        slots = Slots(
            composer(), journal, "m", {}, lambda pair: "valid", size, 32, trial=trial,
            repeats=repeats,
        )  # fmt: skip
        slots.generate(backend)
        return slots


@pytest.mark.parametrize(("reasons", "few"), [(1, 8), (3, 1)])
def test_a_generator_that_succeeds_at_one_reply_in_ten_is_hardly_ever_stopped(
    tmp_path, reasons, few
):
    """0.9^48 is 0.6 %, and 0.9^96, for several reasons, 0.004 %."""
    stopped = 0
    for seed in range(300):
        try:
            fill(tmp_path, Lucky(0.1, seed, reasons), size=4)
        except Shortfall as error:
            assert "none of the first" in str(error)
            stopped += 1
    assert stopped <= few


def test_replies_that_fail_for_several_reasons_get_twice_as_many(tmp_path):
    backend = Lucky(0, seed=1, reasons=3)
    with pytest.raises(Shortfall, match="none of the first 96 replies is good"):
        fill(tmp_path, backend)
    assert backend.asked == 96


def test_a_longer_trial_goes_on_where_a_shorter_one_stopped(tmp_path):
    backend = Lucky(0, seed=1)
    with pytest.raises(Shortfall, match="none of the first 200 replies"):
        fill(tmp_path, backend, trial=Trial(200))
    assert backend.asked == 200


def test_a_generator_that_writes_one_pair_for_ever_is_stopped(tmp_path):
    class Parrot(Lucky):
        def complete(self, queue):
            for rows in super().complete(queue):
                yield [row | {"reply": "INPUT: q\nOUTPUT: a"} for row in rows]

    with pytest.raises(Shortfall, match=r"1 of 20 pairs are new .*; rejected: duplicate 38"):
        fill(tmp_path, Parrot(1, seed=1), repeats=repeat_filter("exact"))


def test_a_dry_run_counts_all_requests(tmp_path):
    backend = SilentBackend({"model": "m", "base_url": "http://x"})
    journal = JournalView(tmp_path / "none.jsonl")
    writer = composer("response", template="{instruction}")
    slots = Slots(writer, journal, "m", {}, lambda pair: "valid", 500, 10)
    with pytest.raises(UserError):
        slots.generate(backend)
    assert len(backend.requests) == 500


def judge(tmp_path, replies, games=400, **settings):
    """Judge games; returns (requests made, verdicts)."""
    replies, asked = iter(replies), []

    class Judge:
        identity = "judge-model"

        def complete(self, queue):
            while queue:
                asked.append(queue.popleft()["fingerprint"])
                row = {"fingerprint": asked[-1], "finish_reason": "stop", "reply": next(replies)}
                yield [row | {"usage": {"input": 1, "output": 1}}]

    for name, value in settings.items():
        setattr(Judge, name, value)
    rows = [{"messages": [{"role": "user", "content": str(number)}]} for number in range(games)]

    def read(game, reply):
        return int(reply["reply"]) if reply["reply"].isdigit() else None

    with Journal(tmp_path / "judge.jsonl") as journal:
        try:
            verdicts = judge_games(rows, read, {}, 1, journal, Judge())
        except UserError as error:
            return len(asked), str(error)
    return len(asked), verdicts


def test_a_judge_without_any_readable_verdict_is_stopped(tmp_path):
    for paid in (MOST, 0):
        asked, sentence = judge(tmp_path, iter(lambda: "Well, it depends.", None))
        assert asked == paid
        assert sentence.startswith("judge-model: none of the first 48 replies is good")
        assert 'such as "Well, it depends."' in sentence


@pytest.mark.parametrize("limit", [1, 10, 200])
def test_a_judge_is_given_up_after_as_many_as_its_entry_says(tmp_path, limit):
    asked, sentence = judge(tmp_path, iter(lambda: "Well.", None), give_up_after=limit)
    assert asked == limit
    assert f"none of the first {limit} replies" in sentence and "give_up_after" in sentence


def test_a_backend_knows_when_its_entry_gives_up():
    entry = {"backend": "transformers", "model": "m", "sampling": {}, "give_up_after": 7}
    assert connect(entry, batch_size=1).give_up_after == 7


def test_a_judge_that_says_zero_is_readable(tmp_path):
    asked, verdicts = judge(tmp_path, iter(lambda: "0", None))
    assert asked == len(verdicts) == 400


def test_a_judge_that_is_unreadable_now_and_then_goes_on(tmp_path):
    replies = ["?"] * 40 + ["3"] + ["4"] * 2000
    asked, verdicts = judge(tmp_path, iter(replies))
    assert asked == 440
    assert all(row["verdict"] for row in verdicts)
