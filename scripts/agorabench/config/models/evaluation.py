"""What students and generated sets are measured by: benchmarks and intrinsic metrics."""

from typing import Annotated, Any, Literal

from pydantic import Field

from agorabench.config.models.base import (
    Axis,
    Commit,
    Count,
    Domain,
    MaxTokens,
    Model,
    NotNegative,
    OrAbsent,
    Pattern,
    Positive,
    Section,
    Temperature,
    Text,
    TopP,
    Whole,
)
from agorabench.config.models.sources import Fields, File, Source


class JudgeFiles(Section):
    """Further files that a protocol with a judge needs."""

    judge: File = OrAbsent
    """The judge's prompt."""
    control: File = OrAbsent
    """For alpaca_eval, the answers of the gamed baselines."""
    baseline: File = OrAbsent
    """For arena_hard, the baseline's answers."""


class Benchmark(Section):
    """One benchmark."""

    domain: Domain
    """Domain whose cells are scored on it."""
    protocol: Text
    """How items are prompted and graded: a module of scripts/agorabench/evaluation/benchmarks. Or
    unscored: no model is queried, generated sets are only compared with the items."""
    source: Source = OrAbsent
    """Where the items come from; of lm_eval its task says that."""
    task: Text = OrAbsent
    """Of lm_eval: the name of a task of lm-evaluation-harness, or its YAML file."""
    judge: Text | None = None
    """Generator that judges, one of generators; protocols alpaca_eval, arena_hard and rubric need
    it."""
    files: JudgeFiles = {}
    prompt: Text = OrAbsent
    """Of match, choice and rubric: the question, a text with {fields} of the rows."""
    answer: Text = OrAbsent
    """Of match, choice and rubric: the field of the right answer; of match also a text with
    {fields}."""
    extract: Axis[Pattern] = OrAbsent
    """Of match and choice: regular expressions (Python) in order; the first that is found in a
    completion, where it is found last, is the answer, or its first group. Without them it is where
    the completion says that it is."""
    compare: Literal["text", "casefold", "number", "math", "set", "json"] = OrAbsent
    """Of match: how answers are compared."""
    choices: Text | Axis[Text] = OrAbsent
    """Of choice: the field of the choices, or a list of fields."""
    by: Literal["text", "likelihood"] = OrAbsent
    """Of choice and lm_eval: whether a model answers in text (the default), or the likelihoods of
    answers count."""
    rubric: Text = OrAbsent
    """Of rubric: file of the question to the judge, with {prompt}, {completion} and perhaps
    {reference}, the answer."""
    scale: Literal["1-5", "right"] = OrAbsent
    """Of rubric: the verdicts that it asks for, [RESULT] 1 to 5 (the default), or [RESULT] right or
    wrong."""
    labels: Literal["v0.1", "v2.0"] = "v0.1"
    """Version of Arena-Hard's tool that the judge's labels are read as."""
    style: Literal["v0.1", "v2.0"] = "v0.1"
    """Version of Arena-Hard's tool whose features of style are controlled for."""
    score: Text | None = None
    """Which of the protocol's further scores counts for PGR instead of its main one:
    style_controlled of arena_hard, raw of alpaca_eval, base of humaneval_plus and mbpp_plus."""
    max_tokens: MaxTokens = 1024
    temperature: Temperature = 0.0
    top_p: TopP = 0.95
    repetition_penalty: Positive = 1.0
    """Divisor of the logits of tokens already seen; 1 changes nothing."""
    shots: Whole = 0
    """Solved examples shown to a model that is not a chat model."""
    shots_from: Text | None = None
    """File of rows that the shots are taken from; required where shots is above 0."""
    shots_fields: Annotated[
        Fields | None,
        Field(description="Which fields of a row of shots_from hold the pair; see seeds."),
    ] = Field(None, exclude_if=lambda value: value is None)
    limit: Annotated[int, Field(ge=2)] | None = None
    """Only the first so many items; null means all."""
    in_mean: bool = True
    """Whether its PGR counts in the mean of the domain; if not, it has rows of its own only."""


