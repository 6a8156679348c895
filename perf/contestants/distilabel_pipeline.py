"""distilabel: rows into TextGeneration, whose batch size is what it keeps in flight.

A batch ends before the next one starts, so the step is shared by REPLICAS processes, each with its
part of the concurrency: while one waits for the last of its batch, the others work. Cache and raw
inputs and outputs are off.
"""

from common import KEY, MODEL, SAMPLING, save, task
from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts, StepResources
from distilabel.steps.tasks import TextGeneration

REPLICAS = 4  # of 1, 2, 4 and 8 processes, 8 are faster at 256 and slower at 64, start-up included


def main():
    url, prompts, concurrency, output = task()
    sampling = {
        "max_new_tokens": SAMPLING["max_tokens"],
        "temperature": SAMPLING["temperature"],
    }
    with Pipeline(cache_dir=output.parent / "distilabel") as pipeline:
        load = LoadDataFromDicts(
            data=[{"instruction": prompt} for prompt in prompts], batch_size=concurrency
        )
        write = TextGeneration(
            llm=OpenAILLM(model=MODEL, base_url=url, api_key=KEY, generation_kwargs=sampling),
            input_batch_size=concurrency // REPLICAS,
            resources=StepResources(replicas=REPLICAS),
            add_raw_input=False,
            add_raw_output=False,
        )
        load >> write
    done = pipeline.run(use_cache=False)
    save(done["default"]["train"]["generation"], output)


if __name__ == "__main__":  # its steps are processes
    main()
