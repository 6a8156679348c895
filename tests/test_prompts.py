"""Templates are checked before they cost anything and filled in once."""

import pytest
from agorabench import parsing, prompts
from agorabench.errors import UserError


def test_a_demonstration_is_never_itself_filled_in():
    shown = prompts.demonstrations([{"instruction": "Say {theme}.", "response": "{{opening}}"}])
    values = {"demonstrations": shown, "theme": "{opening}", "opening": "Why"}
    assert prompts.render("{opening}, {theme}:\n{demonstrations}", values) == (
        "Why, {opening}:\nINPUT: Say {theme}.\nOUTPUT: {{opening}}\n[END]"
    )


def test_demonstrations_are_joined_by_a_line_break_and_parse_back():
    rows = [{"instruction": "a", "response": "b"}, {"instruction": "c", "response": "d\ne"}]
    assert (
        prompts.demonstrations(rows) == "INPUT: a\nOUTPUT: b\n[END]\nINPUT: c\nOUTPUT: d\ne\n[END]"
    )
    assert parsing.parse("instance", prompts.demonstrations(rows[1:])) == ("c", "d\ne")
    assert prompts.demonstrations([]) == ""


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
    assert prompts.render(template, {"theme": "sport"}) == text


def test_render_without_a_value():
    with pytest.raises(UserError) as caught:
        prompts.render("{theme} {opening}", {"theme": "sport"})
    assert str(caught.value) == "the meta-prompt has {opening}, for which there is no value"


def test_placeholders():
    assert prompts.placeholders("{a} {{b}} {c_d} {e1} {} {f g} {A}") == {"a", "c_d", "e1", "A"}


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
    prompts.check_template(text, method, "p.md")


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
    ],
)
def test_a_bad_template(method, text, sentence):
    with pytest.raises(UserError) as caught:
        prompts.check_template(text, method, "p.md")
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
