"""Official repositories in the Hugging Face hub's cache: list, fetch, check and remove them. Loads no torch.

Before a download its size and target are announced.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from framepack_engine.errors import ModelUnavailable
from framepack_engine.models.catalog import Part
from framepack_engine.models.download import DownloadError, HubFile, bytes_here, digest_of, fetch_blobs

#: of each part's folder; other formats of the weights are not fetched
FILES = ("*.json", "*.safetensors", "*.txt", "*.model")

Bar = Callable[
    [int], AbstractContextManager[Callable[[int], None]]
]  #: total bytes -> a callback that hears the size of each piece


class Repo(NamedTuple):
    """The wanted files of a repository: one revision, and patterns."""

    name: str
    revision: str
    patterns: tuple[str, ...]


class Pull(NamedTuple):
    """A download that has not begun."""

    repo: Repo
    commit: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def missing(self) -> int:
        """The bytes that are not here yet."""
        return self.size - sum(bytes_here(file, folder_of(self.repo.name) / "blobs") for file in self.files)


class Check(NamedTuple):
    """The state of one file: "ok", "damaged", or "unknown" if its hash is not known."""

    path: Path
    state: str


def repos_of(parts: Iterable[Part]) -> list[Repo]:
    """Return the repositories of these parts."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        names = [f"{part.folder}/{name}" if part.folder else name for name in FILES]
        wanted.setdefault((part.repo, part.revision), []).extend(names)
    return [Repo(repo, revision, tuple(names)) for (repo, revision), names in sorted(wanted.items())]


def cache_folder() -> Path:
    """Return the hub's cache (HF_HOME, HF_HUB_CACHE)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def is_offline() -> bool:
    """Tell whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def snapshot(name: str, revision: str) -> Path:
    """Return the folder of a revision's files, downloaded or not; a branch is its commit at the last fetch."""
    ref = folder_of(name) / "refs" / revision
    return folder_of(name) / "snapshots" / (ref.read_text().strip() if ref.is_file() else revision)


def plan_pull(repo: Repo) -> Pull:
    """Ask the hub for the files of a repository. Raises: ModelUnavailable if it does not answer, or forbids it."""
    import huggingface_hub

    try:
        info = huggingface_hub.HfApi().model_info(repo.name, revision=repo.revision, files_metadata=True)
    except Exception as err:  # border: the hub's client changes its HTTP library between versions
        raise ModelUnavailable(
            f"{repo.name} at {repo.revision} cannot be fetched into {cache_folder()} ({type(err).__name__}: {err})",
            repo=repo.name,
        ) from err
    commit = str(info.sha)
    files = [
        HubFile(
            path=one.rfilename,
            size=one.size,
            digest=one.lfs.sha256 if one.lfs else one.blob_id,
            url=huggingface_hub.hf_hub_url(repo.name, one.rfilename, revision=commit),
        )
        for one in info.siblings or ()
        if any(fnmatch(one.rfilename, pattern) for pattern in repo.patterns)
    ]
    return Pull(repo, commit, tuple(files))


def pull(wanted: Iterable[Repo], *, say: Callable[[str], None], bar: Bar | None = None) -> None:
    """Fetch missing files, resume partial ones, and check each hash.

    say: hears sizes and target before the first byte. bar: shows progress.
    Raises: ModelUnavailable if the hub refuses, the disk is too small, or a file is not what was announced; the next
        call resumes from the bytes that arrived.
    """
    from huggingface_hub.utils import build_hf_headers

    pulls = [plan_pull(repo) for repo in wanted]
    for one in pulls:
        part = "" if one.missing == one.size else f", {in_words(one.missing)} of it missing"
        say(f"downloading {one.repo.name} at {one.commit}: {in_words(one.size)}{part} into {folder_of(one.repo.name)}")
    total = sum(one.size for one in pulls)
    check_room(sum(one.missing for one in pulls))
    for one in pulls:  # another program may have brought a file without checking it
        for file in one.files:
            _drop_wrong_size(folder_of(one.repo.name) / "blobs" / file.digest, file.size)
    show = nullcontext(lambda _: None) if bar is None else bar(total)
    with show as on_bytes:
        for one in pulls:
            try:
                fetch_blobs(
                    one.files, folder_of(one.repo.name) / "blobs", headers=build_hf_headers(), on_bytes=on_bytes
                )
                give_names(one.repo, one.commit, [(file.path, file.digest) for file in one.files])
            except (DownloadError, OSError) as err:
                raise ModelUnavailable(f"{one.repo.name}: {err}. The same command resumes.") from err


def check_room(missing: int) -> None:
    """Make the cache's folder. Raises: ModelUnavailable if its disk has less than `missing` bytes free."""
    target = cache_folder()
    target.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target).free
    if missing > free:
        raise ModelUnavailable(
            f"{target} has {in_words(free)} free, and {in_words(missing)} are missing; set HF_HOME to a larger disk"
        )


def check_files(repo: Repo) -> Iterator[Check]:
    """Read every file of the snapshot and compare it with the hash that is its name in the cache."""
    for path in files_of(repo):
        name = path.readlink().name if path.is_symlink() else ""
        if len(name) not in {40, 64}:
            yield Check(path, "unknown")
        else:
            yield Check(path, "ok" if path.is_file() and digest_of(path, like=name) == name else "damaged")


def files_of(repo: Repo) -> list[Path]:
    """Return the wanted files that are in the snapshot."""
    root = snapshot(repo.name, repo.revision)
    paths = (path for path in sorted(root.rglob("*")) if path.is_symlink() or path.is_file())
    return [p for p in paths if any(fnmatch(str(p.relative_to(root)), pattern) for pattern in repo.patterns)]


def remove(repo: Repo, *, only: Iterable[Path] | None = None) -> int:
    """Remove the wanted files (or `only` some), and their bytes if no other snapshot uses them; return bytes freed."""
    home, freed = folder_of(repo.name), 0
    paths = files_of(repo) if only is None else list(only)
    blobs = {path.parent / path.readlink() if path.is_symlink() else path for path in paths}
    for path in paths:
        path.unlink(missing_ok=True)
    used = {os.path.realpath(path) for path in home.glob("snapshots/**/*") if path.is_symlink()}
    for blob in blobs:
        if os.path.realpath(blob) not in used and blob.exists():
            freed += blob.stat().st_size
            Path(os.path.realpath(blob)).unlink(missing_ok=True)
            blob.unlink(missing_ok=True)
    if only is None:
        for partial in home.glob("blobs/*.incomplete"):
            freed += partial.stat().st_size
            partial.unlink()
        for folder in sorted(home.glob("snapshots/**/"), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()
        if not any(home.glob("snapshots/*")):
            shutil.rmtree(home, ignore_errors=True)
    return freed


def give_names(repo: Repo, commit: str, files: Iterable[tuple[str, str]]) -> None:
    """Link the blobs into the snapshot, in the layout of the hub's client, and note the commit of a branch.

    files: path and blob of each. Source: "Understand caching" in huggingface_hub's documentation.
    """
    home = folder_of(repo.name)
    for path, blob in files:
        link = home / "snapshots" / commit / path
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(home / "blobs" / blob, link.parent))
    if commit != repo.revision:
        ref = home / "refs" / repo.revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)


def _drop_wrong_size(blob: Path, size: int) -> None:
    if blob.is_file() and blob.stat().st_size != size:
        blob.unlink()


def folder_of(name: str) -> Path:
    """Return the cache's folder of a repository."""
    return cache_folder() / f"models--{name.replace('/', '--')}"


def in_words(size: int) -> str:
    """Return a size in GB or MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
