"""The HTTP side: routes, keys, faults of the transport, and the control channel."""

import argparse
import asyncio
import json
import re
import resource
import socket
import struct
import sys
import time
from types import SimpleNamespace

from aiohttp import web

from .batches import Batch, read_anthropic, read_openai
from .control import SETTINGS, Books, Faults, Limit, changed
from .mutations import Habits
from .providers import WRITE, Refusal, compose, error, number, struck

JSON = "application/json"
HUGE = 2**30  # most bytes in a request's body; what a provider allows is in the settings

# Which endpoint a method and a path mean. Both providers have models; a header tells them apart.
ROUTES = [
    ("GET", r"/v1/models", None, "models"),
    ("GET", r"/v1/models/([^/]+)", None, "model"),
    ("POST", r"/v1/files", "openai", "upload"),
    ("GET", r"/v1/files/([^/]+)", "openai", "file"),
    ("GET", r"/v1/files/([^/]+)/content", "openai", "content"),
    ("POST", r"/v1/batches", "openai", "create"),
    ("GET", r"/v1/batches/([^/]+)", "openai", "poll"),
    ("GET", r"/v1/batches", "openai", "list"),
    ("POST", r"/v1/batches/([^/]+)/cancel", "openai", "cancel"),
    ("POST", r"/v1/messages/batches", "anthropic", "create"),
    ("GET", r"/v1/messages/batches/([^/]+)", "anthropic", "poll"),
    ("GET", r"/v1/messages/batches", "anthropic", "list"),
    ("GET", r"/v1/messages/batches/([^/]+)/results", "anthropic", "results"),
    ("POST", r"/v1/messages/batches/([^/]+)/cancel", "anthropic", "cancel"),
]
QUICK = {  # the two that there are very many of
    ("POST", "/v1/chat/completions"): ("openai", "complete", None),
    ("POST", "/v1/messages"): ("anthropic", "complete", None),
}
PATTERNS = [(method, re.compile(path), *rest) for method, path, *rest in ROUTES]


class World:
    """All that a server holds; the whole of it lives in one thread."""

    def __init__(self, settings):
        self.settings = settings
        self.faults = Faults(settings["faults"])
        self.limit = Limit(settings["limit"])
        self.books = Books()
        self.habits = None
        self.files = {}  # id -> (what is told of it, its bytes)
        self.batches = {}  # id -> Batch, in the order in which they were made
        # made once where there is no limit, for they never change
        self.headers = {name: self.limit.headers(name) for name in ("openai", "anthropic")}

    def change(self, changes):
        """Take over changed settings, or ValueError and none of them."""
        settings = changed(self.settings, changes)
        if settings["write"] not in WRITE:
            raise ValueError(f"unknown write {settings['write']!r}; known: {', '.join(WRITE)}")
        faults, limit = Faults(settings["faults"]), Limit(settings["limit"])
        self.settings = settings
        if "faults" in changes:
            self.faults = faults
        if "habits" in changes:
            self.habits = None if changes["habits"] is None else Habits(changes["habits"])
        if "limit" in changes:
            self.limit = limit
            self.headers = {name: limit.headers(name) for name in self.headers}

    def told(self, protocol):
        """The rate limit's headers."""
        return self.limit.headers(protocol) if self.limit.bounded else self.headers[protocol]

    def store(self, data, filename, purpose):
        """Keep a file at OpenAI; returns its id."""
        name = f"file-{next(number):022d}"
        self.files[name] = (
            {
                "object": "file",
                "id": name,
                "purpose": purpose,
                "filename": filename,
                "bytes": len(data),
                "created_at": int(time.time()),
                "expires_at": None,
                "status": "processed",
                "status_details": None,
            },
            data,
        )
        return name


