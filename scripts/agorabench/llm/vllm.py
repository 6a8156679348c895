"""An open-weight model through vLLM's own engine, in this process: no server, no port.

The model is loaded once, at the first request that the journal cannot answer. Requests join and
leave the running batch one by one (continuous batching), so that a kill loses only what was under
way and a retry need not wait for a wave to end.

Every reply is drawn with random numbers of its own, seeded by the request's fingerprint. What is
left is rounding: the sums of a batch depend on its shape, so in half precision a close call between
two tokens can fall the other way next time. The environment variable VLLM_BATCH_INVARIANT=1 removes
that, more slowly, on the GPUs that vLLM has such kernels for.

vLLM wants other versions of its libraries than the rest of the pipeline: it has an environment of
its own, envs/vllm.txt, which the generator's `python` points to. So nothing is imported here that
this environment may lack.
"""

import os
from contextlib import suppress

from agorabench.errors import UserError
from agorabench.llm import errors
from agorabench.llm.request import END, Request
from agorabench.models import chat
from agorabench.models.gpus import lease_gpus
from agorabench.models.weights import model_identity

# "repetition" comes from a detector that an engine argument can turn on: the text was cut.
FINISH = {"stop": "stop", "length": "length", "repetition": "length"}


def connect(entry, threads=1, batch_size=64, **_):
    """The backend of a config entry. vLLM finds its processors itself: `threads` is unused.

    `batch_size` is how many requests are under way at most.
    """
    return Generator(entry, batch_size)


class Generator:
    """A chat model that answers requests in the order in which it is done with them."""

    def __init__(self, entry, batch_size):
        self.identity = model_identity(entry["model"])
        self.entry, self.batch_size = entry, batch_size
        self._engine = None

    def complete(self, queue):
        """Yield lists of reply rows for the requests of `queue`, a deque, as they are finished.

        Raises:
            UserError: the model cannot be loaded, it takes no such prompt, or the engine died.
        """
        if queue and self._engine is None:
            self._engine = Engine(self.entry, self.batch_size)
        under_way = {}  # the engine's number of a request -> its fingerprint
        try:
            while queue or under_way:
                rows = []
                while queue and len(under_way) < self.batch_size:
                    request = queue.popleft()
                    try:
                        under_way[self._engine.add_request(request)] = request["fingerprint"]
                    except errors.Refused as fault:
                        rows.append(errors.unanswered_row(request["fingerprint"], fault.reason))
                if under_way:
                    rows += [
                        reply_row(under_way.pop(output.request_id), output)
                        for output in self._engine.step()
                        if output.finished
                    ]
                if rows:
                    yield rows
        finally:
            # Where the caller gives up in the middle, what is left must not be answered later.
            if under_way:
                self._engine.abort_requests(under_way)

    def close(self):
        """Let go of the model."""
        self._engine = None


class Engine:
    """vLLM's engine with a loaded model."""

    def __init__(self, entry, batch_size):
        # Before the import, which reads them; a user who wants more output sets them.
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # it would report each use to its makers
        # By default the engine is a process of its own, which survives a kill -9 of this one and
        # keeps the GPU's memory, so that the next run cannot load (seen with 0.32). The workers of
        # several GPUs do notice and end.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        self.model, self.settings = entry["model"], entry["sampling"]
        lease_gpus(entry["gpus"])
        try:
            from vllm import LLM
        except ImportError as error:
            raise UserError(
                "the backend vllm needs an environment that has vLLM (envs/vllm.txt), named by "
                f"the generator's key 'python': {error_reason(error)}"
            ) from None
        try:
            self._llm = LLM(**engine_arguments(entry, batch_size))
        except Exception as error:  # from the hub's to CUDA's, the library raises dozens of kinds
            raise UserError(
                f"vLLM cannot load the model {self.model} on {entry['gpus']} GPU(s): "
                f"{error_reason(error)}"
            ) from None

    def add_request(self, request):
        """Queue a request; returns the number that its output will have as `request_id`.

        Raises:
            errors.Refused: this prompt is too long for the model; another may fit.
            UserError: no prompt will be taken.
        """
        from vllm import SamplingParams
        from vllm.exceptions import VLLMError
        from vllm.sampling_params import StructuredOutputsParams

        parameters = sampling_parameters(request, request.get("sampling", self.settings))
        if schema := request.get("schema"):
            parameters["structured_outputs"] = StructuredOutputsParams(json=schema)
        try:
            # The public way in for one conversation: the chat template is applied as vLLM's server
            # would, which for some models is not as transformers would.
            (number,) = self._llm.enqueue_chat(
                request["messages"], SamplingParams(**parameters), use_tqdm=False
            )
        except (VLLMError, ValueError) as error:
            fault = errors.classify_error(400, str(error))
            if isinstance(fault, errors.Refused):
                raise fault from None
            raise UserError(
                f"vLLM cannot query the model {self.model}: {error_reason(error)}"
            ) from None
        return number.partition("-")[0]  # vLLM adds random letters that the output does not have

    def step(self):
        """The engine's next outputs, finished or not.

        Not `LLM.chat` or `LLM.wait_for_completion`: they return when all is finished, so nothing
        could be journaled before and nothing could join.

        Raises:
            UserError: the engine died.
        """
        from vllm.exceptions import VLLMServerError

        try:
            return self._llm.llm_engine.step()
        except (VLLMServerError, RuntimeError) as error:  # the latter also from CUDA: no memory
            raise UserError(
                f"vLLM stopped in the middle of its work with {self.model}: {error_reason(error)}; "
                "replies are kept, and the same command goes on from there"
            ) from error

    def abort_requests(self, numbers):
        """Stop working on the requests of these numbers."""
        from vllm.exceptions import VLLMServerError

        with suppress(VLLMServerError):  # a dead engine remembers nothing
            self._llm.llm_engine.abort_request(list(numbers))


