"""A local model through Hugging Face transformers, on CPU or one GPU (models/generate.py).

The random numbers of each reply are seeded by the request's fingerprint.
"""

from agorabench.llm.request import END
from agorabench.models.generate import Engine
from agorabench.models.weights import model_identity


def connect(entry, threads=1, batch_size=64, **_):
    """The generator of a config entry: a model folder or hub id, and its sampling."""
    return Generator(entry, threads, batch_size)


class Generator:
    """A chat model that answers requests batch by batch, in the order asked."""

    def __init__(self, entry, threads, batch_size):
        self.identity = model_identity(entry["model"])
        self.sampling = entry["sampling"]
        self.batch_size = batch_size
        self._arguments = entry["model"], threads
        self._engine = None

    def close(self):
        """Forget the model."""
        self._engine = None

    def complete(self, queue):
        """Yield lists of replies; the model is loaded at the first request."""
        other = None  # the first request that is sampled otherwise
        while other or queue:
            batch, other = [other or queue.popleft()], None
            sampling = batch[0].get("sampling", self.sampling)
            while len(batch) < self.batch_size and not other and queue:
                request = queue.popleft()
                if request.get("sampling", self.sampling) == sampling:
                    batch.append(request)
                else:
                    other = request
            if self._engine is None:
                self._engine = Engine(*self._arguments)
            prompts = [self._engine.chat(request["messages"]) for request in batch]
            seeds = [int(request["fingerprint"][:16], 16) for request in batch]
            replies = self._engine.generate(prompts, seeds, stop=[END], **sampling)
            yield [
                {"fingerprint": request["fingerprint"], **reply}
                for request, reply in zip(batch, replies, strict=True)
            ]
