"""How fast does generation go, beside others and beside what the network allows?

    python perf/generate.py                          # all, 10,000 requests, at 64 and 256
    python perf/generate.py --requests 2000 --only curator bare_aiohttp --concurrency 64

One server on loopback answers every request after 200 ms. Each contestant sends it the same
prompts, in a process and, where it brings its own packages, an environment of its own
(perf/.envs/NAME, made on demand from requirements-NAME.txt). A run counts only if the
contestant wrote down one reply for every prompt. Prints a Markdown table and writes
perf/results/generate.json:

    whole     requests/s from the start of the process to its end
    asking    requests/s from the first request's arrival to the last reply, as the server saw them
    cpu       seconds, user and system, of the process and all its children
    memory    MB, the highest sum of proportional set sizes of its processes (see Memory)
    peak      requests that the server ever saw in flight at once
    others    CPU seconds that neither contestant nor server used meanwhile: how calm it was

Last, this project resumes a finished journal of 50,000 replies; that must not ask anything.
"""

import argparse
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import server
import yaml
from servers.control import SETTINGS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LATENCY = 0.2  # seconds until the server answers
WORDS = 290  # of a prompt: about 300 tokens, 1.5 kB
# Common words, so that a word is about a token, as in prose.
VOCABULARY = (
    "the of and to in is that it was for on are with as at be this have from or one had by word"
    " but not what all were we when your can said there use an each which she do how their if"
    " will up other about out many then them these so some her would make like him into time has"
    " look two more write go see number no way could people than first water been call who its"
    " now find long down day did get come made may part over new sound take only little work"
)
SAMPLE = 0.1  # seconds between two looks at the memory
LIMIT = 1800  # seconds for one run

# As a machine without the network would have it, and nothing of one run for the next to find.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "NO_PROXY": "127.0.0.1",
    "PYTHONUNBUFFERED": "1",
    "BENCHMARK_KEY": SETTINGS["key"],
}


@dataclass
class Contestant:
    """Who takes part: a script of contestants/, run in this environment or in its own."""

    label: str
    settings: str
    own: bool = False
    environment: dict = field(default_factory=dict)


CONTESTANTS = {
    "ours": Contestant("this project", "scripts/generate.py, response generation, all its checks"),
    "bare_aiohttp": Contestant("bare aiohttp", "one session, limit = concurrency"),
    "openai_aiohttp": Contestant("official client, aiohttp", "DefaultAioHttpClient()"),
    "openai_httpx": Contestant("official client, httpx", "AsyncOpenAI() as it comes"),
    "curator": Contestant(
        "bespokelabs-curator",
        "max_concurrent_requests = concurrency, limits a minute out of reach; cache, telemetry,"
        " viewer and rich display off",
        own=True,
        environment={
            "CURATOR_DISABLE_CACHE": "1",
            "CURATOR_DISABLE_RICH_DISPLAY": "1",
            "TELEMETRY_ENABLED": "false",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it asks the network for prices first
        },
    ),
    "original_agora": Contestant(
        "data-agora",
        "num_threads = concurrency; a validator that accepts everything, no progress bar",
        own=True,
    ),
    "distilabel_pipeline": Contestant(
        "distilabel",
        "TextGeneration in 4 replicas with input_batch_size = concurrency / 4; cache and raw"
        " inputs and outputs off",
        own=True,
        environment={"DISTILABEL_LOG_LEVEL": "WARNING"},  # or it logs every request
    ),
}


