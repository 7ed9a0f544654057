"""Models in a store of one's own: copied there from the hub's cache, and back on machines that shall not download them.

A repository's files lie under their sha256, beside a list of them that is written last. Loads no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from farm.contract import Value
from farm.errors import ConfigError
from farm.store import Store
from framepack_engine.models import hub
from framepack_engine.models.download import digest_of

_SHA256 = "0" * 64
_GIT, _SHA = "[0-9a-f]{40}", "[0-9a-f]{64}"
Say = Callable[[str], None]


def _inside(path: str) -> str:
    """Return the path if it stays below the folder that it begins in. Raises: ValueError."""
    if not path or path.startswith("/") or "\\" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ValueError("it leads out of the model's folder")
    return path


class Kept(Value):
    """A file in the store. blob: its name in the hub's cache; sha256: its name in the store."""

    path: Annotated[str, AfterValidator(_inside)]
    size: int = Field(ge=0)
    blob: str = Field(pattern=f"^({_GIT}|{_SHA})$")
    sha256: str = Field(pattern=f"^{_SHA}$")


class Listed(Value):
    """A repository in the store: the commit of its revision, and its files."""

    commit: str = Field(pattern=f"^{_GIT}$")
    files: tuple[Kept, ...]


def push(repos: Iterable[hub.Repo], store: Store, *, say: Say, bar: hub.Bar) -> None:
    """Copy the repositories from this machine into the store; skip files that are there.

    Raises: ConfigError if a file is missing here or damaged; StoreError.
    """
    for repo in repos:
        files = list(_files_here(repo))
        size = sum(file.size for _, file in files)
        say(f"copying {repo.name}: {hub.in_words(size)} into the store")
        there = store.existing({_key(file) for _, file in files})
        with bar(size) as on_bytes:
            for path, file in files:
                if _key(file) not in there:
                    store.put_if_absent(_key(file), path.resolve())
                on_bytes(file.size)
        _put_list(repo, store, [file for _, file in files])


def pull(repos: Iterable[hub.Repo], store: Store, *, say: Say, bar: hub.Bar) -> None:
    """Copy the repositories from the store into the hub's cache; skip files that are here, and check each sha256.

    Raises: ConfigError if the store lacks a repository, if a name in its list leads out of the cache, or if a file is
    not what its name says; ModelUnavailable if the disk is too small; StoreError.
    """
    lists = [(repo, _wanted(repo, store)) for repo in repos]
    hub.check_room(sum(file.size for repo, kept in lists for file in kept.files if not _is_here(repo, file)))
    for repo, kept in lists:
        files = kept.files
        size = sum(file.size for file in files)
        say(f"copying {repo.name} at {kept.commit}: {hub.in_words(size)} into {hub.folder_of(repo.name)}")
        with bar(size) as on_bytes:
            for file in files:
                if not _is_here(repo, file):
                    _fetch(store, file, _blob(repo, file))
                on_bytes(file.size)
        hub.give_names(repo, kept.commit, [(file.path, file.blob) for file in files])


def _files_here(repo: hub.Repo) -> Iterator[tuple[Path, Kept]]:
    """Yield each file of a repository with its hashes. Raises: ConfigError if one is damaged, or there is none."""
    root, found = hub.snapshot(repo.name, repo.revision), False
    for check in hub.check_files(repo):
        if check.state != "ok":
            raise ConfigError(f"{check.path} is {check.state}: `framefarm models verify` says more; nothing was copied")
        found, blob = True, check.path.readlink().name
        yield (
            check.path,
            Kept(
                path=str(check.path.relative_to(root)),
                size=check.path.stat().st_size,
                blob=blob,
                sha256=blob if len(blob) == len(_SHA256) else digest_of(check.path, like=_SHA256),
            ),
        )
    if not found:
        raise ConfigError(f"no file of {repo.name} at {repo.revision} is here; fetch it first: `framefarm models pull`")


def _put_list(repo: hub.Repo, store: Store, files: list[Kept]) -> None:
    """Write the repository's newest list, unless it says the same."""
    commit = hub.snapshot(repo.name, repo.revision).name
    new = Listed(commit=commit, files=tuple(sorted(files, key=lambda file: file.path)))
    content, written = new.model_dump_json(indent=1).encode(), False
    while not written:
        newest = _newest(repo, store)
        if newest and store.get(newest) == content:
            return
        number = _number(newest) + 1 if newest else 1
        written = store.put_if_absent(f"{_lists(repo)}{number:020d}.json", content)  # False: another push was faster


def _wanted(repo: hub.Repo, store: Store) -> Listed:
    """Return the repository's newest list. Raises: ConfigError if there is none, or if it cannot be used."""
    if (newest := _newest(repo, store)) is None:
        raise ConfigError(
            f"the store has no {', '.join(repo.patterns)} of {repo.name} at {repo.revision}; "
            "`framefarm models push` with the same name copies it"
        )
    try:
        return Listed.model_validate_json(store.get(newest))
    except ValidationError as err:
        fault = err.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "all of it"
        raise ConfigError(f"{newest} in the store cannot be used: {where}: {fault['msg']}; push again") from err


def _newest(repo: hub.Repo, store: Store) -> str | None:
    """Return the key of the repository's newest list. The order of pushes decides, not a machine's clock."""
    numbered = [key for key in store.list(_lists(repo)) if Path(key).stem.isdecimal()]
    return max(numbered, key=_number, default=None)


def _number(key: str) -> int:
    return int(Path(key).stem)


def _is_here(repo: hub.Repo, file: Kept) -> bool:
    blob = _blob(repo, file)
    return blob.is_file() and blob.stat().st_size == file.size


def _fetch(store: Store, file: Kept, blob: Path) -> None:
    """Write a file into the cache beside its place, and give it its name there once its hash is right."""
    blob.parent.mkdir(parents=True, exist_ok=True)
    partial = blob.with_name(f"{blob.name}.{os.getpid()}.incomplete")
    try:
        store.download(_key(file), partial)
        if wrong := [name for name in {file.sha256, file.blob} if digest_of(partial, like=name) != name]:
            raise ConfigError(f"{file.path} in the store is damaged: its hash is not {wrong[0]}")
        partial.replace(blob)
    finally:
        partial.unlink(missing_ok=True)


def _blob(repo: hub.Repo, file: Kept) -> Path:
    return hub.folder_of(repo.name) / "blobs" / file.blob


def _key(file: Kept) -> str:
    return f"blobs/{file.sha256}"


def _lists(repo: hub.Repo) -> str:
    """Return the folder of the repository's numbered lists. Each push of other files adds one, and none goes."""
    patterns = hashlib.sha256(json.dumps(repo.patterns).encode()).hexdigest()[:16]
    return f"lists/{repo.name}/{repo.revision}/{patterns}/"
