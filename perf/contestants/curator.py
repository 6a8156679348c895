"""bespokelabs-curator: an LLM subclass of a prompt and a parser, over a list of rows.

Its limits a minute are set where they cannot bind, so that `max_concurrent_requests` alone paces
it; cache, telemetry, viewer and rich display are off (see its environment in generate.py).
"""

import os
from importlib.util import find_spec
from pathlib import Path

from common import KEY, MODEL, SAMPLING, save, task

# It counts tokens with an encoding that tiktoken would download; litellm, which curator needs,
# ships that very file. Set before tiktoken is first asked.
_LITELLM = Path(find_spec("litellm").origin).parent
os.environ["TIKTOKEN_CACHE_DIR"] = str(_LITELLM / "litellm_core_utils" / "tokenizers")

from bespokelabs import curator  # noqa: E402


class Writer(curator.LLM):
    """One reply a row."""

    def prompt(self, row):
        return row["instruction"]

    def parse(self, row, response):
        return {"reply": response}


def main():
    url, prompts, concurrency, output = task()
    writer = Writer(
        model_name=MODEL,
        backend="openai",
        generation_params=SAMPLING,
        backend_params={
            "base_url": url,
            "api_key": KEY,
            "max_concurrent_requests": concurrency,
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 100_000_000_000,
        },
    )
    rows = [{"instruction": prompt} for prompt in prompts]
    done = writer(rows, working_dir=str(output.parent / "curator"))
    save(done.dataset["reply"], output)


if __name__ == "__main__":
    main()
