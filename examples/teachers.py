"""Stand-ins for the generators and the judge of the examples, so that they run without a key.

    python examples/teachers.py [PORT]  # at http://127.0.0.1:8100/v1, until it is stopped

They speak OpenAI's chat completions and answer by rule: a careful generator is right, a hasty one
in 45 % of its replies is not. An example's real.yaml names real models in their place.
"""

import hashlib
import importlib.util
import json
import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8100


def load_tasks(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / name / "tasks.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TASKS = {name: load_tasks(name) for name in ("sql", "german")}


def reply(body):
    """The text of a model named EXAMPLE-careful, EXAMPLE-hasty or EXAMPLE-judge."""
    example, _, kind = body["model"].partition("-")
    prompt = body["messages"][-1]["content"]
    if kind == "judge":
        return TASKS[example].judge(prompt)
    asked = json.dumps([body["messages"], body.get("seed"), kind])
    rng = random.Random(hashlib.sha256(asked.encode()).hexdigest())
    return TASKS[example].reply(rng, prompt, kind == "careful")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        models = [f"{name}-{kind}" for name in TASKS for kind in ("careful", "hasty", "judge")]
        self.send_json({"object": "list", "data": [{"id": one} for one in models]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = reply(body)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        asked = sum(len(one["content"].split()) for one in body["messages"])
        usage = {"prompt_tokens": asked, "completion_tokens": len(text.split())}
        told = {"id": "1", "object": "chat.completion", "model": body["model"]}
        self.send_json(told | {"choices": [choice], "usage": usage})

    def send_json(self, told):
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Say nothing of each request."""


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else PORT), Handler)
    place = f"http://127.0.0.1:{server.server_port}/v1"
    print(f"the examples' stand-ins answer at {place}; stop with Ctrl-C", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