class Failed(Exception):
    """A contestant did not install, did not finish or did not bring its replies."""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--skip", nargs="+", choices=CONTESTANTS, default=[])
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the median is shown")
    parser.add_argument("--no-resume", action="store_true", help="leave out the finished journal")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "generate.json")
    args = parser.parse_args(argv)

    names = [name for name in args.only if name not in args.skip]
    result = {
        "machine": machine(),
        "requests": args.requests,
        "latency": LATENCY,
        "settings": {name: CONTESTANTS[name].settings for name in names},
        "runs": [],
    }
    pythons, missing = {}, {}
    for name in names:
        try:
            pythons[name] = python(name)
        except Failed as reason:
            missing[name] = str(reason)
    with server.start(LATENCY) as served:
        # Round by round, so that a disturbance of the machine does not hit one contestant alone.
        for concurrency in args.concurrency:
            for _ in range(args.repeat):
                for name in names:
                    run = {"contestant": name, "concurrency": concurrency}
                    try:
                        if name in missing:
                            raise Failed(missing[name])
                        run |= compete(name, pythons[name], served, args.requests, concurrency)
                    except Failed as reason:
                        run["failed"] = str(reason)
                    print(json.dumps(run), file=sys.stderr)
                    result["runs"].append(run)
    if not args.no_resume:
        try:
            result["resume"] = resume()
        except Failed as reason:
            result["resume"] = {"failed": str(reason)}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))


