"""Seeds and benchmark items arrive with a manifest: built in, from a file, the web or the hub.

The web and the hub are real HTTP servers on loopback; the hub's speaks as much of the Hugging Face
protocol as `datasets` and `huggingface_hub` ask of it.
"""

import contextlib
import gzip
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import fetch
import pytest
from agorabench import paths
from agorabench.errors import UserError
from agorabench.files import file_digest, read_json, read_jsonl, to_json, write_json
from agorabench.generation import prompts
from agorabench.llm.journal import Journal
from agorabench.seeds import convert, sampling, sources
from agorabench.seeds.classify import make_classifier
from helpers import ROOT
from helpers.asking import config

SETTING = ("math", "instance")
FAKE = {
    "backend": "transformers",
    "model": "fake",
    "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 4},
}
QUESTIONS = [{"question": f"q{i}", "answer": f"a{i}", "kind": i % 3} for i in range(100)]
MAPPED = {"instruction": "question", "response": "answer"}
OLD, NEW = "a" * 40, "b" * 40


def lines(rows):
    return "".join(to_json(row) + "\n" for row in rows).encode()


def arguments(folder, source, setting=SETTING, **more):
    """Writes a config with a source of seeds; returns the arguments that fetch them."""
    domain, method = setting
    whole = config({"fake": FAKE}, lock="lock.json", **more)
    seeds = whole["seeds"]
    whole["seeds"] = seeds | {domain: seeds[domain] | {method: source}}
    write_json(folder / "config.json", whole)
    return ["--config", "config.json", "--domain", domain, "--method", method]


def fetch_items(folder, name, **more):
    """Fetch a benchmark's items by a config with `more` benchmarks; returns (items, manifest)."""
    whole = config({"fake": FAKE}, lock="lock.json")
    write_json(folder / "config.json", whole | {"benchmarks": whole["benchmarks"] | more})
    with contextlib.chdir(folder):
        fetch.main(["--config", "config.json", "--benchmark", name])
    return results(folder, paths.benchmark_items(name))


def results(folder, path=None):
    """(rows, manifest) of what was fetched: those of SETTING, or those at a path."""
    path = path or paths.seed_rows(*SETTING)
    return read_jsonl(folder / path), read_json(folder / paths.manifest(path))


@pytest.fixture
def seeds(tmp_path):
    """Fetch seeds from a source; returns (rows, manifest)."""

    def fetched(source, setting=SETTING, **more):
        command = arguments(tmp_path, source, setting, **more)
        with contextlib.chdir(tmp_path):
            fetch.main(command)
        return results(tmp_path, paths.seed_rows(*setting))

    return fetched


@pytest.fixture
def refused(seeds, tmp_path):
    """Fetch seeds in vain; returns the sentence, and nothing has been written."""

    def sentence(source, **settings):
        with pytest.raises(UserError) as caught:
            seeds(source, **settings)
        assert not (tmp_path / "resources").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return sentence


def written(path, rows):
    path.write_bytes(lines(rows))
    return {"path": str(path)}


# Built in, and local files


def test_built_in_seeds_and_items(seeds, tmp_path):
    rows, manifest = seeds({"source": "mini"})
    assert len(rows) == manifest["rows"] == 40
    assert set(rows[0]) == {"id", "instruction", "response"}
    items, manifest = fetch_items(tmp_path, "mini-code")
    assert manifest["sha256"] == file_digest(tmp_path / paths.benchmark_items("mini-code"))
    assert all(item["tests"] for item in items)
    assert not (tmp_path / "lock.json").exists()


def test_a_local_file_gets_ids_and_a_digest(seeds, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([{"instruction": "q", "response": "a"}, {"instruction": "r"}]))
    source = {"path": str(path), "licence": "MIT"}
    rows, manifest = seeds(source, setting=("math", "response"))
    assert rows == [
        {"id": "mine/0", "instruction": "q", "response": "a"},
        {"id": "mine/1", "instruction": "r", "response": ""},
    ]
    origin = manifest["origins"]["mine"]
    assert (origin["sha256"], origin["licence"]) == (file_digest(path), "MIT")
    assert not (tmp_path / "lock.json").exists()  # the user's own file may change


