"""Every key of a configuration once: its type, bounds, default and meaning, as pydantic models."""

from typing import Annotated, Any, Literal

from pydantic import Field

from agorabench.config.models.base import (
    Axis,
    Commit,
    Count,
    Distinct,
    Domain,
    Marker,
    Method,
    Model,
    Name,
    OrAbsent,
    Pattern,
    Positive,
    RandomSeed,
    Section,
    Text,
    Whole,
)
from agorabench.config.models.evaluation import Benchmark, IntrinsicMetric
from agorabench.config.models.generators import Generator
from agorabench.config.models.sources import SeedSource
from agorabench.config.models.students import Student


class Tokenizer(Section):
    """Tokenizer that longest counts with."""

    model: Model
    revision: Commit | None = None
    """Its commit on the hub, 40 hexadecimal digits; null leaves it to the lock file."""


class Check(Section):
    """A validator with a parameter: one of these keys."""

    matches: Pattern | dict[Literal["instruction", "response"], Pattern] = OrAbsent
    """Regular expression (Python) that is found in the response, or {instruction, response}."""
    language: Text = OrAbsent
    """Language of both texts (a code of langdetect's, as de); shorter ones than 20 letters pass."""
    json_: bool | Text = Field(
        None, alias="json", validate_default=False, exclude_if=lambda value: value is None
    )
    """The response is JSON (true), and fits the JSON Schema in a file."""
    runs: Literal["python"] = OrAbsent
    """The response's code runs to its end in the sandbox, its own assertions too."""


Validator = str | Check


class DomainEntry(Section):
    """A domain of tasks."""

    title: Text | None = None
    """Its name in full, in the table of generators by methods and domains; null takes the key."""
    validators: Distinct[Validator] = ["length", "no_markers"]
    """Predicates of scripts/agorabench/generation/validators.py that a pair must pass, in order:
    names, and mappings of one with a parameter."""


class ReplyForm(Section):
    """The markers of a reply, each at the start of a line."""

    instruction: Marker | None = None
    """Before the instruction; null where the reply answers the seed's own."""
    response: Marker | None = None
    """Before the response; null where the whole reply is it."""


class MethodEntry(Section):
    """A method of generation: what a request shows, and what its reply is."""

    title: Text | None = None
    """Its name in tables and figures; null takes the key."""
    shows: Literal["examples", "instruction", "pair", "nothing"]
    """What of the seed data a meta-prompt shows. examples: {demonstrations}, several pairs of seeds
    and of earlier waves; instruction: one seed's {instruction}; pair: its {response} too; nothing:
    {theme} and {opening} only, which examples may have as well."""
    reply: ReplyForm = {}
    demonstrations: "Demonstrations | None" = None
    """Of a method that shows examples; null takes generation.demonstrations."""
    first_wave: Count | None = None
    """Of a method that shows examples; null takes generation.first_wave."""
    train_on_seeds: bool = False
    """Whether students also train on the seed data, unless generation.train_on_seeds is false."""


class Demonstrations(Section):
    """Demonstrations shown per request of a method that shows examples."""

    seed: Whole = 2
    """Demonstrations taken from the seed data."""
    generated: Whole = 1
    """Demonstrations taken from what earlier waves generated."""


class Generation(Section):
    """How replies are requested and which of them count."""

    attempts: Count = 10
    """Most replies requested for one instance before it is given up."""
    demonstrations: Demonstrations = {}
    """Demonstrations shown per request of a method that shows examples."""
    first_wave: Count = 64
    """Instances in the first wave, which has no generated demonstrations to show yet."""
    validators: dict[Domain, Distinct[Validator]] = {}
    """Validators of a domain, in the place of those that its entry in domains has."""
    train_on_seeds: bool = True
    """Whether students of methods with train_on_seeds also train on the seed data, as Table 1 of
    the paper says."""
    max_characters: Count = 20000
    """Longest instruction and response that validator length accepts, in characters."""
    duplicates: Literal["keep", "exact", "near"] = "keep"
    """Pairs that repeat an earlier pair of their set. keep: they count; exact, near: they are
    replaced. scripts/agorabench/generation/duplicates.py defines both."""
    overlap: Literal["keep", "drop"] = "keep"
    """Pairs that share 13 words in a row with a test item of their domain's benchmarks. keep: they
    count; drop: they are rejected."""
    system: Text | None = None
    """System message of every request to a generator; null means none."""


class DatasetCard(Section):
    """What the dataset card says that no other key does; see rule export."""

    title: Text = "AgoraBench data"
    """Name of the collection of sets."""
    license: Text = "other"
    """Its licence as the Hugging Face hub spells it; what the providers' terms allow is for you to
    find out."""
    languages: Axis[str] = ["en"]
    """Its languages, as ISO 639 codes."""