class Metric(Section):
    """An intrinsic metric, of a sample of each set."""

    measure: str
    sample: Annotated[int, Field(ge=3)] | None = 1000
    """Examples of a set that are measured, drawn by seed from those that the generator wrote; null
    means all."""


class JudgedMetric(Metric):
    """A judge's score, 1 to 5, without an answer to compare with."""

    measure: Literal["judged"]
    judge: Text
    """Generator that judges, one of generators."""
    rubrics: Text
    """Folder of the question to the judge, prompt.md with {rubric}, {instruction} and perhaps
    {response}, and of a rubric for each domain, {domain}.md."""


class ModelMetric(Metric):
    """A metric that a model computes."""

    model: Model
    revision: Commit | None = None
    """Commit of the model on the hub; null takes the newest, which trust_remote_code refuses."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the model's weights and of its computation."""
    batch_size: Count = 8
    """Examples in one forward pass; a change makes nothing stale."""
    parameters: Positive | None = None
    """Billions of parameters of the model, for the GPU hours in the plan and the memory and time of
    its jobs."""
    gpus: Whole = 0
    """GPUs that the model takes; 0 is the CPU."""


class TemplatedMetric(ModelMetric):
    """A metric of a model that reads whole examples."""

    template: Text | None = None
    """File of the chat template (Jinja) that shows examples; null takes its own."""
    max_length: Count = 4096
    """Longest example, in tokens; longer ones have no value and are counted."""


class RewardMetric(TemplatedMetric):
    """The response's score by a sequence classifier with one output."""

    measure: Literal["reward"]


class PerplexityMetric(TemplatedMetric):
    """Perplexity of the response given the instruction, under a base model."""

    measure: Literal["perplexity"]
    system: Text | None = None
    """System message of every example; null means none."""


class MadeMetric(Section):
    """A metric made of what a perplexity metric has found of each example, in its forward pass."""

    measure: str
    perplexity: Text = "perplexity"
    """Which metric, of those with measure: perplexity; its model is the student's base."""


class SurprisalMetric(MadeMetric):
    """Mean negative log-likelihood of the response's tokens, the logarithm of perplexity."""

    measure: Literal["surprisal"]


class RankSurprisalMetric(MadeMetric):
    """Rank-surprisal ratio: how far down the model's list tokens are, over how they surprise it."""

    measure: Literal["rank_surprisal"]
    clip: Count = 100
    """Largest rank that counts; larger ones count as this."""


class LocalNaturalnessMetric(MadeMetric):
    """Log-likelihood of the response's sentences, each after the prompt and a few before it."""

    measure: Literal["local_naturalness"]
    window: Whole = 4
    """Sentences that stand before the one that is scored."""


class AdjustedRewardMetric(MadeMetric):
    """Compatibility-adjusted reward: reward over 1 + beta x surprisal."""

    measure: Literal["adjusted_reward"]
    reward: Text = "reward"
    """Metric whose values of examples are the rewards: a reward model's, or a judge's quality."""
    beta: NotNegative = 1.0
    """Weight of surprisal."""


class SimilarityMetric(ModelMetric):
    """Average cosine similarity of all pairs of embeddings."""

    measure: Literal["similarity"]
    of: Literal["instruction", "response"]
    """What is embedded."""
    pooling: Literal["model", "mean"] = "model"
    """How a text's tokens become one embedding. model: as a model of sentence-transformers says
    itself, on one GPU at most; mean: the mean of the last layer of any model of transformers."""
    trust_remote_code: bool = False
    """Whether code that the model brings along is executed; it then takes a revision, or a local
    folder as the model. Code of another repository is refused."""
    options: dict[str, Any] = {}
    """Settings that replace those in the model's own config.json."""


IntrinsicMetric = Annotated[
    JudgedMetric
    | RewardMetric
    | PerplexityMetric
    | SurprisalMetric
    | RankSurprisalMetric
    | LocalNaturalnessMetric
    | AdjustedRewardMetric
    | SimilarityMetric,
    Field(
        discriminator="measure",
        description="One metric; measure decides which other keys it has.",
    ),
]
