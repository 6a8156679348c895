"""Rows as their publisher wrote them: from a local file, a URL or the Hugging Face hub.

A source says what to read and which version of it. Where the config leaves the version open (null),
the first fetch finds it out and writes it to a lock file; later fetches read that version and
refuse another. An error is one sentence that ends with what to download instead, because a local
file (`path`) can stand in for any source.
"""

import fcntl
import hashlib
import http.client
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from agorabench.errors import UserError
from agorabench.files import atomic_file, file_digest, read_json, to_json, write_json
from agorabench.models.hub import describe_refusal, first_line
from agorabench.rows import Unreadable, join_rows, parse_file, parse_files, read_files

ATTEMPTS = 3  # at a download, where the fault may pass
WAIT = 2.0  # seconds before the second attempt, doubled before each later one
TIMEOUT = 60  # seconds without a byte


class Lock:
    """Versions at the first fetch and the digests of the rows made of them, in a JSON file.

    Jobs that fetch at the same time take turns, so none loses another's entries. In a dry run
    nothing is written.
    """

    def __init__(self, path: str | Path, dry_run: bool = False):
        self.path, self.dry_run = Path(path), dry_run

    def pin_entry(self, section: str, key: str, find: Callable):
        """Return the entry of `key`; where there is none, it becomes what `find()` returns."""
        with self._locked_entries() as entries:
            if key not in entries.setdefault(section, {}):
                entries[section][key] = find()
                self._write_entries(entries)
            return entries[section][key]

    def set_entry(self, section: str, key: str, value) -> None:
        """Make `value` the entry of `key`."""
        with self._locked_entries() as entries:
            if entries.setdefault(section, {}).get(key) != value:
                entries[section][key] = value
                self._write_entries(entries)

    def _write_entries(self, entries):
        if not self.dry_run:
            write_json(self.path, entries)

    @contextmanager
    def _locked_entries(self):
        if self.dry_run:
            yield self._read_entries()
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Not the lock file itself: it is replaced, and a lock would stay with the old one.
        with open(self.path.with_name(f".{self.path.name}.turn"), "w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield self._read_entries()

    def _read_entries(self):
        try:
            return read_json(self.path)
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise UserError(
                f"{self.path}: not JSON ({error}); mend it, or delete it to resolve every"
                " version anew"
            ) from None


def read_source(source: dict, lock: Lock, setting: str) -> tuple[Sequence[dict], dict]:
    """Read the rows of a source, and where they came from.

    Args:
        source: config entry with `path`, `url` or `hub`.
        lock: the `Lock`.
        setting: the entry's key in the config, for the message.

    Returns:
        (rows, origin): a sequence of dictionaries; what the manifest says of the source.

    Raises:
        UserError: it cannot be had or read, or is not what the lock or the config's sha256 says.
    """
    kind = next(kind for kind in ("path", "url", "hub") if kind in source)
    origin = {kind: source[kind], "licence": source.get("licence")}
    try:
        rows, version = {"path": read_local, "url": read_url, "hub": read_hub}[kind](source, lock)
    except Unreadable as fault:
        raise UserError(
            f"{setting}: {source[kind]}: {fault}; {download_advice(kind, source)}"
        ) from None
    if not len(rows):
        raise UserError(f"{setting}: {source[kind]}: there are no rows")
    return rows, origin | version


def download_advice(kind: str, source: dict) -> str:
    """What to do where a source is not available."""
    if kind == "path":
        return "put the file there, or correct path"
    what = "the file"
    if kind == "hub":
        subset = source.get("subset")
        parts = [subset] if isinstance(subset, str) else subset or []
        what = " and ".join(source.get("files") or ())
        what = what or " ".join(["split", split_name(source), *(["of", *parts] if parts else [])])
        what += f" from https://huggingface.co/datasets/{source['hub']}"
    return (
        f"or download {what} yourself (JSON Lines, JSON or Parquet), put it anywhere and give its"
        f" place as path instead of {kind}"
    )


# A local file


def read_local(source: dict, _) -> tuple[Sequence[dict], dict]:
    """Rows of a file, or of all files of a folder in the order of their names."""
    rows, files = read_files(source["path"])
    return rows, {"sha256": file_digest(*files)}


# A file on the web


def read_url(source: dict, lock: Lock) -> tuple[Sequence[dict], dict]:
    """Rows of the file at a URL, whose sha256 the config or the lock knows after the first time."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(urlsplit(source["url"]).path).name
        download_file(source["url"], file)
        rows = parse_file(file)  # before the lock: what cannot be read is not worth remembering
        return rows, {"sha256": verified_digest(file, source, lock)}


def verified_digest(file: Path, source: dict, lock: Lock) -> str:
    """The sha256 of a downloaded file, which must be that of the config or of the lock.

    Raises:
        Unreadable: it is not.
    """
    url, digest = source["url"], file_digest(file)
    if source.get("sha256"):
        wanted, holder = source["sha256"], "the config"
    else:
        wanted, holder = lock.pin_entry("files", url, lambda: digest), lock.path
    if digest != wanted:
        raise Unreadable(
            f"the file has changed: its sha256 is {digest}, in {holder} it is {wanted}; take the"
            " new file by putting its sha256 there"
        )
    return digest


def copy_source(source: dict, lock: Lock, setting: str, target: str) -> dict:
    """Copy a file to `target` as it is; returns where it came from.

    Args:
        source: config entry with `path` or `url`.
        lock, setting: as for `read_source`.

    Raises:
        UserError: it cannot be had, or is not what the lock or the config's sha256 says.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            if "path" in source:
                file = Path(source["path"])
                if not file.is_file():
                    raise Unreadable("no such file")
                digest = file_digest(file)
            else:
                file = Path(folder) / "file"
                download_file(source["url"], file)
                digest = verified_digest(file, source, lock)
            with atomic_file(target, "wb") as copy, open(file, "rb") as original:
                shutil.copyfileobj(original, copy)
    except Unreadable as fault:
        origin = source.get("path") or source["url"]
        raise UserError(
            f"{setting}: {origin}: {fault}; download it yourself and give its path"
        ) from None
    return source | {"sha256": digest}


def download_file(url: str, file: Path) -> None:
    """Download `url` to `file`.

    Raises:
        Unreadable: it cannot be had, after three attempts where the fault may pass.
    """
    wait = WAIT
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as reply, open(file, "wb") as target:
                shutil.copyfileobj(reply, target)
                length = reply.headers.get("Content-Length")
                if length and target.tell() != int(length):
                    raise http.client.IncompleteRead(b"", int(length) - target.tell())
            return
        except urllib.error.HTTPError as error:
            reason, passing = f"HTTP status {error.code}", error.code >= 500 or error.code == 429
        except (OSError, http.client.HTTPException) as error:
            reason, passing = first_line(getattr(error, "reason", error)), True
        if not passing or attempt == ATTEMPTS:
            raise Unreadable(f"cannot be downloaded ({reason})")
        time.sleep(wait)
        wait *= 2


# A data set of the hub


def read_hub(source: dict, lock: Lock) -> tuple[Sequence[dict], dict]:
    """Rows of a split (of one or several subsets), or of named files, at one revision."""
    import datasets
    import huggingface_hub

    datasets.disable_progress_bars()
    huggingface_hub.utils.disable_progress_bars()
    huggingface_hub.logging.set_verbosity_error()  # it tells each of its attempts; we tell the last
    name = source["hub"]
    try:
        revision = source.get("revision") or lock.pin_entry(
            "revisions", name, lambda: huggingface_hub.HfApi().dataset_info(name).sha
        )
        if files := source.get("files"):
            # Some data sets hold a loading script, which `datasets` refuses to run.
            fetch = partial(
                huggingface_hub.hf_hub_download, name, repo_type="dataset", revision=revision
            )
            rows = parse_files({file: fetch(file) for file in files})
        else:
            subsets = source.get("subset")
            rows = join_rows(
                [
                    datasets.load_dataset(name, subset, revision=revision, split=split_name(source))
                    for subset in (subsets if isinstance(subsets, list) else [subsets])
                ]
            )
    except (Unreadable, UserError):
        raise
    except Exception as error:  # the libraries raise dozens of kinds
        raise Unreadable(describe_refusal(error, source.get("revision"))) from None
    return rows, {"revision": revision, "hub_licence": hub_licence(name, revision)}


def split_name(source: dict) -> str:
    """The split of a data set of the hub that is read."""
    return source.get("split", "train")


def hub_licence(name: str, revision: str) -> str | None:
    """The licence that the data set's card states, or None where it states none or none is had."""
    from huggingface_hub import HfApi

    try:
        card = HfApi().dataset_info(name, revision=revision).card_data
    except Exception:  # the rows are here already, from a cache perhaps: that is enough
        return None
    return card.license if card else None


def hub_revision(name: str, lock: Lock) -> str:
    """Revision of a model on the hub, which the lock knows after the first time."""
    from huggingface_hub import HfApi

    return lock.pin_entry("revisions", name, lambda: HfApi().model_info(name).sha)


def rows_digest(rows: Iterable[dict]) -> str:
    """SHA-256 (hexadecimal) of rows as `files.write_jsonl` writes them."""
    total = hashlib.sha256()
    for row in rows:
        total.update(to_json(row).encode() + b"\n")
    return total.hexdigest()