class Prompt(Section):
    """One meta-prompt."""

    folder: Text
    """Its folder, with a file for each method and domain: {method}/{domain}.md."""
    replies: Literal["text", "json"] = "text"
    """Form of the replies it asks for. text: markers and free text; json: an object with
    "instruction" and "response", through the provider's structured output where there is one."""


class Experiment(Section):
    """One experiment."""

    domains: Axis[Domain]
    """Domains."""
    methods: Axis[Method]
    """Generation methods."""
    generators: Axis[str]
    """Names from generators."""
    prompts: Axis[str]
    """Names from prompts; none if all generators are datasets, which need no meta-prompt."""
    sizes: Axis[Annotated[int, Field(ge=1, le=10_000_000)]]
    """Valid training pairs to generate."""
    seeds: Axis[RandomSeed]
    """Random seeds, each of a whole cell, its generation and its training."""
    students: Axis[str]
    """Names from students."""


class Config(Section):
    """AgoraBench configuration."""

    seed: RandomSeed = 1
    """Random seed of everything outside the matrix: the bootstrap, the samples of sets, and the
    replies of judges and of generators that solve benchmarks, which a change queries again."""
    bootstrap: Annotated[int, Field(ge=2, le=1_000_000)] = 2000
    """Bootstrap draws over benchmark items behind every interval."""
    max_usd: Positive | None = None
    """Most that all generators together may cost, in USD; null means no limit. Checked before every
    request against what is spent and what is under way."""
    preview: Whole = OrAbsent
    """Replies of each cell that `snakemake preview` asks for and shows; else prompts alone."""
    warm: bool = False
    """Run jobs of this machine as forks of a process that has already imported torch and
    transformers, on the CPU; worth it where imports cost more than the work, as in the
    miniature."""
    lock: Text = "config/sources.lock.json"
    """File of versions that the config leaves open and the first fetch finds out, and of the
    digests of what was fetched; keep it under version control."""
    sample_seed: RandomSeed = 1
    """Random seed of the rows that size takes."""
    tokenizer: Tokenizer | None = None
    keep_models: Literal["all", "scored"] = "all"
    """Which students keep their weights: all, or none once it has been scored (scored). A student
    whose weights are gone is trained again when a benchmark is added or changed."""
    sandbox: Literal["isolated", "limits"] = "isolated"
    """How code from models is run. isolated: no network, no environment, no writable file outside
    its own folder, and a refusal where the machine cannot give that; limits: only limits on time,
    memory, processes and output."""
    packages: list[Text] = ["numpy"]
    """Packages, as pip names them, that code from models may import beside the standard library,
    with what they require; installed where the pipeline's own are."""
    plugins: list[str] = []
    """Python that the config brings along, importable modules or .py files relative to the folder
    Snakemake runs in; scripts/agorabench/plugins.py says what they can offer."""
    mini: dict[str, Any] = {}
    """How the miniature's models are built; scripts/miniature knows its keys."""
    domains: dict[Name, DomainEntry] = {}
    """Domains, beside those of config/defaults.yaml."""
    methods: dict[Name, MethodEntry] = {}
    """Methods of generation, beside those of config/defaults.yaml."""
    seeds: Annotated[
        dict[
            Domain,
            Annotated[
                dict[Method, SeedSource],
                Field(min_length=1, description="Seed data of one domain."),
            ],
        ],
        Field(min_length=1),
    ]
    """Seed data of each domain and method."""
    benchmarks: Annotated[dict[Name, Benchmark], Field(min_length=1)]
    """Benchmarks, each of one domain."""
    generators: Annotated[dict[Name, Generator], Field(min_length=1)]
    """Generators, the models or data sets under test."""
    generation: Generation = {}
    dataset: DatasetCard = {}
    prompts: Annotated[dict[Name, Prompt], Field(min_length=1)]
    """Meta-prompts."""
    themes: dict[Domain, Annotated[Text, Field(description="Text file, one theme a line.")]] = {}
    """Themes that placeholder {theme} is drawn from."""
    openings: dict[
        Domain, Annotated[Text, Field(description="Text file, one opening word a line.")]
    ] = {}
    """Opening words that placeholder {opening} is drawn from."""
    students: Annotated[dict[Name, Student], Field(min_length=1)]
    """Students, each with the two models that PGR compares it to."""
    intrinsic: dict[Name, IntrinsicMetric] = {}
    """Intrinsic metrics, each measured of every generated set; target intrinsic, and part of a run
    without a target."""
    experiments: Annotated[dict[Name, Experiment], Field(min_length=1)]
    """Experiments, each a full matrix; a cell is one domain, method, generator, prompt, size and
    seed, a run one student on a cell."""
    missing: list[str] = []
    """What tables and report go on without, and name: students (STUDENT/CELL), solving generators
    (generators/NAME), benchmarks/NAME, intrinsic/NAME. Snakemake fills it in after a run in which
    jobs failed; the next run asks for them again."""
