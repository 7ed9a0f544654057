"""Official repositories from the Hugging Face hub: nothing is downloaded before its size and target were told."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from framepack_engine.catalog import ModelEntry, Part
from framepack_engine.errors import ModelUnavailable

FILES = (
    "*.json",
    "*.safetensors",
    "*.txt",
    "*.model",
)  #: of each part's folder; other formats of the weights stay away


def patterns(part: Part) -> list[str]:
    """Which files of its repository `part` needs."""
    return [f"{part.folder}/{name}" if part.folder else name for name in FILES]


def fetch_repositories(entry: ModelEntry, *, say: Callable[[str], None]) -> dict[str, Path]:
    """Bring the repositories of `entry` into the hub's own cache (HF_HOME), unless they are there.

    say: hears the size and target of each download before it begins.
    Returns: repository name -> folder of the snapshot.
    Raises: ModelUnavailable when offline (HF_HUB_OFFLINE is respected), refused or not found.
    """
    wanted: dict[tuple[str, str], list[str]] = {}
    for part in entry.parts.values():
        wanted.setdefault((part.repo, part.revision), []).extend(patterns(part))
    return {
        repo: _fetch(entry.name, repo, revision, allow, say=say) for (repo, revision), allow in sorted(wanted.items())
    }


def _fetch(model: str, repo: str, revision: str, allow: list[str], *, say: Callable[[str], None]) -> Path:
    import huggingface_hub
    from huggingface_hub import constants, errors

    target = Path(constants.HF_HUB_CACHE)
    try:
        # What is in the cache is taken as it is: a branch that moved on must not change a farm's numbers by itself.
        return Path(
            huggingface_hub.snapshot_download(repo, revision=revision, allow_patterns=allow, local_files_only=True)
        )
    except errors.LocalEntryNotFoundError as err:
        if constants.HF_HUB_OFFLINE:
            raise ModelUnavailable(
                f"model {model!r}: {repo} at {revision} is not in {target}, and HF_HUB_OFFLINE forbids fetching it. "
                f"With a network: hf download {repo} --revision {revision}",
                model=model,
                repo=repo,
            ) from err
    try:
        info = huggingface_hub.HfApi().model_info(repo, revision=revision, files_metadata=True)
        size = sum(f.size or 0 for f in info.siblings or () if any(fnmatch(f.rfilename, one) for one in allow))
        say(f"downloading {repo} at {revision} ({info.sha}): {size / 1e9:.1f} GB into {target}")
        return Path(huggingface_hub.snapshot_download(repo, revision=info.sha or revision, allow_patterns=allow))
    except Exception as err:  # border: the hub's client changes its HTTP library between versions
        raise ModelUnavailable(
            f"model {model!r}: {repo} at {revision} cannot be fetched into {target} ({type(err).__name__}: {err})",
            model=model,
            repo=repo,
        ) from err