async def handle(world, request):
    """Answer one request, at any endpoint."""
    if request.path.startswith("/control/"):
        return await control(world, request)
    protocol, place, argument = find(request)
    entry = f"{protocol} {place}"
    books = world.books
    books.received[entry] += 1
    online = place == "complete"
    if online:
        books.in_flight += 1
        books.peak = max(books.peak, books.in_flight)
    try:
        status, body, headers, kind = await answer(world, request, protocol, place, argument)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        gone = request.transport is None or request.transport.is_closing()
        if online and status == 200:
            if gone:  # the client has not waited; this is billed all the same
                kind = "abandoned"
            books.answered += kind not in ("abandoned", "reset", "drop", "malformed")
        books.kinds[entry][kind] += 1
        books.statuses[entry][status] += 1
        return await send(request, status, data, headers, kind)
    finally:
        if online:
            books.in_flight -= 1


def find(request):
    """(protocol, endpoint, id in the path); the endpoint is "nowhere" for an unknown path."""
    if quick := QUICK.get((request.method, request.path)):
        return quick
    headers = request.headers
    anthropic = "anthropic-version" in headers or "x-api-key" in headers
    for method, pattern, protocol, place in PATTERNS:
        match = pattern.fullmatch(request.path)
        if match and method == request.method:
            protocol = protocol or ("anthropic" if anthropic else "openai")
            return protocol, place, match[1] if match.groups() else None
    return "anthropic" if anthropic else "openai", "nowhere", None


async def answer(world, request, protocol, place, argument):
    """(status, body, headers, kind): all that is said in reply, before the transport's faults."""
    headers = {"content-type": JSON}
    mark = f"{next(number):024d}"
    headers |= {"x-request-id": mark} if protocol == "openai" else {"request-id": f"req_{mark}"}
    if place == "complete":
        headers |= world.told(protocol)
    fault = None
    try:
        key = given(request, protocol)
        if world.settings["key"] not in (None, key):
            hidden = f"{key[:8]}****"
            refusal = error(protocol, "401", key=hidden)
            refusal.kind = "key"
            raise refusal
        upload = place == "upload"
        raw = b"" if upload else await request.read()
        if world.faults.entries:
            text = request.path.encode() + b"\n" + raw
            fault = next(iter(world.faults.striking(protocol, place, text)), None)
        if fault:
            refusal = struck(protocol, fault, key=key)
            if refusal:
                raise refusal
            if fault["fault"] == "hang":
                await hang(request, fault.get("seconds", 24 * 60 * 60))
                raise Refusal("hang", 0, b"")
        body = await request.post() if upload else parsed(protocol, raw)
        call = SimpleNamespace(
            protocol=protocol, body=body, argument=argument, fault=fault, request=request
        )
        status, told, more = await ENDPOINTS[place](world, call)
        return status, told, headers | more, fault["fault"] if fault else "ok"
    except Refusal as refusal:
        if place == "complete" and world.limit.bounded:
            headers |= world.told(protocol)
        return refusal.status, refusal.body, headers | refusal.headers, refusal.kind


def given(request, protocol):
    """The key that a request brings."""
    if protocol == "anthropic" and "x-api-key" in request.headers:
        return request.headers["x-api-key"]
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def parsed(protocol, raw):
    """A request's JSON body, or None where there is none."""
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        text = "We could not parse the JSON body of your request."
        raise error(protocol, "unfit", message=text) from None


