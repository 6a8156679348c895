"""data-agora, the original pipeline: response generation, one thread per request in flight.

It is called as its own agora_scripts/run.py calls it, but for two things in its favour: the prompt
is the seed's instruction and nothing else, and the validator accepts everything (its own would
need the tokenizer of Llama 3.1 from the network and tokenize each reply).
"""

from common import KEY, MODEL, SAMPLING, save, task
from data_agora import Agora, AgoraConfig
from data_agora.core.llms.openai import OpenAILLM
from data_agora.core.parsers import ResponseGenerationParser
from data_agora.core.prompt_loaders import ResponseGenerationPromptLoader
from data_agora.core.validators import Validator

FORMATS = {
    "test_input_placeholder": "<input>",
    "test_input_trigger": "INPUT:",
    "test_output_trigger": "OUTPUT:",
    "stop_phrase": "[END]",
}


class Accept(Validator):
    """Every pair is valid."""

    def validate(self, instruction, response):
        return True


def main():
    url, prompts, concurrency, output = task()
    agora = Agora(
        llm=OpenAILLM(model_name=MODEL, api_key=KEY, api_base=url),
        placeholder_formats=FORMATS,
        prompt_loader=ResponseGenerationPromptLoader(
            prompt_template="<input>",
            seed_data=[{"instruction": prompt} for prompt in prompts],
            placeholder_formats=FORMATS,
        ),
        parser=ResponseGenerationParser(),
        validator=Accept(),
        sampling_params=SAMPLING,
        config=AgoraConfig(show_progress=False),
    )
    rows = agora.run(
        num_instances=len(prompts),
        num_threads=concurrency,
        output_file=str(output.with_suffix(".agora.json")),
    )
    save((row["response"] for row in rows), output)


if __name__ == "__main__":
    main()