def machine():
    """What the numbers were measured on, for the record."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def python(name):
    """The interpreter for a contestant; its environment is made if it is not there.

    Raises:
        Failed: it cannot be installed; the message ends with pip's last line.
    """
    if not CONTESTANTS[name].own:
        return sys.executable
    folder, wanted = HERE / ".envs" / name, HERE / f"requirements-{name}.txt"
    ready = folder / "ready"
    if not ready.exists() or ready.read_bytes() != wanted.read_bytes():
        print(f"installing {wanted.name}", file=sys.stderr)
        steps = [
            [sys.executable, "-m", "venv", "--clear", folder],
            [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", wanted],
        ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True)
            if done.returncode:
                raise Failed(f"does not install: {last_line(done.stderr)}")
        ready.write_bytes(wanted.read_bytes())
    return str(folder / "bin" / "python")


def compete(name, interpreter, served, count, concurrency):
    """Measure one run of one contestant; a dict of what the table shows, and more.

    Raises:
        Failed: it did not finish, or not with one reply for each prompt.
    """
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        folder = Path(folder)
        write_prompts(folder / "prompts.jsonl", count)
        home = folder / "home"
        home.mkdir()
        environment = os.environ | ENVIRONMENT | CONTESTANTS[name].environment
        environment["HOME"] = str(home)
        output = folder / "replies.jsonl"
        if name == "ours":
            command = ours(served.openai, count, concurrency, folder)
        else:
            script = HERE / "contestants" / f"{name}.py"
            prompts = folder / "prompts.jsonl"
            command = [interpreter, script, served.openai, prompts, concurrency, output]
        served.reset()
        around = busy() - served.cpu()
        run = measure(command, environment, folder)
        around = busy() - served.cpu() - around
        replies = ours_replies(folder) if name == "ours" else read_lines(output)
        check(replies, count)
        seen = served.books()
        # The first answer is LATENCY after the first request.
        phase = seen["last"] - seen["first"] + LATENCY
        return {
            "whole": count / run["wall"],
            "asking": count / phase,
            "cpu": run["cpu"],
            "memory": run["memory"],
            "peak": seen["peak"],
            "answered": seen["answered"],
            "others": around - run["cpu"],
            "wall": run["wall"],
            "processes": run["processes"],
        }


def busy():
    """CPU seconds that all processes of this machine have used so far."""
    user, nice, system, _idle, _iowait, *interrupts = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, *interrupts))) / os.sysconf("SC_CLK_TCK")


def write_prompts(path, count, words=WORDS):
    """Write `count` rows with an instruction each, all different, the same in every run."""
    draw, vocabulary = random.Random("prompts"), VOCABULARY.split()
    with open(path, "w", encoding="utf-8") as lines:
        for index in range(count):
            text = f"Problem [{index:06}]: {' '.join(draw.choices(vocabulary, k=words))}"
            row = {"id": f"p{index}", "instruction": text, "response": "none"}
            lines.write(json.dumps(row) + "\n")


def check(replies, count):
    """Check that there is exactly one reply for each of the `count` prompts.

    Raises:
        Failed: replies are missing, double or strange.
    """
    found = {reply.partition("[")[2][:6] for reply in replies}
    wanted = {f"{index:06}" for index in range(count)}
    if len(replies) != count or found != wanted:
        raise Failed(f"{len(replies)} replies, {len(found & wanted)} of {count} prompts answered")


def read_lines(path):
    """Values of a JSON Lines file, a list; empty where there is none."""
    return [json.loads(line) for line in path.open(encoding="utf-8")] if path.exists() else []


def measure(command, environment, folder):
    """Run a command in a session of its own; return wall and CPU seconds, memory, processes.

    Raises:
        Failed: it ended with an error or did not end in LIMIT seconds.
    """
    start = time.perf_counter()
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    memory = Memory(process.pid)
    timer = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        # Not Popen.wait: this also tells the CPU time of the process and of its finished children.
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        wall = time.perf_counter() - start
        timer.cancel()
        memory.stop()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        text = (folder / "log.txt").read_text(errors="replace")
        raise Failed(f"exit {process.returncode}: {last_line(text)}")
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": memory.peak / 1e6,
        "processes": memory.processes,
    }


class Memory(threading.Thread):
    """Watch the processes of a session: `peak`, bytes, and how many they were.

    The peak is the highest sum of their proportional set sizes seen, where a page that several
    share counts once, or what the kernel noted as the most that one of them ever had, if that is
    more: it may have been between two looks.
    """

    def __init__(self, session):
        super().__init__(daemon=True)
        self.session, self.peak, self.processes = session, 0, 0
        self.ended = threading.Event()
        self.start()

    def run(self):
        while True:
            sizes = [size for pid in self._members() if (size := self._size(pid))]
            shares, highest = zip(*sizes, strict=True) if sizes else ((), ())
            self.peak = max(self.peak, sum(shares), *highest)
            self.processes = max(self.processes, len(sizes))
            if self.ended.wait(SAMPLE):
                return

    def stop(self):
        self.ended.set()
        self.join()

    def _members(self):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    # After the name, which is in brackets: state, parent, group, session.
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue  # ended meanwhile
                if int(fields[3]) == self.session:
                    yield entry

    def _size(self, folder):
        try:
            lines = (folder / "smaps_rollup").read_text() + (folder / "status").read_text()
        except OSError:
            return None  # ended meanwhile
        told = dict(line.split(":", 1) for line in lines.splitlines() if ":" in line)
        if "VmHWM" not in told:
            return None  # ended, and its parent has not noticed yet
        return tuple(int(told[name].split()[0]) * 1024 for name in ("Pss", "VmHWM"))


def ours(url, count, concurrency, folder):
    """The command that has this project answer the prompts of `folder`."""
    entry = {
        "backend": "openai",
        "model": "gpt-4o-mini",
        "base_url": url,
        "key": "BENCHMARK_KEY",
        "sampling": {"top_p": None, "max_tokens": 1024},
        "concurrency": concurrency,
        "price": {"input": 0.15, "output": 0.6},
    }
    config = yaml.safe_load((ROOT / "config" / "mini.yaml").read_text(encoding="utf-8"))
    config["generators"] = {"ours": entry}
    config["experiments"]["main"]["generators"] = ["ours"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    generation = {
        "attempts": 10,
        "validators": {"math": ["length"]},
        "max_characters": 20_000,
        "system": None,
    }
    (folder / "prompt.md").write_text("{instruction}\n", encoding="utf-8")
    flags = {
        "domain": "math",
        "method": "response",
        "size": count,
        "seed": 1,
        "entry": json.dumps(entry),
        "config": folder / "config.json",
        "generator": "ours",
        "generation": json.dumps(generation),
        "seeds": folder / "prompts.jsonl",
        "prompt": folder / "prompt.md",
        "journal": folder / "journal" / "math" / "response" / "ours" / "bench" / "seed1.jsonl",
        "output": folder / "raw.jsonl",
    }
    script = ROOT / "scripts" / "generate.py"
    pairs = [(f"--{name}", value) for name, value in flags.items()]
    return [sys.executable, script, *(part for pair in pairs for part in pair)]


def ours_replies(folder):
    """Replies that this project's run wrote, a list of str."""
    return [row["response"] for row in read_lines(folder / "raw.jsonl")]


