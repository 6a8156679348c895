"""Query a provider online: one request per call, many at once, for as long as it takes.

One thread, one event loop that runs only while the caller waits for replies: what was answered is
journaled before another request takes its place, so a kill loses no more than what was under way.
"""

import asyncio
import contextlib
import heapq
import itertools
import math
import signal
import time
from collections import deque

from agorabench.errors import UserError
from agorabench.llm import errors
from agorabench.llm.budget import BILLED, max_usage
from agorabench.llm.rate_limit import Pace
from agorabench.progress import duration, tell

TRIES = 10  # of one request, where others are answered meanwhile; limits do not count
UNREADABLE = 20  # paid answers in a row that cannot be read, after which the work stops
REFUSED = 0.05  # share of refused requests, for no known reason, that does not stop the work
TELL = 60.0  # seconds without a response, after which the log says what was last heard
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU)
SIGNALS += (signal.SIGUSR1,)  # clusters announce the end of a job's time with either of the last


class Online:
    """The online backend of a Provider; see llm/__init__.py.

    A request that fails in a way that can pass is tried again, later and with fewer at a time.
    After `TRIES` failures, if others were answered since the first of them, it is given up. The
    work stops, once what is under way has come in, when there was no response for `patience`
    seconds, when the provider says that there will be none, when the budget is used up, or at a
    signal such as Ctrl-C or SIGTERM; a second signal does not wait.

    Args:
        provider: an api.Provider.
        budget: an open budget.Budget, or None.
        before: a batch.Batches whose open batches are collected first, or None.
    """

    def __init__(self, provider, budget=None, before=None, clock=time.monotonic):
        self.provider, self.budget, self.clock = provider, budget, clock
        self.identity = provider.identity
        self._before = before
        self.pace = Pace(provider.entry["concurrency"], clock, longest=provider.entry["patience"])
        self._loop = self._client = None
        self._later = []  # heap of (when, number, request, its state)
        self._number = itertools.count()
        self._replies = self._refused = 0
        self._unreadable, self._spoilt = 0, -math.inf  # since the last reply; when the last came
        self._heard = None  # the last fault that can pass

    def close(self):
        """Drop the connections; what is under way is given up."""
        if self._loop:
            self._loop.run_until_complete(self._cancel_tasks())
            self._loop.close()
            self._loop = None

    async def _cancel_tasks(self):
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def complete(self, queue):
        """Yield lists of rows for the requests of `queue`, as they come in.

        Raises:
            UserError: the work had to stop; everything that was answered has been yielded.
        """
        if self._before:
            yield from self._before.complete(deque())
            self._before.close()
            self._before = None
        if not queue:
            return  # a finished set needs no key
        if self._loop is None:
            self._client = self.provider.open_async_client()  # first, as it wants a key
            self._loop = asyncio.new_event_loop()
            self._tasks, self._rows, self._wake = set(), [], asyncio.Event()
            self._need = 0  # tokens that the costliest request so far took
        self._stop = None
        self._answered = self._told = self.clock()  # time of the last response, and of its news
        with self._stopping_at_signals():
            while self._tasks or (not self._stop and (queue or self._later)):
                self._loop.run_until_complete(self._send_and_wait(queue))
                if self._rows:
                    rows, self._rows = self._rows, []
                    yield rows
        if self._stop:
            self._later.clear()
            raise self._stop

    @contextlib.contextmanager
    def _stopping_at_signals(self):
        """Let the first signal end the work as if a request had said so."""

        def stop_work(name):
            # Ctrl-C can come twice at once: from the terminal, and handed on by a parent.
            self._loop.call_later(1.0, release_signals)
            self._wake.set()
            self._stop = self._stop or UserError(
                f"stopped by {name}; replies are kept, and the same command goes on from there"
            )

        def release_signals():
            for number in SIGNALS:
                self._loop.remove_signal_handler(number)

        with contextlib.suppress(RuntimeError):  # not in the main thread, where none arrives
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                    self._loop.add_signal_handler(number, stop_work, number.name)
        try:
            yield
        finally:
            release_signals()

    async def _send_and_wait(self, queue):
        """Send what there is room for, then wait until something has come in or is due."""
        self._wake.clear()
        self._send_requests(queue)
        if not self._rows and (self._tasks or not self._stop):
            timer = None
            if (
                not self._stop
                and not self.pace.is_full(len(self._tasks))
                and (queue or self._later)
            ):
                due = self.pace.next_send if queue else max(self.pace.next_send, self._later[0][0])
                pause = due - self.clock()
                # With nothing under way nobody else will wake it, though the time has just come.
                if pause > 0 or not self._tasks:
                    timer = self._loop.call_later(max(pause, 0.0), self._wake.set)
            news = self._loop.call_later(TELL, self._wake.set)
            await self._wake.wait()
            news.cancel()
            if timer:
                timer.cancel()
            self._tell_silence()

    def _tell_silence(self):
        """Say once a minute that there is no response, what was heard and what is waited for."""
        now = self.clock()
        silent = now - self._answered
        if now - max(self._answered, self._told) < TELL:
            return
        self._told = now
        waits = f"{len(self._tasks)} requests are under way"
        if self.pace.held > now:
            waits += f", and none is sent for {duration(self.pace.held - now)}, as it asked"
        tell(
            f"{self.provider.address}: no response for {duration(silent)}; last error: "
            f"{self._heard or 'none'}; {waits}"
        )

    def _send_requests(self, queue):
        while not self._stop and self.pace.may_send(len(self._tasks)):
            if self._unreadable and self._unreadable + len(self._tasks) >= UNREADABLE:
                return  # until it is known whether these can be read
            if self._later and self._later[0][0] <= self.clock():
                _, _, request, state = heapq.heappop(self._later)
            elif queue:
                request, state = queue.popleft(), {"tries": 0}
            else:
                return
            if self.budget:
                try:
                    fits = self.budget.reserve(request)
                except (OSError, UserError) as error:
                    self._stop = error if isinstance(error, UserError) else _book_error(error)
                    return
                if not fits:  # until something under way has come in cheaper than feared
                    due = (self.clock(), next(self._number), request, state)
                    heapq.heappush(self._later, due)
                    return
            self._tasks.add(self._loop.create_task(self._run_request(request, state)))
            self.pace.record_sent()

    async def _run_request(self, request, state):
        sent = self.clock()
        fingerprint = request["fingerprint"]
        row = None
        try:
            fields, headers = await self.provider.send_request(self._client, request)
            row = {"fingerprint": fingerprint, **fields}
            if usage := row["usage"]:
                self._need = max(self._need, usage["input"] + usage["output"])
            self.pace.record_reply(headers, self._need)
            self._answered = self.clock()
            self.pace.record_latency(self._answered - sent)
            self._replies += 1
            self._unreadable = 0
        except errors.Unreadable as fault:
            row = self._leave_unreadable(fault, request, state, sent)
        except errors.Transient as fault:
            row = self._retry_later(fault, request, state, sent)
        except errors.Refused as fault:
            self._answered = self.clock()
            row = errors.unanswered_row(fingerprint, fault.reason)
        except errors.Fatal as fault:
            if self._is_own_fault(fault):
                row = errors.unanswered_row(fingerprint, fault.reason)
            else:
                self._stop = errors.to_user_error(fault, self.provider.entry, self.provider.address)
                row = errors.fault_row(fingerprint, fault)
        except Exception as error:  # ours: it must not end as a request that nobody misses
            self._stop = error
        finally:
            self._tasks.discard(asyncio.current_task())  # first: whatever follows, it has ended
            self._wake.set()
            if row:
                if not row.get("usage") and row.get("fault") in BILLED:
                    row["most"] = (
                        self.budget.reserved_usage(request)
                        if self.budget
                        else max_usage(request, self.provider.entry)
                    )
                self._rows.append(row)
            if self.budget and row:  # a request that was broken off may be billed
                self._settle_cost(request, row)

    def _settle_cost(self, request, row):
        try:
            self.budget.settle(request, row)
        except (OSError, UserError) as error:
            self._stop = self._stop or _book_error(error)

    def _is_own_fault(self, fault):
        """Whether a refused request says nothing about others with the same parameters, because
        nearly all of these were answered."""
        if fault.reason not in ("400", "422"):
            return False
        self._refused += 1
        return self._refused <= REFUSED * self._replies

    def _leave_unreadable(self, fault, request, state, sent):
        """Ask once more for a reply that cannot be read, and not a third time; stop where all are
        like that."""
        if self._replies:  # it has worked: what were under way together count as one, then a pause
            self._unreadable += sent >= self._spoilt
            self._spoilt = self.clock()
            self.pace.record_refusal(sent, None)
        else:
            self._answered = self.clock()
            self._unreadable += 1
        state["unreadable"] = state.get("unreadable", 0) + 1
        if (fault.hopeless and not self._replies) or self._unreadable >= UNREADABLE:
            address = self.provider.address
            count = "" if self._unreadable == 1 else f" {self._unreadable} times in a row"
            self._stop = self._stop or UserError(
                f"{address} answers, and its answer cannot be read{count}: {fault}; what came is "
                "in the journal"
            )
        if state["unreadable"] > 1:
            return errors.given_up_row(request["fingerprint"], fault)
        return self._retry_later(fault, request, state, sent)

    def _retry_later(self, fault, request, state, sent):
        """Plan another try of a request, or give it up; returns the row that says so."""
        now = self.clock()
        if fault.crowded:
            self.pace.record_refusal(sent, fault.after)
        state["tries"] += fault.reason != "429"
        state.setdefault("failed", now)
        # It is the request's own fault only if others were answered meanwhile; a limit never is.
        if state["tries"] >= TRIES and self._answered > state["failed"]:
            return errors.given_up_row(request["fingerprint"], fault)
        silent, patience = now - self._answered, self.provider.entry["patience"]
        self._heard = fault
        if fault.after and silent + fault.after > patience and not self._stop:
            self._stop = UserError(
                f"{self.provider.address} asks to wait {duration(fault.after)} ({fault}), longer "
                f"than its patience of {duration(patience)} in the config; replies are kept, and "
                "the same command goes on from there, then or with a longer patience"
            )
        if silent >= patience and not self._stop:
            self._stop = UserError(
                f"{self.provider.address}: no response for {duration(silent)}; last error: "
                f"{fault}; replies are kept, and the same command goes on from there"
            )
        pause = self.pace.retry_pause(min(state["tries"], 6), fault.after)
        heapq.heappush(self._later, (now + pause, next(self._number), request, state))
        return errors.fault_row(request["fingerprint"], fault)


def _book_error(error):
    return UserError(
        f"the money spent cannot be written down: {error}; replies are kept, and the same command "
        "goes on from there"
    )