async def hang(request, seconds):
    """Say nothing, until the client goes away or the seconds are over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and request.transport and not request.transport.is_closing():
        await asyncio.sleep(0.05)


async def send(request, status, data, headers, kind):
    """Put an answer on the wire, or spoil it there."""
    if kind in ("hang", "drop"):
        cut(request)
        return web.Response()  # goes nowhere
    if kind == "malformed":
        data = data[: len(data) // 2]
    if kind == "reset":
        half = web.StreamResponse(status=status, headers=headers)
        half.content_length = len(data)
        await half.prepare(request)
        await half.write(data[: len(data) // 2])
        await asyncio.sleep(0.01)  # lets the client read it before the reset discards it
        cut(request)
        return half
    return web.Response(status=status, body=data, headers=headers)


def cut(request):
    """Close the connection with a TCP reset."""
    if request.transport:
        wire = request.transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()


# One function for each endpoint: (world, call) -> status, body, further headers.


async def complete(world, call):
    settings = world.settings
    reply = compose(settings, call.protocol, call.body, call.fault)
    kind, wait = world.limit.take(reply.input + reply.output)
    if kind:
        told = {"type": kind} if call.protocol == "openai" else {}
        refusal = error(call.protocol, "429", model=call.body["model"], **told)
        refusal.kind = "limit"
        if world.limit.retry_after:
            refusal.headers["retry-after"] = str(int(wait) + 1)
            if call.protocol == "openai":
                refusal.headers["retry-after-ms"] = str(int(wait * 1000) + 1)
        raise refusal
    wait = settings["latency"] + settings["jitter"] * int(reply.identity[:8], 16) / 2**32
    if wait:
        await asyncio.sleep(wait)
    if spoilt := world.habits and world.habits.spoil_completion(call.protocol, reply):
        await send_spoilt(world, call.body, reply, spoilt)
    world.books.bill("online", reply)
    return 200, reply.body, world.told(call.protocol) if world.limit.bounded else {}


async def send_spoilt(world, body, reply, spoilt):
    """Raise a mutations.Spoilt in place of a completion, billed as it says."""
    if spoilt.billed:
        world.books.bill("online", reply)
        if not spoilt.clear:
            world.books.doubt("online", body)
    await asyncio.sleep(spoilt.delay)
    kind = "reset" if spoilt.cut else "spoilt"
    raise Refusal(kind, spoilt.status, spoilt.body, spoilt.headers)


async def models(world, call):
    names = list(world.settings["models"]) or ["gpt-4o-mini", "claude-3-5-haiku-20241022"]
    listed = [_model(call.protocol, name) for name in names]
    if call.protocol == "openai":
        return 200, {"object": "list", "data": listed}, {}
    return 200, _page(listed), {}


async def model(world, call):
    known = world.settings["models"]
    if known and call.argument not in known:
        raise error(call.protocol, "404", model=call.argument)
    return 200, _model(call.protocol, call.argument), {}


def _model(protocol, name):
    if protocol == "openai":
        return {"id": name, "object": "model", "created": 1721172741, "owned_by": "system"}
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2024-10-22T00:00:00Z",
        "lifecycle": "active",
    }


async def upload(world, call):
    fields = call.body
    if "file" not in fields or fields.get("purpose") != "batch":
        raise error("openai", "unfit", message="'file' and purpose 'batch' are required")
    data = fields["file"].file.read()
    if len(data) > (world.settings["batch"]["bytes"] or 200 * 10**6):
        raise error("openai", "unfit", message="The file is too large.")
    name = world.store(data, fields["file"].filename, "batch")
    return 200, world.files[name][0], {}


async def file(world, call):
    return 200, _kept(world, call)[0], {}


async def content(world, call):
    return 200, _kept(world, call)[1], {"content-type": "application/octet-stream"}


def _kept(world, call):
    if call.argument not in world.files:
        raise error("openai", "unknown", message=f"No such File object: {call.argument}")
    return world.files[call.argument]


async def create(world, call):
    body, failure = call.body or {}, None
    if call.protocol == "openai":
        if body.get("input_file_id") not in world.files:
            text = f"No such File object: {body.get('input_file_id')}"
            raise error("openai", "unfit", message=text, param="input_file_id")
        items, failure = read_openai(world.files[body["input_file_id"]][1])
    else:
        size = int(call.request.headers.get("content-length", 0))
        if size > (world.settings["batch"]["bytes"] or 256 * 10**6):
            raise error("anthropic", "large")
        items = read_anthropic(world, body)
    faults = world.faults.striking(call.protocol, "batch", b"")
    if call.protocol == "anthropic" and any(fault["fault"] == "failed" for fault in faults):
        raise error("anthropic", "quota")  # nothing fails later there
    batch = Batch(world, call.protocol, items, faults, body, failure)
    world.batches[batch.id] = batch
    world.books.batches[call.protocol] += 1
    return 200, batch.told(_url(call)), {}


def _url(call):
    return f"http://{call.request.host}"


def _batch(world, call):
    batch = world.batches.get(call.argument)
    if batch is None or batch.protocol != call.protocol:
        text = f"No batch found with id '{call.argument}'."
        raise error(call.protocol, "unknown", message=text)
    return batch


async def poll(world, call):
    batch = _batch(world, call)
    batch.advance(polled=True)
    wait = world.settings["batch"]["retry_after"]
    hasten = call.protocol == "openai" or batch.ended or wait is None
    told = batch.told(_url(call))
    if world.habits:
        told = world.habits.spoil_status(call.protocol, told)
    return 200, told, {} if hasten else {"retry-after": str(wait)}


async def list_(world, call):
    query = call.request.query
    after = query.get("after" if call.protocol == "openai" else "after_id")
    found = [batch for batch in world.batches.values() if batch.protocol == call.protocol][::-1]
    names = [batch.id for batch in found]
    start = names.index(after) + 1 if after in names else 0
    end = start + int(query.get("limit", 20))
    for batch in found[start:end]:
        batch.advance()
    told = [batch.told(_url(call)) for batch in found[start:end]]
    page = _page(told, more=end < len(found))
    return 200, ({"object": "list"} if call.protocol == "openai" else {}) | page, {}


def _page(listed, more=False):
    ends = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]} if listed else {}
    return {"data": listed, "first_id": None, "last_id": None, "has_more": more} | ends


async def results(world, call):
    batch = _batch(world, call)
    if not batch.ended:
        text = f"Batch {batch.id} has no results before it has ended."
        raise error("anthropic", "unknown", message=text)
    lines = "".join(f"{line}\n" for line in batch.good)
    return 200, lines.encode(), {"content-type": "application/x-jsonl"}


async def cancel(world, call):
    batch = _batch(world, call)
    if batch.ended and call.protocol == "openai":
        text = f"Cannot cancel a batch with status '{batch.status}'."
        raise error("openai", "late", message=text)
    batch.cancel()
    return 200, batch.told(_url(call)), {}


async def nowhere(world, call):
    text = f"Invalid URL ({call.request.method} {call.request.path})"
    raise error(call.protocol, "unknown", message=text)


ENDPOINTS = [complete, models, model, upload, file, content, create, poll, list_, results, cancel]
ENDPOINTS = {function.__name__.rstrip("_"): function for function in [*ENDPOINTS, nowhere]}


async def control(world, request):
    """The control channel: no key, no faults, not in the books."""
    if request.path == "/control/books":
        told = world.books.read(bodies=request.query.get("bodies") == "1")
    elif request.path == "/control/settings":
        try:
            if request.method == "POST":
                world.change(await request.json())
        except (ValueError, KeyError, TypeError) as wrong:
            return web.Response(status=400, text=str(wrong))
        told = world.settings
    elif request.path == "/control/reset" and request.method == "POST":
        flying = world.books.in_flight
        world.books.__init__()
        world.books.in_flight = world.books.peak = flying
        told = {}
    else:
        return web.Response(status=404, text="known: books, settings, reset")
    return web.json_response(told)


async def serve(world, port, with_parent):
    """Listen on the loopback, print the address, and serve until stopped."""
    loop = asyncio.get_running_loop()

    def make(message, payload, protocol, writer, task):
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=HUGE)

    server = web.Server(
        lambda request: handle(world, request), request_factory=make, access_log=None
    )
    listener = await loop.create_server(server, "127.0.0.1", port, backlog=4096)
    print(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", flush=True)
    if with_parent:
        await loop.run_in_executor(None, sys.stdin.read)
        listener.close()
        await server.shutdown(0.1)
    else:
        await asyncio.Event().wait()


def main():
    """The command line; `--settings` is a JSON object, the other options stand before it."""
    parser = argparse.ArgumentParser(prog="servers", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency", type=float)
    parser.add_argument("--write", choices=list(WRITE))
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, see control.py")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin ends")
    options = parser.parse_args()
    changes = {name: getattr(options, name) for name in ("latency", "write")}
    world = World(SETTINGS)
    try:
        world.change(
            {name: value for name, value in changes.items() if value is not None} | options.settings
        )
    except ValueError as wrong:
        parser.error(str(wrong))
    # each client's connection is an open file
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        asyncio.run(serve(world, options.port, options.with_parent))
    except KeyboardInterrupt:
        sys.exit(0)
