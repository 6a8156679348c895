"""Generators, one model for each backend."""

from typing import Annotated, Any, Literal

from pydantic import Field

from agorabench.config.models.base import (
    Count,
    Domain,
    MaxTokens,
    Model,
    Name,
    NotNegative,
    OrAbsent,
    Positive,
    Section,
    Temperature,
    Text,
    TopP,
)
from agorabench.config.models.sources import Pairs

Address = Annotated[
    str,
    Field(
        pattern="^https?://[^ @/?#]+([/?#][^ ]*)?$",
        title="an address (http:// or https://, without user and password)",
    ),
]
EnvironmentVariable = Annotated[
    str,
    Field(
        pattern="^[A-Za-z_][A-Za-z0-9_]*$",
        title="the name of an environment variable (letters, digits and '_')",
        description="Name of the environment variable that holds the key; null where none is "
        "needed.",
    ),
]

Family = Annotated[
    Text,
    Field(
        description="Models that are related to it say the same; a warning stands where one judges "
        "what another has made. Absent: by maker, where the model's name tells."
    ),
]


class ApiSampling(Section):
    """How replies are sampled; null leaves a parameter out, for models that refuse it."""

    temperature: Temperature | None = 1.0
    top_p: TopP | None = 0.9
    max_tokens: MaxTokens = 4096
    stop: bool = True
    """Whether requests name [END] as stop string; if not, replies are cut there afterwards."""
    seeded: bool = False
    """Whether every request carries a seed of its own; vLLM's server takes one."""


class Batch(Section):
    """Limits of one batch, of mode batch."""

    requests: Count = 50000
    """Most requests in one batch."""
    bytes: Count = 100000000
    """Most bytes in one batch."""
    tokens: Count | None = None
    """Most prompt tokens, estimated, in all open batches of one job; null: as many as the provider
    takes."""
    poll: Positive = 60.0
    """Seconds between looks at an open batch."""
    probe: bool = True
    """Whether the first of a hundred or more requests is sent online, at its full price, before the
    first batch: what cannot be read is then found for the price of one."""


class Price(Section):
    """What its tokens cost."""

    input: NotNegative = 0.0
    """USD per million prompt tokens."""
    output: NotNegative = 0.0
    """USD per million completion tokens."""


class ApiPrice(Price):
    """What tokens cost; zeros for a server of one's own."""

    input: NotNegative
    output: NotNegative
    cached_input: NotNegative | None = None
    """USD per million prompt tokens that the provider reports as cached; null: as the others."""
    batch: NotNegative = 0.5
    """Factor on both for replies that came in a batch."""


class ApiGenerator(Section):
    """A model behind an endpoint."""

    backend: str
    model: Text
    """The model's name at the endpoint."""
    family: Family = OrAbsent
    base_url: Address
    key: EnvironmentVariable | None
    headers: dict[str, EnvironmentVariable] = {}
    """Further headers of every request, and the environment variables with their values; with key
    null, they take the place of the usual one."""
    query: dict[str, str] = {}
    """Further parameters of every address, such as api-version."""
    mode: Literal["online", "batch"] = "online"
    """online: request by request; batch: through the provider's batch interface, which takes up to
    a day and costs less."""
    sampling: ApiSampling = {}
    extra: dict[str, Any] = {}
    """Further parameters of every request, sent as they are."""
    structured: str = "json_schema"
    """Structured output that requests for JSON replies ask for."""
    finish_reasons: dict[str, Literal["stop", "length"]] = {}
    """What further finish reasons of the endpoint mean, in lower case: stop, a whole reply, or
    length, one that is cut."""
    answers_as: Text | None = None
    """Name that replies give as their model where it is neither the one requested, nor a dated
    snapshot of it; another name stops the work."""
    concurrency: Count = 64
    """Most requests of one job under way at once; the provider's limits are found by trying."""
    timeout: Positive = 600.0
    """Seconds after which a request without a whole reply is tried again."""
    patience: Positive = 1800.0
    """Seconds without any response at all after which a job stops."""
    batch: Batch = {}
    give_up_after: Count = 48
    """Replies, all of them rejected for one reason, after which a set is given up; twice as many
    where the reasons differ. One valid reply ends the trial."""
    price: ApiPrice
    max_usd: Positive | None = None
    """Most that this generator may cost in all, in USD; null means no limit."""


class OpenaiGenerator(ApiGenerator):
    """Any endpoint that speaks OpenAI's chat completions."""

    backend: Literal["openai"]
    base_url: Address = "https://api.openai.com/v1"
    """Address of the endpoint, with the /v1 that most end in."""
    key: EnvironmentVariable | None = "OPENAI_API_KEY"
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    length_key: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    """Parameter that max_tokens is sent as; auto means max_completion_tokens at OpenAI itself and
    max_tokens elsewhere."""


class AnthropicGenerator(ApiGenerator):
    """Anthropic's messages."""

    backend: Literal["anthropic"]
    base_url: Address = "https://api.anthropic.com"
    """Address of the endpoint, without /v1."""
    key: EnvironmentVariable | None = "ANTHROPIC_API_KEY"
    structured: Literal["json_schema", "none"] = "json_schema"


class LocalSampling(Section):
    """How replies are sampled."""

    temperature: Temperature = 1.0
    top_p: TopP = 0.9
    max_tokens: MaxTokens = 4096


class LocalGenerator(Section):
    """A model that the job itself loads."""

    backend: str
    model: Model
    family: Family = OrAbsent
    sampling: LocalSampling = {}
    give_up_after: Count = 48
    """Replies, all of them rejected for one reason, after which a set is given up; twice as many
    where the reasons differ. One valid reply ends the trial."""
    price: Price = {}


class VllmGenerator(LocalGenerator):
    """A model run by vLLM in the job itself."""

    backend: Literal["vllm"]
    gpus: Count = 1
    """GPUs that the model is split over (tensor parallel)."""
    max_length: Count | None = None
    """Longest prompt and completion together, in tokens; null means the model's own."""
    engine: dict[str, Any] = {}
    """Further arguments of vLLM's engine."""
    python: Text | None = None
    """Interpreter of the environment that has vLLM (envs/vllm.txt); null means the one that runs
    the scripts."""
    batch_size: Count = 512
    """Most requests under way at once."""
    parameters: Positive | None = None
    """Billions of parameters, for the GPU hours in the plan and jobs' memory."""
    active: Positive | None = None
    """Billions of parameters active per token, of a mixture of experts, for the GPU hours in the
    plan, at most parameters, which must then be given too; null means all."""


class TransformersGenerator(LocalGenerator):
    """A model run by the transformers library."""

    backend: Literal["transformers"]
    batch_size: Count = 64
    """Requests in one forward pass."""


class DatasetGenerator(Section):
    """Pairs that already exist; they are validated like replies."""

    backend: Literal["dataset"]
    data: Annotated[dict[Domain, Pairs], Field(min_length=1)]
    """Existing pairs of each domain."""


Share = Annotated[float, Field(gt=0, lt=1, description="Share of the pairs.")]


class MixtureGenerator(Section):
    """Sets of other generators, mixed pair by pair; no model is queried again."""

    backend: Literal["mixture"]
    of: Annotated[dict[Name, Share], Field(min_length=1)]
    """Generators that are mixed, and their shares of the pairs, which add up to 1."""


Generator = Annotated[
    OpenaiGenerator
    | AnthropicGenerator
    | VllmGenerator
    | TransformersGenerator
    | DatasetGenerator
    | MixtureGenerator,
    Field(
        discriminator="backend",
        description="One generator; backend decides which other keys it has.",
    ),
]
