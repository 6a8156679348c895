"""Templates are checked before they cost anything and filled in once; ours fit real rows."""

import json
import re

import pytest
from agorabench.errors import UserError
from agorabench.generation import formats, prompts, validators
from helpers import ROOT
from helpers.tasks import DOMAINS, FORMS, METHODS

OURS = ROOT / "config" / "prompts"
FORM = FORMS["instance"]
# Family -> (what it is answered in, its methods): the 9 + 6 + 6 templates of the paper's Table 5.
FAMILIES = {
    "free-form": ("text", ("instance", "response", "enhancement")),
    "json": ("json", ("instance", "enhancement")),
    "unoptimised": ("text", ("instance", "enhancement")),
}
TEMPLATES = [
    pytest.param(family, method, domain, id=f"{family}/{method}/{domain}")
    for family, (_, methods) in FAMILIES.items()
    for method in methods
    for domain in DOMAINS
]
# Method and domain -> files of real rows, with the names of their two fields.
SEEDS = {
    ("instance", "math"): [("agora/math_seed_data_subsampled.json", "instruction", "response")],
    ("instance", "code"): [("agora/code_seed_data_subsampled.json", "instruction", "response")],
    ("instance", "instruction"): [
        ("agora/general_seed_data_subsampled.json", "instruction", "response"),
        ("lima.json", "instruction", "output"),
    ],
    ("response", "math"): [
        ("agora/magpie_math_seed_data_10000_subsampled.json", "instruction", "response")
    ],
    ("response", "code"): [
        ("agora/magpie_code_seed_data_10000_subsampled.json", "instruction", "response")
    ],
    ("response", "instruction"): [
        ("agora/magpie_general_seed_data_10000_subsampled.json", "instruction", "response")
    ],
    ("enhancement", "math"): [
        ("agora/webinstruct_math_seed_data_10000_subsampled.json", "instruction", "response")
    ],
    ("enhancement", "code"): [("conala-train.json", "intent", "snippet")],
    ("enhancement", "instruction"): [
        ("agora/webinstruct_general_seed_data_10000_subsampled.json", "instruction", "response")
    ],
}
# Says all that could be mistaken for part of a template or of a reply.
HOSTILE = {
    "instruction": 'Fill {theme}, {demonstrations}, {{opening}}, {instruction} in \\frac{a}{b}".',
    "response": "{response} }} {{\n```json\n{}\n```\nINPUT: {theme}\nOUTPUT: 2\n[END]",
}


def test_a_demonstration_is_never_itself_filled_in():
    shown = prompts.format_demonstrations(
        [{"instruction": "Say {theme}.", "response": "{{opening}}"}], FORM
    )
    values = {"demonstrations": shown, "theme": "{opening}", "opening": "Why"}
    assert prompts.render_template("{opening}, {theme}:\n{demonstrations}", values) == (
        "Why, {opening}:\nINPUT: Say {theme}.\nOUTPUT: {{opening}}\n[END]"
    )


def test_demonstrations_are_joined_by_a_line_break_and_parse_back():
    rows = [{"instruction": "a", "response": "b"}, {"instruction": "c", "response": "d\ne"}]
    assert (
        prompts.format_demonstrations(rows, FORM)
        == "INPUT: a\nOUTPUT: b\n[END]\nINPUT: c\nOUTPUT: d\ne\n[END]"
    )
    shown = prompts.format_demonstrations(rows[1:], FORM)
    assert formats.parse_reply(FORM, shown) == ("c", "d\ne")
    assert prompts.format_demonstrations([], FORM) == ""


@pytest.mark.parametrize(
    "template, text",
    [
        ("{theme} and {theme}", "sport and sport"),
        ("{{theme}}", "{theme}"),
        ("{{{theme}}}", "{sport}"),
        ("{{{{theme}}}}", "{{theme}}"),
        ('{"instruction": "...", "a": []}', '{"instruction": "...", "a": []}'),
        ('{"a": {"b": 1} }', '{"a": {"b": 1} }'),
        ('{"theme": "{theme}"}', '{"theme": "sport"}'),
        ("{ theme } {} {1} { x | x > 0 }", "{ theme } {} {1} { x | x > 0 }"),
        (r"\frac{1}{2} \sqrt{{x}}", r"\frac{1}{2} \sqrt{x}"),
        ("a { b", "a { b"),
    ],
)
def test_render(template, text):
    assert prompts.render_template(template, {"theme": "sport"}) == text


def test_render_without_a_value():
    with pytest.raises(UserError) as caught:
        prompts.render_template("{theme} {opening}", {"theme": "sport"})
    assert str(caught.value) == "the meta-prompt has {opening}, for which there is no value"


def test_placeholders():
    assert prompts.list_placeholders("{a} {{b}} {c_d} {e1} {} {f g} {A}") == {"a", "c_d", "e1", "A"}