class Answers:
    """A model that completes token ids, in the way of models.generate.Engine."""

    BATCH = 1024  # prompts at a time; the engine has as many under way as fit

    def __init__(self, model, gpus, precision="auto"):
        # As long as fits into memory: some take 131,072 tokens, which benchmarks come nowhere near.
        entry = {"model": model, "sampling": {}, "gpus": gpus, "max_length": -1}
        entry["engine"] = {"dtype": precision}
        engine = Engine(entry, batch_size=256)
        self._llm = engine._llm
        self.tokenizer = self._llm.get_tokenizer()

    def chat(self, messages):
        """Token ids of a conversation, up to where the assistant speaks."""
        return chat.prompt_tokens(self.tokenizer, messages)

    def plain(self, text):
        """Token ids of plain text."""
        return self.tokenizer(text)["input_ids"]

    def generate(
        self, prompts, seeds, *, max_tokens, temperature=1.0, top_p=1.0, repetition_penalty=1.0,
        stop=(),
    ):  # fmt: skip
        """Complete a batch of token-id `prompts`, one random seed each; as Engine.generate there.

        Raises:
            UserError: a prompt is too long for the model, or the engine died.
        """
        from vllm import SamplingParams

        settings = [
            SamplingParams(
                max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed % 2**60,
                repetition_penalty=repetition_penalty, stop=list(stop) or None,
            )
            for seed in seeds
        ]  # fmt: skip
        return [reply_row("", output) for output in self._generate(prompts, settings)]

    def likelihoods(self, prompts, continuations):
        """As Engine.likelihoods there.

        Raises:
            UserError: a prompt is too long for the model, or the engine died.
        """
        from vllm import SamplingParams

        pairs = [
            chat.continuation_tokens(self.tokenizer, *pair)
            for pair in zip(prompts, continuations, strict=True)
        ]
        settings = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=1)
        outputs = self._generate([context + more for context, more in pairs], settings)
        return [
            read_likelihood(more, output.prompt_logprobs)
            for (_, more), output in zip(pairs, outputs, strict=True)
        ]

    def _generate(self, prompts, settings):
        asked = [{"prompt_token_ids": list(ids)} for ids in prompts]
        try:
            return self._llm.generate(asked, settings, use_tqdm=False)
        except (ValueError, RuntimeError) as error:
            raise UserError(f"vLLM cannot answer: {error_reason(error)}") from None


def read_likelihood(tokens: list[int], told: list[dict]) -> dict:
    """{"logprob", "greedy"} of the last tokens of a prompt, from vLLM's `prompt_logprobs` of it."""
    own = [at[token] for token, at in zip(tokens, told[-len(tokens) :], strict=True)]
    return {"logprob": sum(one.logprob for one in own), "greedy": all(one.rank == 1 for one in own)}


def engine_arguments(entry: dict, batch_size: int) -> dict:
    """Arguments of the engine of a config entry, whose `engine` has the last word."""
    length = {"max_model_len": entry["max_length"]} if entry["max_length"] else {}
    return {
        "model": entry["model"],
        "tensor_parallel_size": entry["gpus"],
        "max_num_seqs": batch_size,  # no memory for more than are under way
        "use_tqdm_on_load": False,
        # Between the parts of JSON any white space is legal: seen was a model that wrote nothing
        # else until its last token. Compact JSON needs a named backend; this is vLLM's first.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        **length,
        **entry["engine"],
    }


def sampling_parameters(request: Request, settings: dict) -> dict:
    """vLLM's sampling parameters of a request, as plain values; `settings`: entry["sampling"]."""
    parameters = {key: settings[key] for key in ("temperature", "top_p", "max_tokens")}
    # 60 bits: vLLM keeps seeds in signed 64-bit integers, and -1 means none.
    parameters["seed"] = int(request["fingerprint"][:15], 16)
    if "schema" not in request:
        parameters["stop"] = [END]
    return parameters


def reply_row(fingerprint: str, output) -> dict:
    """The reply row of a finished request; `output` is vLLM's RequestOutput."""
    (completion,) = output.outputs
    usage = {"input": len(output.prompt_token_ids), "output": len(completion.token_ids)}
    if completion.finish_reason not in FINISH:  # "abort", "error": the engine gave it up
        return errors.unanswered_row(fingerprint, str(completion.finish_reason)) | {"usage": usage}
    return {
        "fingerprint": fingerprint,
        "reply": completion.text,
        "finish_reason": FINISH[completion.finish_reason],
        "usage": usage,
    }


def error_reason(error: Exception) -> str:
    """First line of an error's text; of pydantic's, what it says of the first value."""
    text = str(error)
    if hasattr(error, "errors"):
        first = error.errors()[0]
        text = ": ".join([*map(str, first["loc"][:1]), first["msg"].removeprefix("Value error, ")])
    return next(iter(text.strip().splitlines()), "") or type(error).__name__
