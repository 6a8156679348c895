"""The files of config/ that configs name, in a folder that is not the repository's."""

from contextlib import suppress
from pathlib import Path


def link_shipped(base: Path) -> None:
    """Link what `base`/config has and config/ of this folder has not; one's own files stay.

    So prompts, rubrics and templates have the same names wherever a run is, and moving the
    repository, or a new version at another place, makes nothing stale.
    """
    if base.resolve() != Path.cwd().resolve():
        _link_missing(base.resolve() / "config", Path("config"))


def _link_missing(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for entry in sorted(source.iterdir()):
        own = target / entry.name
        with suppress(FileNotFoundError, FileExistsError):  # jobs of a cluster do it at a time
            if own.is_symlink() and own.readlink() != entry:
                own.unlink()  # the repository has moved
            if own.is_dir() and not own.is_symlink() and entry.is_dir():
                _link_missing(entry, own)
            elif not own.exists():
                own.symlink_to(entry)