@pytest.mark.parametrize(
    "method, text",
    [
        ("instance", "{demonstrations}"),
        ("instance", "{opening} {theme} {demonstrations} {{literal}} {"),
        ("response", 'Answer in JSON, {"response": "..."}: {instruction}'),
        ("enhancement", "{instruction}\n{response}"),
    ],
)
def test_a_good_template(method, text):
    prompts.check_template(text, METHODS[method]["shows"], "p.md")


@pytest.mark.parametrize(
    "method, text, sentence",
    [
        ("instance", " \n", "p.md: the meta-prompt is empty"),
        (
            "instance",
            "{theme}",
            "p.md: no placeholder {demonstrations}, which method instance needs",
        ),
        (
            "enhancement",
            "{instruction}",
            "p.md: no placeholder {response}, which method enhancement needs",
        ),
        (
            "response",
            "{{instruction}}",
            "p.md: no placeholder {instruction}, which method response needs",
        ),
        (
            "instance",
            "{demonstrations} {topic}",
            "p.md: unknown placeholder {topic}; method instance has {demonstrations}, {theme}, "
            "{opening}; write {{topic}} for the text itself",
        ),
        (
            "instance",
            "{demonstrations} {Theme}",
            "p.md: unknown placeholder {Theme}; method instance has {demonstrations}, {theme}, "
            "{opening}; write {{Theme}} for the text itself",
        ),
        (
            "response",
            '{instruction} {"a": {"b": 1}}',
            "p.md: '}}' stands for one literal brace and needs its partner; "
            "write '} }' for two braces",
        ),
        (
            "response",
            "{instruction} {{",
            "p.md: '{{' stands for one literal brace and needs its partner; "
            "write '{ {' for two braces",
        ),
        (
            "classify",
            "1 or 2?",
            "p.md: no placeholder {instruction}, which method classify needs",
        ),
    ],
)
def test_a_bad_template(method, text, sentence):
    shows = METHODS.get(method, {"shows": method})["shows"]
    with pytest.raises(UserError) as caught:
        prompts.check_template(text, shows, "p.md", f"method {method}")
    assert str(caught.value) == sentence


def test_lines_of_a_word_list(tmp_path):
    path = tmp_path / "themes.txt"
    path.write_text("sport\n\n  deep sea \r\nno\u2028break\n", encoding="utf-8")
    assert prompts.read_lines(path) == ["sport", "deep sea", "no\u2028break"]


@pytest.mark.parametrize(
    "content, fault",
    [(None, "no such file"), (b"\n \n", "no line with text in it"), (b"\xff", "not text in UTF-8")],
)
def test_a_word_list_that_is_none(tmp_path, content, fault):
    path = tmp_path / "themes.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        prompts.read_lines(path)
    assert str(caught.value) == f"{path}: {fault}"


def template(family, method, domain):
    return (OURS / family / method / f"{domain}.md").read_text(encoding="utf-8")


def seeds(data, method, domain):
    rows = []
    for file, instruction, response in SEEDS[method, domain]:
        found = json.loads((data / "seeds" / file).read_text(encoding="utf-8"))
        rows += [{"instruction": row[instruction], "response": row[response]} for row in found]
    return [row for row in rows if row["instruction"].strip() and row["response"].strip()]


