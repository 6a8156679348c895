r"""List the batches that are open at providers, or cancel them.

    python scripts/tools/batches.py --config config/mini.yaml
    python scripts/tools/batches.py --config config/mini.yaml --cancel

One line for each: how many of its requests are done, its id, and the file that remembers it. What a
cancelled batch has answered until then is kept: run the workflow again to collect it, which stops
once and says so; the run after that asks for the rest.
"""

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agorabench import matrix, paths
from agorabench.cli import parse_arguments, run_program
from agorabench.errors import UserError
from agorabench.llm import errors
from agorabench.llm.batch_log import read_batches


def main(argv=None):
    def add_cancel(parser):
        parser.add_argument("--cancel", action="store_true", help="have them end now")

    args = parse_arguments(__doc__, "", argv, add_cancel)
    classifiers = {
        paths.open_batches(paths.classification_journal(chosen["prompt"])): chosen["generator"]
        for chosen in matrix.classifications(args.config)
    }
    clients = {}
    for path in paths.list_open_batches():
        generator = classifiers.get(path) or paths.parse_journal(path).generator
        batches = read_batches(path)[0].values()
        if batches and generator not in clients:
            clients[generator] = open_client(generator, args.config["generators"], path)
        for batch in batches:
            size = f"{len(batch.requests):,} requests"
            if batch.id:
                status = describe_batch(*clients[generator], batch.id, args.cancel)
                print(f"{status} of {size}; {path}", flush=True)
            else:
                print(f"{size} planned, perhaps not submitted; {path}", flush=True)


def open_client(name, generators, path):
    """(provider, client) of a generator.

    Raises:
        UserError: the config has no such generator, or its key is missing.
    """
    if name not in generators:
        known = ", ".join(generators)
        raise UserError(f"{path} is of generator '{name}', which the config lacks; it has {known}")
    entry = generators[name]
    provider = import_module(f"agorabench.llm.{entry['backend']}").make_provider(entry)
    return provider, provider.open_client()


def describe_batch(provider, client, id, cancel):
    """What the provider says of a batch; with `cancel`, an open one is cancelled."""
    try:
        status = provider.batch_status(client, id)
        if cancel and status.state == "open":
            provider.cancel_batch(client, id)
            return f"{id}: being cancelled, {status.done:,} done"
        return f"{id}: {status.state}, {status.done:,} done"
    except errors.RequestFault as fault:
        return f"{id}: {fault}"


if __name__ == "__main__":
    run_program(main)
