"""Query a provider in batches: slower, at a discount, and never the same batch twice.

A batch is remembered on disk before it is submitted, and forgotten after its replies are journaled.
Whatever kills the job in between, the next run finds the batch at the provider, or finds that it
never got there.
"""

import math
import sys
import time
import uuid
from collections import deque

from agorabench.errors import UserError
from agorabench.files import to_json
from agorabench.llm import errors
from agorabench.llm.batch_log import Batch, BatchLog, parse_results
from agorabench.llm.budget import BILLED, max_usage
from agorabench.llm.online import TRIES
from agorabench.llm.rate_limit import Pace
from agorabench.progress import LINE_EVERY, duration

BYTES_PER_TOKEN = 2.0  # of a prompt, at least: English has 4, LaTeX and code about 3
SETTLE = 60.0  # seconds after which a submission is in the provider's list, if it ever will be
SKEW = 26 * 3600.0  # seconds that the provider's clock may be behind
PROBED = 100  # requests; fewer are their own probe
HOLD = 900.0  # seconds, longest pause where the provider takes no more
DAY = 26 * 3600.0  # seconds after which every batch has ended, and made room for others
READS = 3  # of results that are not whole, before they are taken as they are
STILL = 600.0  # seconds between lines in a log while nothing changes


class Batches:
    """The batch backend of a Provider; see llm/__init__.py.

    A request that fails or expires is submitted again, `TRIES` times; after that it is given up if
    others were answered. Work that must stop does so when all open batches have ended.

    Args:
        provider: an api.Provider.
        state: path of the file that remembers the batches, beside the journal.
        budget: an open budget.Budget, or None.
    """

    def __init__(self, provider, state, budget=None, clock=time.monotonic, sleep=time.sleep):
        self.provider, self.budget, self.clock, self.sleep = provider, budget, clock, sleep
        self.identity, self.limits, self.path = provider.identity, provider.entry["batch"], state
        self._client = self._log = None
        self._pending = deque()  # requests that are in no batch
        self._rows = []  # to be yielded
        self._tried = {}  # fingerprint -> [failures, requests answered before the first]
        self._answered = self._failures = 0
        self._most = self.limits["tokens"] or math.inf
        self._bytes, self._tokens = self.limits["bytes"], self._most  # adapted to refusals
        self._held = 0.0  # until then no batch is made
        self._full = None  # since when the provider has taken none
        self._pace, self._logged = Pace(1, clock), (None, -math.inf)

    def close(self):
        """Drop the connection; batches go on at the provider and are collected by the next run."""
        for resource in filter(None, (self._client, self._log)):
            resource.close()
        self._client = self._log = None

    def complete(self, queue):
        """Yield lists of rows for the requests of `queue`, and of batches that an earlier run left.

        Raises:
            UserError: the work had to stop; what batches had answered until then was yielded.
        """
        if self._log is None:
            self._log = BatchLog(self.path, self.provider.entry["model"])
            for batch in self._log.open_batches:
                batch.due = self.clock() + SETTLE if batch.doubtful else batch.due
        if not self._log.open_batches and not queue:
            return
        self._client = self._client or self.provider.open_client()
        self._stop, self._heard = None, self.clock()
        while True:
            self._take_requests(queue)
            if self.limits.get("probe") and self._log.is_new and len(self._pending) >= PROBED:
                self._probe()
                yield from self._yield_rows()
            while batch := self._plan_batch():
                self._advance_batch(batch)
            yield from self._yield_rows()
            for batch in [b for b in self._log.open_batches if b.due <= self.clock()]:
                status = self._advance_batch(batch)
                yield from self._yield_rows()
                if status:  # only now, because its rows are journaled now
                    self._close_batch(batch, status.state)
            if self._log.open_batches or self._pending:
                self._log_progress()
                self._wait_until_due()
            elif not queue:
                break
        if self._stop:
            raise self._stop

    def _yield_rows(self):
        rows, self._rows = self._rows, []
        yield from [rows] if rows else ()

    def _take_requests(self, queue):
        """Take all requests; those in a batch of an earlier run wait for it."""
        while queue:
            request = queue.popleft()
            key = request["fingerprint"]
            for batch in self._log.open_batches:
                if key in batch.requests:
                    batch.requests[key] = request
                    self._reserve_cost(request, under_way=True)
                    break
            else:
                self._pending.append(request)
        if self._stop:
            self._pending.clear()
            self._submit_soon()

    def _probe(self):
        """Ask for one reply online, at its full price, before the first batch is paid for."""
        self.limits = self.limits | {"probe": False}
        request = self._pending[0]
        if self._stop or not self._reserve_cost(request):
            return
        key, entry = request["fingerprint"], self.provider.entry
        try:
            row = {"fingerprint": key, **self.provider.ask_once(self._client, request)}
            self._answered += 1
        except errors.Refused as fault:
            row = errors.unanswered_row(key, fault.reason)
        except errors.RequestFault as fault:
            row = errors.fault_row(key, fault)
            if not isinstance(fault, errors.Transient) or isinstance(fault, errors.Unreadable):
                self._stop = errors.to_user_error(fault, entry, self.provider.address)
        self._keep_row(request, row)
        if "fault" not in row:
            self._pending.popleft()

    def _keep_row(self, request, row):
        """Put a row where it is yielded from, and into the budget."""
        if request and not row.get("usage") and row.get("fault") in BILLED:
            row["most"] = max_usage(request, self.provider.entry)
        self._rows.append(row)
        if self.budget:
            self.budget.settle(request, row)

    def _plan_batch(self):
        """The next batch, planned on disk, or None where there is nothing or no room for one."""
        if self._stop or self.clock() < self._held:
            return None
        if any(batch.is_unsent for batch in self._log.open_batches):
            return None  # one at a time, so that a kill leaves one in doubt
        room = self._tokens - sum(batch.tokens for batch in self._log.open_batches)
        model = self.provider.entry["model"]
        batch = Batch(uuid.uuid4().hex, (), time.time(), 0, model, own=True)
        while self._pending and len(batch.requests) < self.limits["requests"]:
            request = self._pending[0]
            text = sum(len(message["content"].encode()) for message in request["messages"])
            tokens = math.ceil(text / BYTES_PER_TOKEN + 20)
            size = len(to_json(self.provider.batch_task(request)).encode()) + 1
            # A request that is larger than the limits goes alone, for the provider to judge.
            if (
                (batch.bytes + size > self._bytes and batch.requests)
                or (batch.tokens + tokens > room and (batch.requests or self._log.open_batches))
                or not self._reserve_cost(request)
            ):
                break
            batch.requests[request["fingerprint"]] = self._pending.popleft()
            batch.bytes += size
            batch.tokens += tokens
        if not batch.requests:
            return None
        self._log.record_planned(batch)
        return batch

    def _reserve_cost(self, request, under_way=False):
        """Whether the budget allows a request; stops the work where it never will, unless the
        request is under way already."""
        try:
            return not self.budget or self.budget.reserve(request)
        except UserError as error:
            if not under_way:
                self._stop = self._stop or error
            return False

    def _advance_batch(self, batch):
        """Take a batch a step further; returns its BatchStatus when it has ended and its rows are
        in `_rows`."""
        try:
            if batch.doubtful:
                self._find_batch(batch)
            elif batch.ids:
                self._identify_batch(batch)
            elif not batch.id:
                self._submit_batch(batch)
            else:
                return self._check_batch(batch)
            self._heard = self.clock()
        except errors.Transient as fault:
            self._retry_later(batch, fault)
        except errors.RequestFault as fault:
            if fault.reason != "404" or batch.is_unsent:
                raise self._to_user_error(fault) from None
            raise UserError(
                f"{self.provider.address} does not know batch {batch.id} of {self.path} ({fault}): "
                "the key is another account's, or the batch is too old; to ask for its requests "
                f'again, add the line {{"event":"closed","name":"{batch.name}"}}'
            ) from None
        return None

    def _retry_later(self, batch, fault):
        """Try a step again after a pause; a submission that may have arrived is looked for."""
        batch.tries += 1
        pause = self._pace.retry_pause(min(batch.tries - 1, 6), fault.after)
        patience = self.provider.entry["patience"]
        if batch.is_unsent:
            if fault.reason == "429":  # it was not taken
                pause, patience = max(pause, self._growing_pause(batch.tries)), max(patience, DAY)
            else:
                batch.doubtful, pause = True, max(pause, SETTLE)
        batch.due = self.clock() + pause
        silent = self.clock() - self._heard
        if silent >= patience:
            raise UserError(
                f"{self.provider.address}: no useful response for {duration(silent)}; last error: "
                f"{fault}; its batches go on, and the same command goes on from there"
            )

    def _submit_batch(self, batch):
        if self._stop:
            return self._return_requests(batch, "not submitted")
        tasks = [self.provider.batch_task(request) for request in batch.requests.values()]
        try:
            id = self.provider.submit_batch(self._client, batch.name, tasks)
        except errors.Refused as fault:
            self._return_requests(batch, "refused")
            if len(batch.requests) > 1:
                self._bytes = batch.bytes // 2
            else:
                key = self._pending.popleft()["fingerprint"]
                self._rows.append(errors.unanswered_row(key, fault.reason) | {"mode": "batch"})
        except errors.Fatal as fault:
            self._return_requests(batch, "refused")
            self._stop = self._to_user_error(fault)
        else:
            self._log.record_submitted(batch, id)
            batch.due = self.clock() + self.limits["poll"]

    def _find_batch(self, batch):
        """Find a batch at the provider that may have been submitted."""
        size, since = len(batch.requests), batch.at - SKEW
        known = self._log.known_ids()
        ids = self.provider.find_batches(self._client, batch.name, size, since)
        batch.ids = [id for id in ids if id not in known]
        batch.doubtful, batch.due = False, self.clock()
        if self.provider.named_batches and batch.ids:
            self._log.record_submitted(batch, batch.ids[0])
        elif not batch.ids and not batch.own:
            self._return_requests(batch, "never submitted")

    def _identify_batch(self, batch):
        """Find which of the batches that it may be has its requests, as they end."""
        for id in list(batch.ids):
            status = self.provider.batch_status(self._client, id)
            if status.state == "open":
                continue
            lines = parse_results(self.provider.fetch_results(self._client, status))
            if any(key in batch.requests for key, _ in lines):
                return self._log.record_submitted(batch, id)
            batch.ids.remove(id)
        batch.due = self.clock() + (self.limits["poll"] if batch.ids else 0.0)
        if not batch.ids and not batch.own:
            self._return_requests(batch, "never submitted")

    def _check_batch(self, batch):
        status = self.provider.batch_status(self._client, batch.id)
        self._heard = self.clock()
        batch.due = self.clock() + max(self.limits["poll"], status.after or 0.0)
        batch.done = status.done
        if status.state == "failed":
            self._handle_failed(batch, status.fault)
        elif status.state != "open":
            lines = parse_results(self.provider.fetch_results(self._client, status))
            batch.reads += 1
            whole = len(lines) >= status.done and all(isinstance(line, dict) for _, line in lines)
            if batch.reads < READS and not whole:
                raise errors.Transient("malformed body", "fewer results than there are")
            self._collect_rows(batch, status, lines)
            return status
        batch.tries = 0
        return None

    def _handle_failed(self, batch, fault):
        """After a batch was refused as a whole: wait for room, make it smaller, or stop."""
        self._return_requests(batch, "failed")
        self._failures += 1
        if self._full is None:
            self._full = self.clock()
        if not isinstance(fault, errors.Transient) or self.clock() - self._full >= DAY:
            self._stop = self._stop or self._to_user_error(fault)
        elif fault.reason == "429" and any(other.id for other in self._log.open_batches):
            self._held = math.inf  # until one of them ends
        elif fault.reason == "429" and len(batch.requests) > 1:
            self._tokens = batch.tokens // 2
        else:
            self._held = self.clock() + self._growing_pause(self._failures)

    def _growing_pause(self, tries):
        return min(HOLD, self.limits["poll"] * 2.0 ** min(tries, 30))

    def _return_requests(self, batch, how):
        """Forget a batch that has never been; its requests are planned anew."""
        wanted = [request for request in batch.requests.values() if request]
        for request in wanted if self.budget else ():
            self.budget.settle(request, None)
        self._pending.extendleft(reversed(wanted))
        self._close_batch(batch, how)

    def _close_batch(self, batch, how):
        self._log.record_closed(batch, how)
        if self._held == math.inf:
            self._held = 0.0
        self._submit_soon()  # there may be room for it now

    def _submit_soon(self):
        """Make it the turn of what waits to be submitted."""
        for batch in self._log.open_batches:
            if batch.is_unsent and not batch.doubtful:
                batch.due = 0.0

    def _to_user_error(self, fault):
        entry, address = self.provider.entry, self.provider.address
        if fault.reason == "404" and entry["model"] not in str(fault):
            return UserError(f"{address} takes no batches of model '{entry['model']}' ({fault})")
        return errors.to_user_error(fault, entry, address)

    def _collect_rows(self, batch, status, lines):
        """Put the rows of a batch into `_rows`, and the failed ones of its requests back."""
        before, replies, unreadable = self._answered, 0, None
        undone = status.state if status.state in ("expired", "cancelled") else "missing"
        for key, request, fields, fault in batch.match_results(self.provider, lines, undone):
            if fields:
                row = {"fingerprint": key, **fields}
                replies += 1
                self._answered += 1
            else:
                unreadable = fault if isinstance(fault, errors.Unreadable) else unreadable
                row = self._failure_row(batch, key, request, fault, before)
            self._keep_row(request, row | {"mode": "batch"})
        if unreadable and not self._answered:
            text = f"{self.provider.address} answers, and nothing in batch {batch.id} can be read"
            self._stop = self._stop or UserError(f"{text}: {unreadable}; the journal has it")
        self._failures, self._full = 0, None
        self._tokens = min(2 * self._tokens, self._most)
        if status.state == "cancelled":
            self._stop = self._stop or UserError(
                f"batch {batch.id} at {self.provider.address} was cancelled: {replies} of its "
                f"{len(batch.requests)} requests were answered and are kept; the same command "
                "asks for the rest again"
            )

    def _failure_row(self, batch, key, request, fault, before):
        """The row of a request without a reply, planned again where that can help."""
        if isinstance(fault, errors.Refused):
            self._answered += 1
            return errors.unanswered_row(key, fault.reason)
        if isinstance(fault, errors.Fatal):
            self._stop = self._stop or self._to_user_error(fault)
        elif request:
            tried = self._tried.setdefault(key, [0, before])
            tried[0] += TRIES / 2 if isinstance(fault, errors.Unreadable) else 1
            if tried[0] < TRIES:
                self._pending.append(request)
            elif self._answered > tried[1]:
                return errors.given_up_row(key, fault) | {"batch": batch.id}
            else:
                self._stop = self._stop or UserError(
                    f"{self.provider.address}: no replies in {TRIES} batches; last error: {fault}; "
                    "the same command goes on from there"
                )
        # Its batch distinguishes it from a second row, which a kill before the next step leaves.
        return errors.fault_row(key, fault) | {"batch": batch.id}

    def _wait_until_due(self):
        """Sleep until a batch is due, or until one may be made."""
        due = [batch.due for batch in self._log.open_batches]
        if (self._pending and not due) or self.clock() < self._held < math.inf:
            due.append(self._held)
        self.sleep(max(0.0, min(due, default=0.0) - self.clock()))

    def _log_progress(self):
        """Log the batches' progress: when it changes, and every ten minutes."""
        waiting = f"{len(self._pending):,} waiting"
        text = f"{self.identity}: {self._log.describe_open()}, {waiting}"
        last, when = self._logged
        if self.clock() - when >= (STILL if text == last else LINE_EVERY):
            self._logged = (text, self.clock())
            print(text, file=sys.stderr)