def filled(text, values):
    """A second way to fill in a template, which reads nothing that it has filled in."""
    pieces = re.split("|".join(re.escape(f"{{{name}}}") for name in values), text)
    order = sorted((m.start(), name) for name in values for m in re.finditer(f"{{{name}}}", text))
    literal = [piece.replace("{{", "{").replace("}}", "}") for piece in pieces]
    return literal[0] + "".join(
        values[name] + piece for (_, name), piece in zip(order, literal[1:], strict=True)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_exactly_its_files(family):
    _, methods = FAMILIES[family]
    found = {str(path.relative_to(OURS / family)) for path in (OURS / family).rglob("*.*")}
    assert found == {f"{method}/{domain}.md" for method in methods for domain in DOMAINS}


@pytest.mark.parametrize("family, method, domain", TEMPLATES)
def test_our_templates_pass_their_own_check(family, method, domain):
    text = template(family, method, domain)
    prompts.check_template(text, METHODS[method]["shows"], "p.md")
    expected = set(prompts.PLACEHOLDERS[METHODS[method]["shows"]])
    if method == "instance" and not (OURS / "openings" / f"{domain}.txt").is_file():
        expected.remove("opening")
    assert prompts.list_placeholders(text) == expected
    assert max(map(len, text.split("\n"))) <= 100


@pytest.mark.parametrize("family, method, domain", TEMPLATES)
def test_our_templates_name_what_the_parser_demands(family, method, domain):
    text = template(family, method, domain)
    replies, _ = FAMILIES[family]
    wanted = filter(None, FORMS[method].values())
    wanted = wanted if replies == "text" else [f'"{key}"' for key in formats.KEYS]
    wanted = [*wanted, *{"math": ["[RESULT]", "[/RESULT]"], "code": ["```"]}.get(domain, [])]
    assert [word for word in wanted if word not in text] == []
    if replies == "json":
        markers = [formats.END, *FORM.values(), *FORMS["enhancement"].values()]
        assert [word for word in markers if word in text] == []


@pytest.mark.parametrize("family, method, domain", TEMPLATES)
def test_our_templates_render_with_real_rows(family, method, domain, data):
    """Every placeholder is filled and nothing else, whatever the rows, theme and opening say."""
    text = template(family, method, domain)
    replies, _ = FAMILIES[family]
    rows = [*seeds(data, method, domain), HOSTILE]
    themes = prompts.read_lines(OURS / "themes" / f"{domain}.txt")
    for number, row in enumerate(rows):
        if method == "instance":
            others = [rows[number - 1], rows[number - 2]]
            shown = prompts.format_demonstrations([row, *others], FORM, replies)
            values = {"demonstrations": shown, "theme": themes[number % len(themes)]}
            values["opening"] = "{theme}"
            values = {name: values[name] for name in prompts.list_placeholders(text)}
        else:
            values = {name: row[name] for name in prompts.PLACEHOLDERS[METHODS[method]["shows"]]}
        rendered = prompts.render_template(text, values)
        assert rendered == filled(text, values)
        if replies == "text" or method != "instance":
            assert row["instruction"] in rendered


@pytest.mark.parametrize("replies", ["text", "json"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_a_real_demonstration_is_a_reply_that_parses(domain, replies, data):
    for row in seeds(data, "instance", domain):
        pair = row["instruction"].strip(), row["response"].strip()
        assert validators.validate_pair(pair, ["no_markers", "no_placeholders"]) == "valid"
        shown = prompts.format_demonstrations([row], FORM, replies)
        assert formats.parse_reply(FORM, shown, replies) == pair


def test_a_demonstration_in_json_is_one_line_that_holds_anything():
    row = {"id": 5, **HOSTILE}
    shown = prompts.format_demonstrations(
        [row, {"instruction": "à\u2028b", "response": "c"}], FORM, "json"
    )
    first, second = shown.split("\n")
    assert formats.parse_reply(FORMS["instance"], first, "json") == tuple(HOSTILE.values())
    assert second == '{"instruction": "à\u2028b", "response": "c"}'
    assert prompts.format_demonstrations([], FORM, "json") == ""


def test_a_demonstration_with_markers_stays_itself_and_is_one_to_keep_out():
    """In text it shows a reply that the parser would reject, so that no_markers has to catch it."""
    shown = prompts.format_demonstrations([HOSTILE], FORM)
    assert shown == f"INPUT: {HOSTILE['instruction']}\nOUTPUT: {HOSTILE['response']}\n[END]"
    with pytest.raises(formats.Malformed, match=r"^INPUT marker twice$"):
        formats.parse_reply(FORMS["instance"], shown)
    assert validators.validate_pair(tuple(HOSTILE.values()), ["no_markers"]) == "[END] in response"


@pytest.mark.parametrize("method", ["instance", "enhancement"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_json_and_free_form_differ_in_the_format_only(method, domain):
    """The paper compares formats; the demands on the pair are the same, word for word."""
    demands = {
        family: template(family, method, domain).partition("## The format\n")
        for family in ("free-form", "json")
    }
    assert all(heading for _, heading, _ in demands.values())
    assert demands["free-form"][0] == demands["json"][0]


@pytest.mark.parametrize("domain, count", [("math", 36), ("code", 14), ("instruction", 28)])
def test_themes(domain, count):
    themes = prompts.read_lines(OURS / "themes" / f"{domain}.txt")
    assert len(themes) == len({theme.casefold() for theme in themes}) == count


def test_openings_are_single_words():
    """A missing comma in the reference code fused two of them."""
    openings = prompts.read_lines(OURS / "openings" / "instruction.txt")
    assert 40 <= len(openings) == len(set(openings)) <= 60
    assert [word for word in openings if not re.fullmatch("[A-Z][a-z]*", word)] == []
    assert [path.name for path in (OURS / "openings").iterdir()] == ["instruction.txt"]


@pytest.mark.parametrize("domain", ["math", "instruction"])
def test_the_question_to_classify_renders_with_real_rows(domain, data):
    text = (OURS / "classify" / "webinstruct.md").read_text(encoding="utf-8")
    prompts.check_template(text, "classify", "webinstruct.md")
    for row in [*seeds(data, "enhancement", domain), HOSTILE]:
        rendered = prompts.render_template(text, row)
        assert rendered == filled(text, {"instruction": row["instruction"]})
        assert row["instruction"] in rendered