def resume(count=50_000, asked=60, words=330):
    """What it takes this project to find that a journal of `count` replies of 2 kB is finished.

    The questions have `asked` words, as those of the seed data do.

    The journal is the project's own, written by a first run against a server that does not wait;
    the second run must ask nothing and write the same.

    Returns:
        dict with rows, journal and memory (MB), wall and cpu (seconds).

    Raises:
        Failed: a run failed, the second asked something, or it wrote something else.
    """
    with tempfile.TemporaryDirectory(prefix="resume-") as folder, server.start(0) as served:
        folder = Path(folder)
        write_prompts(folder / "prompts.jsonl", count, asked)
        command = ours(served.openai, count, 256, folder)
        environment = os.environ | ENVIRONMENT
        served.set(words=words)
        measure(command, environment, folder)
        check(ours_replies(folder), count)
        first = (folder / "raw.jsonl").read_bytes()
        (folder / "raw.jsonl").unlink()
        served.reset()
        run = measure(command, environment, folder)
        if again := served.books()["answered"]:
            raise Failed(f"the resumed run asked {again} times")
        if (folder / "raw.jsonl").read_bytes() != first:
            raise Failed("the resumed run wrote other rows than the first")
        size = next((folder / "journal").rglob("seed1.jsonl")).stat().st_size
        told = {key: run[key] for key in ("wall", "cpu", "memory")}
        return {"rows": count, "journal": size / 1e6} | told


def table(result):
    """The result as a Markdown table, a str; medians where there were several runs."""
    lines = [
        "| contestant | in flight | requests/s, whole | requests/s, asking | of the ideal |"
        " CPU, s | memory, MB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    runs = result["runs"]
    for concurrency in dict.fromkeys(run["concurrency"] for run in runs):
        ideal = concurrency / result["latency"]
        seconds = result["requests"] / ideal
        lines.append(f"| ideal, {seconds:.1f} s | {concurrency} | | {ideal:.0f} | 100 % | | |")
        for name in dict.fromkeys(run["contestant"] for run in runs):
            mine = [r for r in runs if (r["contestant"], r["concurrency"]) == (name, concurrency)]
            label = f"| {CONTESTANTS[name].label} | {concurrency} |"
            done = [run for run in mine if "failed" not in run]
            if not done:
                lines.append(f"{label} {mine[0]['failed']} | | | | |")
                continue
            middle = {
                key: statistics.median(run[key] for run in done)
                for key in ("whole", "asking", "cpu", "memory")
            }
            lines.append(
                f"{label} {middle['whole']:.0f} | {middle['asking']:.0f} |"
                f" {middle['asking'] / ideal:.0%} | {middle['cpu']:.1f} |"
                f" {middle['memory']:.0f} |"
            )
    lines += ["", *(f"- {CONTESTANTS[n].label}: {how}" for n, how in result["settings"].items())]
    if resumed := result.get("resume"):
        told = "{rows} replies, {journal:.0f} MB: {wall:.2f} s, CPU {cpu:.2f} s, {memory:.0f} MB"
        told = resumed.get("failed") or told.format(**resumed)
        lines += ["", f"Resuming a finished journal: {told}"]
    return "\n".join(lines)


def last_line(text):
    """The last line of a log that says something."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no message")


if __name__ == "__main__":
    main()