def test_a_folder_of_files_in_the_order_of_their_names(seeds, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    written(folder / "2.jsonl", [{"instruction": "r", "response": "b"}])
    (folder / "1.jsonl.gz").write_bytes(gzip.compress(lines([{"instruction": "q", "response": 1}])))
    rows, manifest = seeds({"path": str(folder)})
    assert [row["instruction"] for row in rows] == ["r"]
    assert manifest["origins"]["mine"]["left_out"] == {"not text": 1}


def test_fields_are_found_by_dotted_paths_and_filtered_by_value(seeds, tmp_path):
    rows = [
        {"talk": [{"value": f"q{i}"}, {"value": f"a{i}"}], "meta": {"kind": kind}}
        for i, kind in enumerate(["Math", "Code", "Text", "Math"])
    ]
    source = written(tmp_path / "talks.jsonl", rows)
    source |= {"instruction": "talk.0.value", "response": "talk.1.value"}
    found, manifest = seeds(source | {"where": {"meta.kind": ["Math", "Code"]}})
    assert [row["response"] for row in found] == ["a0", "a1", "a3"]
    assert manifest["origins"]["talks"]["left_out"] == {"not matching where": 1}
    assert len(seeds(source | {"where": {"meta.kind": "Math"}})[0]) == 2


@pytest.mark.parametrize(
    ("row", "source", "reason"),
    [
        ({"response": "a"}, {}, "row 2 has no 'instruction'; known: response"),
        ({"instruction": "q"}, {}, "row 2 has no 'response'; known: instruction"),
        (
            {"instruction": "q", "response": "a", "talk": ["x"]},
            {"instruction": "talk.1"},
            "row 1 has no 'talk.1'",
        ),
        ({"instruction": "q", "response": "a"}, {"where": {"kind": 1}}, "row 1 has no 'kind'"),
        ([1], {}, "row 2 is list, not a JSON object"),
        ({"instruction": "q", "response": "a"}, {"longest": 9}, "longest counts tokens and needs"),
    ],
)
def test_a_row_or_setting_at_fault_is_named(refused, tmp_path, row, source, reason):
    good = {"instruction": "q", "response": "a"}
    source = written(tmp_path / "mine.jsonl", [good, row]) | source
    sentence = refused(source).removeprefix("config.json: ")
    assert sentence.startswith("seeds.math.instance: ")
    assert reason in sentence


def test_what_is_absent_empty_or_no_data_is_said(refused, tmp_path):
    path = tmp_path / "mine.jsonl"
    assert re.search(r"mine.jsonl: no such file; put the file there", refused({"path": str(path)}))
    written(path, [])
    assert "there are no rows" in refused({"path": str(path)})
    written(path, [{"instruction": " ", "response": "a"}])
    assert "no row can be used; left out: [{'empty': 1}]" in refused({"path": str(path)})
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "line 1: not JSON" in refused({"path": str(path)})
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(gzip.compress(lines(QUESTIONS))[:-20])
    assert "torn.jsonl.gz cannot be read" in refused({"path": str(torn)})


# Samples


def test_a_sample_is_exact_ordered_and_the_same_every_time(seeds, tmp_path):
    source = written(tmp_path / "all.jsonl", QUESTIONS) | MAPPED
    forty, manifest = seeds(source | {"size": 40})
    assert len(forty) == 40
    assert manifest["sample_seed"] == 1
    numbers = [int(row["id"].removeprefix("all/")) for row in forty]
    assert numbers == sorted(numbers)  # the source's order
    assert seeds(source | {"size": 40})[0] == forty
    assert seeds(source | {"size": 40}, sample_seed=2)[0] != forty
    sixty = seeds(source | {"size": 60})[0]
    assert all(row in sixty for row in forty)  # a larger sample extends a smaller one


def test_rows_left_out_do_not_count_towards_the_size(seeds, tmp_path):
    source = written(tmp_path / "all.jsonl", QUESTIONS) | MAPPED | {"where": {"kind": 1}}
    rows, _ = seeds(source | {"size": 33})
    assert [row["instruction"] for row in rows] == [f"q{i}" for i in range(1, 100, 3)]


def test_too_few_rows_for_the_size(refused, tmp_path):
    source = written(tmp_path / "all.jsonl", QUESTIONS) | MAPPED | {"where": {"kind": 1}}
    assert refused(source | {"size": 34}) == (
        "seeds.math.instance: all: 33 rows of 100 can be used and size is 34; left out: not"
        " matching where 67"
    )


def test_a_set_of_parts(seeds, tmp_path):
    first = written(tmp_path / "first.jsonl", QUESTIONS[:10]) | MAPPED
    other = written(tmp_path / "other.jsonl", QUESTIONS[10:]) | MAPPED
    rows, manifest = seeds({"parts": {"b": other | {"size": 5}, "a": first}})
    assert [row["id"].partition("/")[0] for row in rows] == ["a"] * 10 + ["b"] * 5
    assert {name: part["taken"] for name, part in manifest["origins"].items()} == {"a": 10, "b": 5}


def tokenizer(folder):
    """A tokenizer in which every word between spaces is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"?": 0, "<s>": 1}, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>").save_pretrained(folder)
    return {"model": str(folder), "revision": None}


def test_rows_of_too_many_tokens_are_left_out(seeds, refused, tmp_path):
    rows = [{"instruction": "w " * n, "response": "x " * n} for n in (1, 2, 3)]
    source = written(tmp_path / "all.jsonl", rows) | {"longest": 4}
    chosen = tokenizer(tmp_path / "words")
    found, manifest = seeds(source, tokenizer=chosen)
    assert [len(row["response"]) for row in found] == [2, 4]  # four tokens are not too many
    assert manifest["origins"]["all"]["left_out"] == {"too long": 1}
    assert manifest["tokenizer"] == chosen


def test_an_absent_tokenizer_is_named(refused, tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    source = written(tmp_path / "all.jsonl", QUESTIONS) | MAPPED | {"longest": 4}
    told = refused(source, tokenizer={"model": "no/such", "revision": OLD})
    assert told.startswith("tokenizer: no/such ")
    assert told.endswith("put them in a folder and name that folder as tokenizer.model")


# Conversions


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"so $\boxed{3}$, or $\boxed{4}$.", "4"),
        (r"$\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"$\boxed{\left\{ 1 \right.}$", r"\left\{ 1 \right."),  # a brace of the answer's own
        (r"$\boxed{\begin{pmatrix}1\\2\end{pmatrix}}$", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"is $\boxed 2$.", "2"),
        (r"is $\fbox{B}$.", "B"),
    ],
)
def test_the_boxed_answer(solution, answer):
    _, response = convert.convert_math("", solution, {})
    assert response == f"{solution}\n[RESULT] {answer} [/RESULT]"


@pytest.mark.parametrize("solution", ["x = 3", r"$\boxed{\frac{1}{2}$", r"$\boxed$"])
def test_no_boxed_answer(solution):
    with pytest.raises(convert.Unfit, match="no boxed answer"):
        convert.convert_math("", solution, {})


def test_what_cannot_be_converted_is_counted(seeds, tmp_path):
    rows = [{"question": "q", "answer": "2+2=<<2+2=4>>4\n#### 4"}, {"question": "q", "answer": "4"}]
    source = written(tmp_path / "all.jsonl", rows) | MAPPED | {"convert": "gsm8k"}
    found, manifest = seeds(source)
    assert [row["response"] for row in found] == ["2+2=4\n[RESULT] 4 [/RESULT]"]
    assert manifest["origins"]["all"]["left_out"] == {"no answer after ####": 1}


def shown(data, name):
    """The rows of a set that neulab/data-agora shows, as (instruction, response)."""
    rows = read_jsonl(data / "seeds" / "agora" / f"{name}_subsampled.json")
    return [(row["instruction"], row["response"]) for row in rows]


def pairs(rows):
    return [(row["instruction"], row["response"]) for row in rows]


def test_mbpp_comes_out_as_the_paper_has_it(seeds, data):
    source = {"path": str(data / "mbpp" / "mbpp.jsonl"), "instruction": "text", "response": "code"}
    source |= {"convert": "mbpp", "where": {"task_id": list(range(601, 975))}}
    rows, _ = seeds(source)
    assert len(rows) == 374
    assert pairs(rows)[:20] == shown(data, "code_seed_data")


def test_lima_comes_out_as_the_paper_has_it(seeds, data):
    rows, _ = seeds({"path": str(data / "seeds" / "lima.json"), "response": "output"})
    assert len(rows) == 1029
    assert set(shown(data, "general_seed_data")) <= set(pairs(rows))


def test_math_comes_out_as_the_paper_has_it(seeds, data):
    path = data / "math" / "train_partial.jsonl"
    source = {"path": str(path), "instruction": "problem", "response": "solution"}
    rows, _ = seeds(source | {"convert": "math"})
    assert [row["response"].rpartition("\n[RESULT] ")[2] for row in rows] == [
        f"{row['answer']} [/RESULT]" for row in read_jsonl(path)
    ]
    for problem, response in shown(data, "math_seed_data"):
        solution = response.rpartition("\n[RESULT] ")[0]
        assert convert.convert_math(problem, solution, {}) == (problem, response)


def test_gsm8k_and_conala(seeds, data):
    source = {"path": str(data / "gsm8k" / "train.jsonl"), "convert": "gsm8k"} | MAPPED
    rows, _ = seeds(source)
    assert len(rows) == 7473
    number = re.compile(r"\n\[RESULT\] -?[0-9,.]+ \[/RESULT\]$")
    assert all(number.search(row["response"]) and "<<" not in row["response"] for row in rows)
    source = {"path": str(data / "seeds" / "conala-train.json"), "size": 1000}
    rows, _ = seeds(source | {"instruction": "intent", "response": "snippet"})
    assert len(rows) == 1000


# The web


class Server:
    """An HTTP server on loopback whose `answers` maps a path to a function of the handler."""

    def __init__(self):
        self.answers, self.asked = {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append(f"{self.command} {self.path}")
                outer.answer(self, self.path.partition("?")[0])

            do_GET = do_HEAD = do_POST = answer

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, handler, path):
        self.answers.get(path, status(404))(handler)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def status(code, **headers):
    return body(b"", code, **headers)


def body(content, code=200, length=None, **headers):
    """An answer with these headers; `length` is told in place of the true one."""

    def answer(handler):
        handler.send_response(code)
        told = {"Content-Length": len(content) if length is None else length, **headers}
        for name, value in told.items():
            handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    return answer


def reset(handler):
    handler.connection.close()


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setattr(sources, "WAIT", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        yield server


def url(server, path):
    return {"url": server.address + path, **MAPPED}


def test_a_file_of_the_web(web, seeds):
    web.answers["/train.jsonl"] = body(lines(QUESTIONS))
    web.answers["/train.json.gz"] = body(gzip.compress(json.dumps(QUESTIONS).encode()))
    web.answers["/moved.jsonl"] = status(302, Location="/train.jsonl")
    rows, manifest = seeds(url(web, "/train.jsonl"))
    assert pairs(rows) == [(f"q{i}", f"a{i}") for i in range(100)]
    found = hashlib.sha256(lines(QUESTIONS)).hexdigest()
    assert manifest["origins"]["train"]["sha256"] == found
    assert seeds(url(web, "/train.json.gz"))[0] == rows
    assert pairs(seeds(url(web, "/moved.jsonl"))[0]) == pairs(rows)


FAULTS = {
    "gone": (status(404), "cannot be downloaded (HTTP status 404)", 1),
    "forbidden": (status(403), "cannot be downloaded (HTTP status 403)", 1),
    "overloaded": (status(503), "cannot be downloaded (HTTP status 503)", 3),
    "connection reset": (reset, "cannot be downloaded (", 3),
    "body cut short": (body(lines(QUESTIONS), length=99999), "IncompleteRead", 3),
    "a page for people": (body(b"<html>Sign in</html>"), "line 1: not JSON", 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_cannot_be_had(web, refused, tmp_path, name):
    web.answers["/train.jsonl"], reason, tries = FAULTS[name]
    sentence = refused(url(web, "/train.jsonl"))
    assert sentence.startswith(f"seeds.math.instance: {web.address}/train.jsonl: ")
    assert reason in sentence
    assert sentence.endswith("put it anywhere and give its place as path instead of url")
    assert len(web.asked) == tries
    assert not (tmp_path / "lock.json").exists()


def test_a_fault_that_passes(web, seeds):
    answers = iter([reset, status(500), body(lines(QUESTIONS))])
    web.answers["/train.jsonl"] = lambda handler: next(answers)(handler)
    assert len(seeds(url(web, "/train.jsonl"))[0]) == 100


def test_nobody_listens(refused, monkeypatch):
    monkeypatch.setattr(sources, "WAIT", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        address = server.address
    assert "refused" in refused({"url": f"{address}/train.jsonl"})


def test_a_file_that_changes_is_refused(web, seeds, tmp_path):
    web.answers["/train.jsonl"] = body(lines(QUESTIONS))
    seeds(url(web, "/train.jsonl"))
    lock = read_json(tmp_path / "lock.json")
    assert lock["files"] == {f"{web.address}/train.jsonl": sources.rows_digest(QUESTIONS)}
    before = (tmp_path / paths.seed_rows(*SETTING)).read_bytes()
    web.answers["/train.jsonl"] = body(lines(QUESTIONS[1:]))
    for known in (None, sources.rows_digest(QUESTIONS)):
        with pytest.raises(UserError, match=r"the file has changed: its sha256 is [0-9a-f]{64}"):
            seeds(url(web, "/train.jsonl") | {"sha256": known})
    assert (tmp_path / paths.seed_rows(*SETTING)).read_bytes() == before
    found = sources.rows_digest(QUESTIONS[1:])
    assert len(seeds(url(web, "/train.jsonl") | {"sha256": found})[0]) == 99


def test_rows_that_change_although_their_source_does_not(web, seeds, tmp_path, monkeypatch):
    web.answers["/train.jsonl"] = body(lines(QUESTIONS))
    source = url(web, "/train.jsonl") | {"convert": "python"}
    seeds(source)
    changed = convert.CONVERSIONS | {"python": lambda task, code, row: (task, code)}
    monkeypatch.setattr(convert, "CONVERSIONS", changed)
    with pytest.raises(UserError, match=r"the same sources give other rows .* delete sets\.seeds"):
        seeds(source)
    monkeypatch.setattr(fetch, "VERSION", fetch.VERSION + 1)  # a change that is meant
    assert seeds(source)[0][0]["response"] == "a0"


def test_benchmark_rows_stay_as_they_are(web, tmp_path):
    questions = [row | {"answer": f"#### {number}"} for number, row in enumerate(QUESTIONS)]
    web.answers["/test.jsonl"] = body(lines(questions))
    source = {"url": f"{web.address}/test.jsonl", "licence": "MIT"}
    quiz = {"domain": "math", "protocol": "gsm8k", "source": source}
    rows, manifest = fetch_items(tmp_path, "quiz", quiz=quiz)
    assert rows == questions
    assert manifest["origins"]["quiz"]["licence"] == "MIT"


def test_a_benchmark_row_that_its_protocol_cannot_read_is_refused(tmp_path):
    rows = [{"question": f"{n} + 1?", "answer": f"#### {n + 1}"} for n in range(2)]
    rows.append({"question": "2 + 2?"})
    (tmp_path / "quiz.jsonl").write_bytes(lines(rows))
    quiz = {"domain": "math", "protocol": "gsm8k", "source": {"path": "quiz.jsonl"}}
    sentence = r"benchmarks\.quiz\.source, quiz.jsonl, row 3: no field 'answer'"
    with pytest.raises(UserError, match=sentence):
        fetch_items(tmp_path, "quiz", quiz=quiz)
    assert not (tmp_path / paths.benchmark_items("quiz")).exists()
    # A row that nobody will be asked about need not be one of the protocol's.
    assert fetch_items(tmp_path, "quiz", quiz=quiz | {"limit": 2})[0] == rows


def entries(path, first):
    lock = sources.Lock(path)
    for number in range(first, first + 25):
        lock.pin_entry("files", f"file{number}", lambda number=number: f"{number}")


def test_jobs_do_not_lose_each_others_entries(tmp_path):
    path = tmp_path / "lock.json"
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(entries, [path] * 4, range(0, 100, 25)))
    assert read_json(path)["files"] == {f"file{i}": f"{i}" for i in range(100)}


# The hub


class Hub(Server):
    """Data set o/d with subsets one and two; `revisions` maps a commit to its files."""

    card = "---\nlicense: mit\nconfigs:\n" + "".join(
        f"- config_name: {subset}\n  data_files:\n  - {{split: train, path: {subset}.jsonl}}\n"
        for subset in ("one", "two")
    )

    def __init__(self):
        super().__init__()
        files = {
            "README.md": f"{self.card}---\n".encode(),
            "one.jsonl": lines(QUESTIONS[:60]),
            "two.jsonl": lines(QUESTIONS[60:]),
        }
        self.revisions = {OLD: files}
        self.main = OLD
        self.refusal = None

    def answer(self, handler, path):
        found = re.fullmatch(
            r"(?:/api)?/datasets/o/d(?:/(revision|tree|resolve)/(\w+)(?:/(.*))?)?", path
        )
        if not found:
            return status(404)(handler)
        if self.refusal:
            return self.refusal(handler)
        kind, revision, file = found.groups()
        revision = self.main if revision in (None, "main") else revision
        files = self.revisions.get(revision)
        if files is None:
            return status(404, X_Error_Code="RevisionNotFound")(handler)
        if kind == "resolve":
            if file not in files:
                return status(404, X_Error_Code="EntryNotFound")(handler)
            tag = f'"{hashlib.sha1(files[file]).hexdigest()}"'
            return body(files[file], ETag=tag, X_Repo_Commit=revision)(handler)
        listed = [
            {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
            for name, content in files.items()
        ]
        siblings = [{"rfilename": name} for name in files]
        info = {"id": "o/d", "sha": revision, "siblings": siblings, "cardData": {"license": "mit"}}
        return body(json.dumps(listed if kind == "tree" else info).encode())(handler)


@pytest.fixture
def hub(tmp_path):
    """(a Hub, a function that fetches from it in a process of its own: (status, what it said))."""
    with Hub() as server:

        def run(source, address=server.address):
            environment = {name: value for name, value in os.environ.items() if "HF_" not in name}
            environment |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home")}
            environment |= {"HF_TOKEN": "hf_secretsecretsecret", "no_proxy": "*"}
            command = arguments(tmp_path, {"hub": "o/d", **MAPPED, **source})
            ended = subprocess.run(
                [sys.executable, ROOT / "scripts" / "fetch.py", *command],
                env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            assert "secretsecret" not in ended.stdout + ended.stderr
            return ended.returncode, ended.stderr

        yield server, run


def test_a_data_set_of_the_hub(hub, tmp_path):
    server, run = hub
    assert run({"subset": ["one", "two"], "revision": None}) == (0, "")
    rows, manifest = results(tmp_path)
    assert pairs(rows) == [(f"q{i}", f"a{i}") for i in range(100)]
    origin = manifest["origins"]["d"]
    assert (origin["revision"], origin["hub_licence"]) == (OLD, "mit")
    # The revision of the first fetch is kept when the data set moves on.
    server.revisions[NEW] = server.revisions[OLD] | {"one.jsonl": lines(QUESTIONS[:5])}
    server.main = NEW
    assert run({"subset": ["one", "two"], "revision": None, "size": 70}) == (0, "")
    assert len(results(tmp_path)[0]) == 70
    assert read_json(tmp_path / "lock.json")["revisions"] == {"o/d": OLD}
    # A revision of the config comes before that of the lock.
    assert run({"files": ["one.jsonl"], "revision": NEW}) == (0, "")
    assert len(results(tmp_path)[0]) == 5


def test_a_revision_that_is_gone(hub, tmp_path):
    _, run = hub
    for source in ({"subset": "one"}, {"files": ["one.jsonl"]}):
        code, said = run({**source, "revision": NEW})
        assert code == 1
        assert said.startswith(f"error: seeds.math.instance: o/d: revision {NEW} is not there any")
        assert said.count("\n") == 1
    assert said.endswith(
        "download one.jsonl from https://huggingface.co/datasets/o/d yourself (JSON Lines, JSON or"
        " Parquet), put it anywhere and give its place as path instead of hub\n"
    )
    assert not (tmp_path / "resources").exists()


REFUSALS = {
    "gated": (status(403, X_Error_Code="GatedRepo"), "gated: accept its terms on its page"),
    "private or absent": (status(401, X_Error_Code="RepoNotFound"), "not there, or private"),
}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("revision", [None, OLD])
def test_a_data_set_that_is_not_given(hub, tmp_path, name, revision):
    server, run = hub
    server.refusal, reason = REFUSALS[name]
    code, said = run({"files": ["one.jsonl"], "revision": revision})
    assert code == 1
    assert f"o/d: {reason}" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "resources").exists()


def test_a_hub_out_of_reach(hub, tmp_path):
    with Server() as server:
        closed = server.address
    code, said = hub[1]({"revision": None, "subset": "one"}, closed)
    assert code == 1
    assert "o/d: cannot be had from the hub (" in said
    assert "or download split train of one from https://huggingface.co/datasets/o/d" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "resources").exists()


def test_parquet(hub, tmp_path):
    import pyarrow
    import pyarrow.parquet

    server, run = hub
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(QUESTIONS), tmp_path / "all.parquet")
    server.revisions[OLD]["all.parquet"] = (tmp_path / "all.parquet").read_bytes()
    assert run({"files": ["all.parquet"], "revision": OLD, "where": {"kind": 2}}) == (0, "")
    found = [row["instruction"] for row in results(tmp_path)[0]]
    assert found == [f"q{i}" for i in range(2, 100, 3)]
    server.revisions[OLD]["torn.parquet"] = server.revisions[OLD]["all.parquet"][:-9]
    code, said = run({"files": ["torn.parquet"], "revision": OLD})
    assert code == 1
    last = said.splitlines()[-1]
    assert last.startswith("error: seeds.math.instance: o/d: torn.parquet: not Parquet")


# Classification


class Backend:
    """Says 1 of even questions, 2 of odd ones, and something else of every seventh."""

    identity = "fake"

    def __init__(self, faults=0):
        self.asked, self.faults = [], faults

    def complete(self, queue):
        rows = []
        while queue:
            request = queue.popleft()
            number = int(re.search(r"q(\d+)", request["messages"][0]["content"])[1])
            row = {"fingerprint": request["fingerprint"]}
            if self.faults:
                self.faults -= 1
                rows.append(row | {"fault": "503"})
                continue
            self.asked.append(number)
            reply = f" {1 + number % 2}\n" if number % 7 else "1, mathematics"
            usage = {"input": 9, "output": 1}
            rows.append(row | {"reply": reply, "finish_reason": "stop", "usage": usage})
        random.Random(1).shuffle(rows)
        yield rows

    def close(self):
        pass


@pytest.fixture
def classified(seeds, tmp_path, monkeypatch):
    """Fetch the rows of one class by a Backend; returns (rows, manifest)."""
    prompt = tmp_path / "web.md"
    prompt.write_text("Mathematics? {instruction}")
    source = written(tmp_path / "all.jsonl", QUESTIONS) | MAPPED

    def fetched(backend, wanted, size, wave=16):
        monkeypatch.setattr("agorabench.llm.connect", lambda entry, **_: backend)
        monkeypatch.setattr(sampling, "WAVE", wave)
        classify = {"generator": "fake", "prompt": str(prompt), "class": wanted}
        return seeds(source | {"classify": classify, "size": size})

    return fetched


def numbers(rows):
    return [int(row["instruction"][1:]) for row in rows]


def test_rows_of_a_class_and_nothing_asked_twice(classified, tmp_path):
    backend = Backend()
    math, manifest = classified(backend, "1", 20)
    assert len(math) == 20
    assert all(number % 2 == 0 and number % 7 for number in numbers(math))
    left_out = manifest["origins"]["all"]["left_out"]
    assert left_out["not classified"] > 0
    assert left_out["other class"] > 0
    before = len(backend.asked)
    assert before < 100  # no more than it takes
    other, _ = classified(backend, "2", 20)
    assert len(other) == 20
    assert all(number % 2 == 1 and number % 7 for number in numbers(other))
    assert len(set(backend.asked)) == len(backend.asked)
    assert classified(backend, "1", 20)[0] == math
    asked = len(backend.asked)
    assert len(Journal(tmp_path / "journal" / "classify" / "web.jsonl").__enter__()) == asked


def test_the_wave_does_not_matter(classified, tmp_path):
    one, _ = classified(Backend(), "1", 20, wave=3)
    (tmp_path / "journal" / "classify" / "web.jsonl").unlink()
    assert classified(Backend(), "1", 20, wave=100)[0] == one


def test_a_fault_of_the_classifier_is_no_verdict(classified, tmp_path):
    expected, _ = classified(Backend(), "1", 20)
    (tmp_path / "journal" / "classify" / "web.jsonl").unlink()
    assert classified(Backend(faults=30), "1", 20)[0] == expected
    (tmp_path / "journal" / "classify" / "web.jsonl").unlink()
    with pytest.raises(UserError, match=r"16 of 16 requests got no reply in 5 rounds \(503 80\)"):
        classified(Backend(faults=1000), "1", 20)
    assert classified(Backend(), "1", 20)[0] == expected


def test_the_prompt_takes_every_row_as_it_is(tmp_path):
    backend = SimpleNamespace(identity="fake", complete=lambda queue: iter([take(queue)]))
    seen = []

    def take(queue):
        request = queue.popleft()
        seen.append(request["messages"][0]["content"])
        return [{"fingerprint": request["fingerprint"], "reply": "1", "finish_reason": "stop"}]

    row = {"instruction": "What is {theme} in {{x}}?", "response": "a"}
    with Journal(tmp_path / "web.jsonl") as journal:
        classify = make_classifier(backend, {}, "Is it? {instruction}", journal)
        assert classify([row, row]) == ["1", "1"]
    assert seen == ["Is it? What is {theme} in {{x}}?"]  # asked once


def test_a_classifier_that_never_says_a_class_is_stopped(tmp_path):
    asked = []

    class Chatty:
        identity = "chatty"

        def complete(self, queue):
            while queue:
                asked.append(queue.popleft()["fingerprint"])
                yield [{"fingerprint": asked[-1], "reply": "Yes.", "finish_reason": "stop"}]

    rows = [{"instruction": f"q{number}", "response": "a"} for number in range(1000)]
    with Journal(tmp_path / "web.jsonl") as journal:
        for _ in range(2):
            classify = make_classifier(Chatty(), {}, "Is it? {instruction}", journal)
            sentence = r"chatty: none of the first 48 replies is good \(no readable answer 48\)"
            with pytest.raises(UserError, match=rf'{sentence}, such as "Yes."; change the prompt'):
                classify(rows)
    assert len(asked) == 48


def test_the_real_prompt_has_its_placeholder():
    template = (ROOT / "config" / "prompts" / "classify" / "webinstruct.md").read_text()
    assert prompts.list_placeholders(template) == {"instruction"}
