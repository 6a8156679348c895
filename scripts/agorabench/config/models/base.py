"""What all models of the configuration share: strictness, and types of single values."""

import re
from typing import Annotated, TypeVar, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A mapping with known keys.

    The string below a key, or the docstring of the key's own class, describes it in the editor
    schemas and in config/README.md; agorabench.config.json_schema reads it from the source.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,  # no text for a number, no 500.0 for a whole number: a path would hold n500.0
        allow_inf_nan=False,
        validate_default=True,  # {} becomes a section with its own defaults
        defer_build=True,  # only the root gets a validator: half the time at import
    )


def refuse_repeated(items):
    """Refuse a list with an item twice, before its items are checked."""
    if isinstance(items, list):
        for index, item in enumerate(items):
            if item in items[:index]:
                raise PydanticCustomError("repeated", "is given twice", {"item": item})
    return items


# Absent unless given: null is refused, and no default stands in the checked config.
OrAbsent = Field(None, validate_default=False, exclude_if=lambda value: value is None)


def union_by_key(description, **branches):
    """A union of sections, told apart by the first key of `branches` (key=model) that is given."""

    def name_branch(value):
        keys = value if isinstance(value, dict) else getattr(type(value), "model_fields", ())
        return next((key for key in branches if key in keys), None)

    tagged = tuple(Annotated[model, Tag(key)] for key, model in branches.items())
    union = Union[tagged]  # noqa: UP007  (of a tuple, | cannot be said)
    return Annotated[union, Discriminator(name_branch), Field(description=description)]


def refuse_pattern(text: str) -> str:
    """Refuse a text that is no regular expression of Python's."""
    try:
        re.compile(text)
    except re.error as error:
        told = {"item": text, "reason": str(error)}
        raise PydanticCustomError("no_pattern", "is no pattern", told) from None
    return text


Item = TypeVar("Item")
Distinct = Annotated[
    list[Item], BeforeValidator(refuse_repeated), Field(json_schema_extra={"uniqueItems": True})
]
Axis = Annotated[Distinct[Item], Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]
Pattern = Annotated[
    str, AfterValidator(refuse_pattern), Field(min_length=1, title="a regular expression of Python")
]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

# The title names the kind of value in messages.
Domain = Annotated[Text, Field(title="domain")]
Method = Annotated[Text, Field(title="method")]
Marker = Annotated[
    str,
    Field(pattern=r"^\S(.{0,98}\S)?$", title="a marker (text of one line, no blanks around it)"),
]
FieldName = Annotated[Text, Field(title="a field")]
Name = Annotated[
    str,
    Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        title="a name fit for a path (up to 100 letters, digits, '.', '_', '-'; first a letter or "
        "digit)",
    ),
]
Commit = Annotated[
    str, Field(pattern="^[0-9a-f]{40}$", title="a commit hash (40 hexadecimal digits)")
]
RandomSeed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Model = Annotated[Text, Field(description="Folder of a Hugging Face model, or its id on the hub.")]
MaxTokens = Annotated[Count, Field(description="Longest completion, in tokens.")]
Temperature = Annotated[
    NotNegative, Field(description="Sampling temperature; 0 takes the likeliest token.")
]
TopP = Annotated[
    Positive,
    Field(le=1, description="Share of probability that nucleus sampling keeps; 1 keeps all."),
]
