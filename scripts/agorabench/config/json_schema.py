"""The models of the configuration as JSON Schema, with the descriptions in their source."""

import ast
import inspect
from functools import cache
from itertools import pairwise

from pydantic.json_schema import GenerateJsonSchema

from agorabench.config.models import Config
from agorabench.config.models.base import Section

KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "integer": "a whole number",
    "number": "a number",
}


class SchemaGenerator(GenerateJsonSchema):
    """JSON Schema with the descriptions of keys, and no titles but those that name a kind."""

    def model_schema(self, schema):
        """Return the schema of one section; a key without description takes its class's own."""
        rule = super().model_schema(schema)
        rule.pop("title")
        rule["description"] = join_lines(rule["description"])
        described = read_descriptions(schema["cls"])
        for key, inner in rule["properties"].items():
            if key in described:
                inner["description"] = described[key]
            elif "const" in inner:  # the key that tells the branches of a union apart
                inner["description"] = rule["description"]
            if inner.get("default", "") is None and "anyOf" not in inner:
                del inner["default"]  # absent, not null
        return rule

    def dict_schema(self, schema):
        """Return the schema of a mapping with free names, which pydantic leaves unchecked."""
        names = self.generate_inner(schema["keys_schema"])
        values = self.generate_inner(schema["values_schema"])
        rule = {"type": "object", "propertyNames": names, "additionalProperties": values or True}
        least = {"minProperties": schema["min_length"]} if "min_length" in schema else {}
        return rule | least

    def field_title_should_be_set(self, schema):
        """Titles that repeat the key say nothing."""
        return False


@cache
def build_schema() -> dict:
    """Return the JSON Schema of a configuration file, a dict."""
    schema = Config.model_json_schema(schema_generator=SchemaGenerator)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def resolve_rule(rule: dict) -> dict:
    """Return a part of the schema without `$ref`, and what may be null or of several kinds as one.

    {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]} becomes
    {"type": ["integer", "null"], "minimum": 1}; `type` is always a list.
    """
    if "$ref" in rule:
        target = build_schema()["$defs"][rule["$ref"].rpartition("/")[2]]
        return resolve_rule(target | {key: part for key, part in rule.items() if key != "$ref"})
    merged, kinds = {}, rule.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    for option in map(resolve_rule, rule.get("anyOf", ())):
        kinds += option["type"]
        merged |= option
    own = {key: part for key, part in rule.items() if key != "anyOf"}
    return merged | own | {"type": list(dict.fromkeys(kinds))}


@cache
def read_descriptions(model: type[Section]) -> dict[str, str]:
    """Return {key: the string below it} of a model and the models that it extends."""
    described = {}
    for base in reversed(model.__mro__[: model.__mro__.index(Section)]):
        body = ast.parse(inspect.getsource(base)).body[0].body
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                described[field.target.id.removesuffix("_")] = join_lines(text.value.value)
    return described


def join_lines(text: str) -> str:
    """Return a text of several lines as one."""
    return " ".join(text.split())
