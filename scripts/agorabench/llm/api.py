"""One request through a provider's official client, and its errors.

The modules openai and anthropic define a `Provider` each: the form of its requests and replies.
Concurrency, retries, batches and money are the same for all: online.py, batch.py, budget.py.
"""

import asyncio
import os
import re
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from agorabench.errors import UserError
from agorabench.llm import answers, errors
from agorabench.llm.request import Request

SECRET = re.compile("key|token|secret|sig|password", re.I)  # parameters of an address
PROBE_TIMEOUT = 20.0  # seconds, for the list of an endpoint's models


class BatchStatus(NamedTuple):
    """The status of a batch at its provider.

    `state` is "open", "completed", "expired", "cancelled" or "failed" (refused as a whole, `fault`
    says why); `done` counts its finished requests; `after` is the delay in seconds that the
    provider asked for, if it did; `result_ids` name the results.
    """

    state: str
    done: int
    after: float | None = None
    fault: errors.RequestFault | None = None
    result_ids: tuple[str, ...] = ()


class Provider:
    """One model behind one endpoint; `entry` is the generator's config.

    A subclass sets `path` and `key_header`, and defines `client_libraries`, `request_body`,
    `parse_body`, `read_usage`; and for batches, each with a synchronous client, and raising
    errors.RequestFault,

    named_batches                    whether a batch can be found by its name, not only by its size
    batch_task(request)              a request's item of a batch, a dict
    submit_batch(client, name, tasks)          make a batch; returns its id
    find_batches(client, name, size, since)    ids it may have, made since a Unix time, latest first
    batch_status(client, id)         the BatchStatus of a batch
    fetch_results(client, status)    the lines (bytes) of a batch that has ended
    parse_result(line)               fields of the reply row in a line's object
    cancel_batch(client, id)         ask for its end
    """

    path = key_header = ""
    named_batches = False

    def __init__(self, entry):
        self.entry = entry
        self.identity = entry["model"]
        self.finish_reasons = entry.get("finish_reasons", {})
        parts = urlsplit(entry["base_url"])
        # The libraries would put their paths behind a query.
        self.address = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        self.query = dict(parse_qsl(parts.query)) | entry.get("query", {})
        for name, value in self.query.items():
            if SECRET.search(name):
                answers.hide_secret(value)

    def api_key(self) -> str:
        """The key from the environment; text without meaning where none is needed.

        Raises:
            UserError: the variable is not set, or holds no key.
        """
        name = self.entry["key"]
        return "none" if name is None else self._read_secret(name)

    def _read_secret(self, name, form="[!-~]+"):
        key = os.environ.get(name, "").strip()
        needed = f"model '{self.entry['model']}' at {self.address} needs its key there"
        if not key:
            raise UserError(f"the environment variable {name} is not set; {needed}")
        if not re.fullmatch(form, key):  # the libraries would quote it in their errors
            raise UserError(f"the environment variable {name} holds more than a key; {needed}")
        for part in key.split():  # "Token ..." in a header of one's own
            answers.hide_secret(part)
        return key

    def client_arguments(self):
        """Arguments of both kinds of client; retries are online.py's.

        Raises:
            UserError: there is no key, or the environment's certificates or proxy are no use.
        """
        try:  # the official client would leave half an object behind, and its complaints
            self.client_libraries()[3].Client().close()
        except (OSError, ValueError, ImportError) as error:
            raise UserError(
                f"no connection to {self.address} can be made: {answers.scrub(str(error))}; look "
                "at SSL_CERT_FILE, SSL_CERT_DIR, HTTPS_PROXY and ALL_PROXY in the environment"
            ) from None
        headers = {
            header: self._read_secret(name, "[ -~]+")
            for header, name in self.entry.get("headers", {}).items()
        }
        return {
            "api_key": self.api_key(),
            "base_url": self.address,
            "max_retries": 0,
            "default_headers": headers,
            "default_query": self.query,
        }

    def check_request(self, request):
        """Have a request carry no key where there is none but in `headers`, and not follow a
        redirect to another host, which would get the prompts and the key.

        Raises:
            errors.Fatal: it goes there.
        """
        given = {name.lower() for name in self.entry.get("headers", {})}
        if given and self.entry["key"] is None and self.key_header.lower() not in given:
            request.headers.pop(self.key_header, None)
        own, target = urlsplit(self.address), urlsplit(str(request.url))
        secured = target.hostname == own.hostname and not (own.port or target.port)
        if target.netloc != own.netloc and not (secured and target.scheme == "https"):
            text = f"it redirects to {target.scheme}://{target.netloc}; if that answers, name it"
            raise errors.Fatal("redirected", f"{text} as base_url")

    def client_libraries(self):
        """(official client's module, its synchronous and asynchronous class, its HTTP library).

        Imported only here: a set whose replies are all journaled has no use for them.
        """
        raise NotImplementedError

    @property
    def client_library(self):
        """The official client's module."""
        return self.client_libraries()[0]

    def open_client(self, timeout: float | None = None):
        """A synchronous client, for batches and the list of models; `timeout` in seconds."""
        library, client, _, _ = self.client_libraries()
        arguments = self.client_arguments()  # first, as they look at the environment
        return client(
            **arguments,
            http_client=library.DefaultHttpxClient(event_hooks={"request": [self.check_request]}),
            timeout=timeout or self.entry["timeout"],
        )

    def open_async_client(self):
        """An asynchronous client on aiohttp, which takes half the CPU of the default transport."""
        library, _, client, http = self.client_libraries()
        arguments = self.client_arguments()  # first, as they look at the environment
        most = self.entry["concurrency"]  # aiohttp takes None for 100
        limits = http.Limits(max_connections=most, max_keepalive_connections=most)

        async def check_request(request):
            self.check_request(request)

        hooks = {"request": [check_request]}
        transport = library.DefaultAioHttpClient(limits=limits, event_hooks=hooks)
        return client(**arguments, http_client=transport, timeout=self.entry["timeout"])

    async def send_request(self, client, request: Request) -> tuple[dict, dict]:
        """Send one request; returns (fields of the reply row, headers about rate limits).

        Raises:
            errors.RequestFault: there is no reply, and what that means.
        """
        library, _, _, http = self.client_libraries()
        try:
            async with asyncio.timeout(self.entry["timeout"]):
                # Unparsed: building the library's objects takes as long as all of our own work.
                response = await client.post(
                    self.path, cast_to=http.Response, body=self.request_body(request)
                )
        except library.APIStatusError as error:
            raise self.status_fault(error) from None
        except (TimeoutError, library.APIConnectionError) as error:
            raise self.connection_fault(error) from None
        # Picked from the raw ones: the library's own headers are slow, and there are many.
        limits = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers.raw
            if b"ratelimit" in name.lower()
        }
        return self.read_content(response.content), limits

    def ask_once(self, client, request: Request) -> dict:
        """As `send_request`, with a synchronous client; returns the fields of the reply row."""
        cast_to = self.client_libraries()[3].Response
        with self.raising_faults():
            response = client.post(self.path, cast_to=cast_to, body=self.request_body(request))
        return self.read_content(response.content)

    def read_content(self, content: bytes) -> dict:
        """Fields of the reply row in a response; raises as `read_reply`."""
        try:
            body = answers.read_json(content)
        except ValueError:
            raise self.no_json_fault(content) from None
        return self.read_reply(body, content)

    def embedded_fault(self, error, body: dict) -> errors.RequestFault:
        """What an error inside a body with status 200 means, with what that says was taken."""
        fault = errors.classify_object(error)
        fault.usage = self.read_usage(body)
        return fault

    def no_json_fault(self, content: bytes) -> errors.Unreadable:
        """The RequestFault of a response with status 200 that is not JSON."""
        start = content.lstrip()[:20].lower()
        for kind, begins in (
            ("a web page", b"<"),
            ("an event stream", (b"data:", b"event:", b":")),
        ):
            if start.startswith(begins):
                text = f"it answers with {kind} in place of JSON; check base_url and extra"
                return errors.Unreadable(text, answers.keep_raw(content), hopeless=True)
        words = answers.keep_raw(content)[:200]
        return errors.Unreadable(f"not JSON: {words!r}", answers.keep_raw(content))

    def connection_fault(self, error) -> errors.RequestFault:
        """The RequestFault that an error of the asynchronous client's connection stands for."""
        import aiohttp

        # The library below the official client mistakes one kind for another; the lowest does not.
        known = (aiohttp.ClientError, TimeoutError, errors.RequestFault)
        while error.__cause__ and not isinstance(error, known):
            error = error.__cause__
        if isinstance(error, errors.RequestFault):
            return error
        if isinstance(error, TimeoutError):
            return errors.Transient("timeout", f"no reply in {self.entry['timeout']:g} s")
        # Fewer at a time: what breaks may have been paid for.
        if isinstance(error, aiohttp.ClientConnectorError):
            return errors.Transient("unreachable", str(error), crowded=True)
        return errors.Transient("connection", str(error), crowded=True)

    def status_fault(self, error) -> errors.RequestFault:
        """The RequestFault that an APIStatusError of the client library stands for."""
        response = error.response
        return errors.classify_error(response.status_code, error.body or "", response.headers)

    @contextmanager
    def raising_faults(self):
        """Turn errors of a synchronous call of the client library into errors.RequestFault."""
        library = self.client_library
        try:
            yield
        except library.APIStatusError as error:
            raise self.status_fault(error) from None
        except library.APITimeoutError:
            raise errors.Transient("timeout", f"no reply in {self.entry['timeout']:g} s") from None
        except library.APIConnectionError as error:
            if isinstance(error.__cause__, errors.RequestFault):
                raise error.__cause__ from None
            raise errors.Transient("connection", str(error.__cause__ or error)) from None
        except (library.APIError, ValueError, AttributeError, TypeError, RecursionError):
            # The library hands on what it cannot parse, as text or with attributes that are None.
            raise errors.Unreadable("a response that the protocol does not have") from None

    def read_reply(self, body: dict, content: bytes | None = None) -> dict:
        """Fields of the reply row in a response body, from the model that was queried; `content` is
        the response as it came.

        Raises:
            errors.RequestFault: the body is an error, no reply, or another model's.
        """
        if isinstance(body, list) and len(body) == 1:  # Google's errors
            body = body[0]
        error = errors.embedded_error(body) if isinstance(body, dict) else None
        try:
            fields = self.parse_body(body)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError):
            if error:
                raise self.embedded_fault(error, body) from None
            kept = answers.keep_raw(body if content is None else content)
            text = f"a body that the protocol does not have: {kept[:200]!r}"
            usage = self.read_usage(body) if isinstance(body, dict) else None
            raise errors.Unreadable(text, kept, usage=usage) from None
        if error and not fields["reply"]:
            raise self.embedded_fault(error, body)
        if not answers.is_expected_model(self.entry, fields["model"]):
            served = fields["model"]
            text = f"it answers as '{served}'; if that is right, set answers_as: {served}"
            raise errors.Fatal("wrong model", text, usage=fields["usage"], kept=fields)
        return fields

    def served_models(self, models: Iterable[str]) -> set[str] | None:
        """Names of the models that the endpoint serves, or None where it does not say; of `models`
        also those that it serves under another name.

        Raises:
            UserError: there is no key, it is refused, or the endpoint does not respond.
        """
        client = self.open_client(PROBE_TIMEOUT)
        listing = Future()

        def list_models():
            try:
                # Gemini's have a folder before the name that they are asked by.
                names = {model.id.removeprefix("models/") for model in client.models.list()}
                listing.set_result(names)
            except BaseException as error:
                listing.set_exception(error)

        # The library's time is between two bytes, and of one page.
        Thread(target=list_models, daemon=True).start()
        try:
            return listing.result(2 * PROBE_TIMEOUT) or None
        except TimeoutError:
            raise UserError(
                f"{self.address} does not end its list of models in {2 * PROBE_TIMEOUT:g} s"
            ) from None
        except self.client_library.APIStatusError as error:
            if error.status_code in (401, 403):
                raise errors.to_user_error(
                    self.status_fault(error), self.entry, self.address
                ) from None
            return None  # not every endpoint has a list of models
        except self.client_library.APIConnectionError as error:
            cause = answers.scrub(str(error.__cause__ or error))
            raise UserError(f"no response from {self.address}: {cause}") from None
        except (
            ValueError,
            AttributeError,
            TypeError,
            RecursionError,
            self.client_library.APIError,
        ):
            return None  # a list of another form, as Together's is
        finally:
            client.close()


def make_backend(provider: Provider, *, budget=None, state=None, **_):
    """The backend object of a Provider, online or in batches as its entry says.

    `state` is the file that remembers the batches that were submitted.
    """
    from agorabench.llm.batch import Batches
    from agorabench.llm.online import Online

    batches = Batches(provider, state, budget)
    # Online too, batches that are open from before are collected first: they are paid for.
    return batches if provider.entry["mode"] == "batch" else Online(provider, budget, batches)


def check_text(value) -> str:
    """A text that must be there; anything else is a malformed body."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return answers.scrub(value)
