"""Validators with a parameter: what they let pass, and the config that names them."""

import json

import pytest
from agorabench.errors import UserError
from agorabench.generation import validators
from agorabench.generation.formats import Pair
from agorabench.generation.validators import validate_pair

GERMAN = "Guten Tag, bitte prüfen Sie zuerst das Netzkabel und starten Sie dann das Gerät neu."
ENGLISH = "Hello, please switch your device off and on again, and call us if that does not help."
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
CASES = [
    ({"matches": r"(?i)^select\b"}, ("x", "SELECT 1"), "valid"),
    ({"matches": r"(?i)^select\b"}, ("select", "DROP t"), "response does not match"),
    ({"matches": {"instruction": r"\?$"}}, ("Why?", "So."), "valid"),
    ({"matches": {"instruction": r"\?$"}}, ("Why", "So?"), "instruction does not match"),
    ({"language": "de"}, (GERMAN, GERMAN), "valid"),
    ({"language": "de"}, (GERMAN, ENGLISH), "response not in de"),
    ({"language": "en"}, (GERMAN, ENGLISH), "instruction not in en"),
    ({"language": "de"}, ("2 + 2 = ?", "4"), "valid"),
    (
        {"language": "ja"},
        ("プリンターの電源が入らないのですが、どうすればいいですか。",) * 2,
        "valid",
    ),
    ({"json": True}, ("x", "[1, 2]"), "valid"),
    ({"json": True}, ("x", "So:\n```json\n[1]\n```"), "valid"),
    ({"json": True}, ("x", "[1, 2"), "not JSON"),
    ({"json": "schema.json"}, ("x", '{"a": 1}'), "valid"),
    ({"json": "schema.json"}, ("x", '{"a": "1"}'), "JSON does not fit the schema"),
    ({"runs": "python"}, ("x", "```python\ndef f():\n    return 1\nassert f() == 1\n```"), "valid"),
    ({"runs": "python"}, ("x", "assert 1 == 2"), "code does not run"),
    ({"runs": "python"}, ("x", "def f(:"), "code does not run"),
    ({"runs": "python"}, ("x", "import sys; sys.exit(3)"), "code does not run"),
]


@pytest.mark.parametrize(("check", "pair", "verdict"), CASES)
def test_a_pair_passes_or_the_reason_is_said(check, pair, verdict, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    validators.read_schema.cache_clear()
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    assert validate_pair(Pair(*pair), ["length", check]) == verdict


def test_what_is_no_schema_is_refused(tmp_path):
    for text in ("{", '{"type": "thing"}'):
        file = tmp_path / f"schema{len(text)}.json"
        file.write_text(text)
        with pytest.raises(UserError, match=r"schema\d\d?.json is no JSON Schema: "):
            validators.read_schema(str(file))
    with pytest.raises(UserError, match=r"^no file .*none.json$"):
        validators.read_schema(str(tmp_path / "none.json"))
