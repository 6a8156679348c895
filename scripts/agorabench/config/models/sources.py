"""Where rows come from: seed data, benchmarks, existing pairs and single files."""

from typing import Annotated, Literal

from pydantic import Field

from agorabench.config.models.base import (
    Commit,
    Count,
    FieldName,
    Name,
    Section,
    Text,
    union_by_key,
)

Path = Annotated[
    Text,
    Field(
        description="Local file (JSON Lines, one JSON list or Parquet, .gz allowed) or folder of "
        "such files, relative to the folder Snakemake runs in."
    ),
]
Url = Annotated[
    str, Field(pattern="^https?://.+$", title="an address that starts with https:// or http://")
]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", title="a SHA-256 (64 hexadecimal digits)")]
HubData = Annotated[Text, Field(description="Id of a data set on the Hugging Face hub.")]
Split = Annotated[Text, Field(description="Split of the data set.")]


class LocalFile(Section):
    """One local file."""

    path: Path


class WebFile(Section):
    """One file on the web."""

    url: Url
    """Address of a file."""
    sha256: Sha256 | None = None
    """SHA-256 of the file as it is downloaded; null leaves it to the lock file."""


File = union_by_key("One file.", path=LocalFile, url=WebFile)


class PluginSource(Section):
    """Rows that a plug-in makes."""

    source: Text
    """Name of a source that a plug-in offers, as the miniature offers mini."""


class Licensed(Section):
    """A set of rows with a licence."""

    licence: Text | None = None
    """Licence of the rows, for the manifest."""


class LocalRows(Licensed, LocalFile):
    """Rows in local files."""


class WebRows(Licensed, WebFile):
    """Rows on the web."""

    url: Url
    """Address of a file (JSON Lines, one JSON list or Parquet, .gz allowed)."""


class HubRows(Licensed):
    """Rows of a data set on the hub."""

    hub: HubData
    subset: Text | list[Text] | None = None
    """Subset (configuration), or a list of them; null means its only one."""
    split: Split = "train"
    files: Annotated[list[Text], Field(min_length=1)] | None = None
    """Files of the data set to read instead of a split, where it has a script."""
    revision: Commit | None = None
    """Commit of the data set; null leaves it to the lock file."""


class TaskSource(Section):
    """Items of lm-evaluation-harness."""

    task: Text
    """The benchmark's task."""


Source = union_by_key(
    "Where the items come from.",
    source=PluginSource, path=LocalRows, url=WebRows, hub=HubRows, task=TaskSource,
)  # fmt: skip


class Fields(Section):
    """Which fields of a row hold the pair."""

    instruction: Text = "instruction"
    """Field that holds the instruction, a dotted path to it (conversations.0.value), or a text with
    such {fields} in it."""
    response: Text = "response"
    """Field that holds the response, a dotted path to it, or a text with such {fields} in it."""
    # Left out where they are the default, as a new key would make older sets stale.
    format: Literal["pairs", "messages"] = Field("pairs", exclude_if=lambda value: value == "pairs")
    """pairs: a row has the two fields; messages: it has a conversation of one question and one
    answer, as messages (role, content) or conversations (from, value), whose roles are read."""
    turns: Literal["split"] | None = Field(None, exclude_if=lambda value: value is None)
    """Of format messages, what becomes of a conversation of several questions and answers: null
    leaves it out; split makes a pair of each question and its answer."""
    roles: dict[FieldName, Literal["system", "user", "assistant"]] = Field(
        {}, exclude_if=lambda value: not value
    )
    """Of format messages, further names of roles (doctor: assistant)."""


class Classify(Section):
    """Only rows that a generator puts in one of two classes."""

    generator: Text
    """Name from generators of the model that is queried."""
    prompt: Text
    """Prompt file with {instruction}, to be answered by 1 or 2; its name is that of the journal in
    journal/classify."""
    class_: Literal["1", "2"] = Field(alias="class")
    """Class that is kept."""


Value = str | float | bool


class Selection(Fields):
    """Which rows are taken, and how they are converted."""

    where: dict[
        FieldName,
        Annotated[
            Value | list[Value],
            Field(description="Value that the field has, or a list of which it has one."),
        ],
    ] = {}
    """Only rows in which each of these fields has its value."""
    convert: Literal["plain", "gsm8k", "math", "mbpp", "python"] = "plain"
    """Conversion of scripts/agorabench/seeds/convert.py, from the rows' own form to that of the
    paper's seeds; plain leaves them as they are."""
    longest: Count | None = None
    """Most tokens in instruction and response together; longer rows are left out."""
    classify: Classify | None = None
    size: Count | None = None
    """Rows to take, at random by sample_seed; null means all."""


class SeedFile(LocalRows, Selection):
    """Seed data in local files."""


class SeedWeb(WebRows, Selection):
    """Seed data on the web."""


class SeedHub(HubRows, Selection):
    """Seed data of a data set on the hub."""


SeedPart = union_by_key(
    "One source; its keys are those of a set of one source.",
    path=SeedFile,
    url=SeedWeb,
    hub=SeedHub,
)


class SeedParts(Section):
    """Seed data from several sources."""

    parts: Annotated[dict[Name, SeedPart], Field(min_length=1)]
    """Sources that make up the set, one after the other in the order of their names."""


SeedSource = union_by_key(
    'Where the rows come from. A row has an "instruction" and, except for method response, a '
    '"response".',
    source=PluginSource,
    path=SeedFile,
    url=SeedWeb,
    hub=SeedHub,
    parts=SeedParts,
)


class PairFields(Fields):
    """Which fields of a row hold the pair, or the conversation."""

    turns: Literal["split", "whole"] | None = Field(None, exclude_if=lambda value: value is None)
    """Of format messages, what becomes of a conversation of several questions and answers: null
    leaves it out; split makes a pair of each question and its answer; whole trains on every answer
    after all that was said before it."""


class LocalPairs(PairFields, LocalFile):
    """Existing pairs in local files."""


class HubPairs(PairFields):
    """Existing pairs of a data set on the hub."""

    hub: HubData
    revision: Commit
    """Commit of the data set, 40 hexadecimal digits."""
    subset: Text | None = None
    """Subset (configuration) of the data set; null means its only one."""
    split: Split = "train"


Pairs = union_by_key("Pairs of one domain.", path=LocalPairs, hub=HubPairs)
