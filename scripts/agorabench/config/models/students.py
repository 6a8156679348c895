"""Students: what they start from, how they are trained, and on what."""

from typing import Annotated, Literal

from pydantic import Field

from agorabench.config.models.base import (
    Count,
    Distinct,
    Model,
    Name,
    NotNegative,
    Positive,
    RandomSeed,
    Section,
    Text,
    Whole,
    union_by_key,
)


class ComparedModel(Section):
    """A model that a student is compared with."""

    model: Model
    chat: bool
    """Whether it is prompted zero-shot through its chat template; if not, it is shown the
    benchmark's shots in plain text."""
    parameters: Positive | None = None
    """Billions of parameters; null takes the student's."""
    gpus: Count | None = None
    """GPUs for its answers; null takes `hardware.predict_gpus`."""


class TrainedReference(Section):
    """A student trained on given pairs, human-written ones for example."""

    trained_on: Text
    """Generator that is a data set; the student's base is trained on it, by the student's recipe,
    for every domain."""
    size: Count | None = None
    """Pairs that it is trained on; null takes as many as the largest size of the experiments."""
    seed: RandomSeed = 1
    """Seed of the training."""


Reference = union_by_key(
    "A model to count as 100 %.", model=ComparedModel, trained_on=TrainedReference
)


class Lora(Section):
    """Low-rank adapters (arXiv 2106.09685), trained in place of the weights and merged into them
    when the student is saved."""

    rank: Count = 16
    """Rank of the adapters."""
    alpha: Positive = 32.0
    """They are scaled by alpha / rank."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (arXiv 2312.03732)."""
    targets: Distinct[Text] | None = None
    """Names of the layers that get adapters; null: all linear layers but the head."""


class Recipe(Section):
    """How a student is trained; a change here trains it again."""

    epochs: Positive
    """Passes over the training data."""
    learning_rate: Positive
    """Peak learning rate of AdamW."""
    batch_size: Count
    """Examples (packed, rows of them) per optimiser step, on all GPUs together."""
    batches: Literal["padded", "grouped", "padding-free", "packed"] = "padded"
    """How examples share a forward pass: padded to the longest; grouped by length first;
    padding-free, one after another with attention kept apart; or packed, which first fills rows of
    max_length with whole examples."""
    max_length: Count
    """Longest training example, in tokens; longer ones are cut and counted."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the optimiser steps in which the learning rate rises from 0."""
    schedule: Literal["cosine", "linear", "constant"] = "linear"
    """Course of the learning rate after the warm-up."""
    weight_decay: NotNegative = 0.0
    """Decoupled weight decay of AdamW."""
    precision: Literal["float32", "mixed", "bfloat16"]
    """Weights and optimiser in float32 with computation in it or, mixed, in bfloat16; or all in
    bfloat16, which halves the memory and loses small updates to rounding."""
    lora: Lora | None = None
    """Train adapters only; null trains all weights."""


class Hardware(Section):
    """What a student is trained on; a change here makes nothing stale."""

    gpus: Whole = 0
    """GPUs of one training, which share the weights (FSDP); 0 is the CPU."""
    predict_gpus: Whole = 0
    """GPUs for the answers of one student, its base or its reference."""
    python: Text | None = None
    """Interpreter of an environment with vLLM (envs/vllm.txt), which then answers on the GPUs; null
    answers with transformers."""
    per_device: Count | None = None
    """Examples in one forward pass of one GPU; null takes as many as batch_size allows."""
    attention: Text | None = None
    """Attention implementation of transformers (sdpa, flash_attention_2, flex_attention, a kernel's
    name on the hub); null takes its default."""
    gradient_checkpointing: bool = True
    """On GPUs, compute activations again instead of keeping them."""
    compile: bool = False
    """On GPUs, compile the model (torch.compile)."""
    checkpoint_minutes: Positive = 30.0
    """Minutes of training that a kill may lose; a warning signal loses none."""


class Student(Section):
    """One student."""

    base: ComparedModel
    """Model that training starts from."""
    reference: Reference | None = None
    """What PGR counts as 100 %; null: there is no PGR, and students are compared by what they gain
    over their base."""
    references: dict[Name, Reference] = {}
    """Further models to count as 100 %, each with a table of its own,
    results/references/{NAME}.csv; nothing is trained again."""
    system: Text | None = None
    """System message of every training example and chat benchmark prompt; null means none."""
    template: Text | None = None
    """File of the chat template (Jinja) that students learn; null takes the base's own."""
    parameters: Positive | None = None
    """Billions of parameters, for the GPU hours in the plan and jobs' memory."""
    recipe: Recipe
    hardware: Hardware = {}
    max_truncated: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of examples longer than max_length above which training is refused."""
    report_to: Distinct[Literal["wandb", "tensorboard", "trackio"]] = []
    """Trackers that follow the training beside train.json; each needs its package."""
