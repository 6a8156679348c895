"""Loopback servers that speak the OpenAI and the Anthropic protocol, with faults and honest books.

    with servers.start(write="echo", faults=[{"fault": "429", "every": 5}]) as server:
        openai.OpenAI(base_url=server.openai, api_key=server.key)
        anthropic.Anthropic(base_url=server.anthropic, api_key=server.key)
        server.books()["billed"]

By hand, from tests/: python -m servers --port 8000 --latency 0.2 --write echo
Settings are control.SETTINGS; faults are control.FAULTS and control.Faults.
"""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from .control import SETTINGS
from .providers import identity

__all__ = ["Server", "identity", "start"]


class Server:
    """A running server, seen from outside; `url` has no path."""

    def __init__(self, url, key):
        self.url = self.anthropic = url
        self.openai = f"{url}/v1"
        self.key = key

    def books(self, bodies=False):
        """The books (see control.Books); with `bodies` also identity -> times billed."""
        return self._ask(f"/control/books?bodies={int(bodies)}")

    def set(self, **settings):
        """Change settings; all of them are returned. ValueError says which one is wrong.

        Faults and the limit begin anew where they are given, and only there.
        """
        return self._ask("/control/settings", settings)

    def reset(self):
        """Begin empty books. Files and batches stay, as do settings and counts of faults."""
        return self._ask("/control/reset", {})

    def _ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from None


@contextmanager
def start(**settings):
    """A server in a process of its own; it ends with the block, or with this process."""
    command = [sys.executable, "-m", "servers", "--with-parent", "--settings", json.dumps(settings)]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,  # its end tells the server that nobody is left to serve
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that an interrupt here does not reach it before its time
    )
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("the server did not start; its error is above")
        yield Server(url, settings.get("key", SETTINGS["key"]) or "any-key")
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
