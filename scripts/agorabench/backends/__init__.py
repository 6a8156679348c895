"""Where replies come from: one module per backend, found by the name in the config.

A backend module offers `connect(entry, threads, batch_size) -> object` with

    identity            str, what names the model in a reply's fingerprint
    complete(requests)  yields lists of replies, in batches, in any order

A request is {"fingerprint", "messages"}; a reply is {"fingerprint", "reply", "finish_reason"
("stop", "length", ...), "usage": {"input": tokens, "output": tokens}}. The backend decides how many
are in flight; the caller journals each batch before it uses it.
"""

from importlib import import_module


def connect(entry, threads=1, batch_size=64):
    """Open the backend that a generator's config `entry` names."""
    module = import_module(f"agorabench.backends.{entry['backend']}")
    return module.connect(entry, threads, batch_size)
