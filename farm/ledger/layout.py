"""Every key in the store: how it is made, read back and listed.

Stores that exist already depend on these names, so a name never changes.

    jobs/<id>/request.json                     the request as it was accepted; it never changes
    jobs/<id>/webhook.json                     the request's receiver, with its secret
    jobs/<id>/inputs/start.png …               cleaned inputs
    jobs/<id>/shared/section-0.safetensors …   what a remix or an extension copied from another video
    jobs/<id>/log/00000017.json                a ledger entry
    jobs/<id>/sections/0003.a9.safetensors …   an artifact of attempt 9
    jobs/<id>/embeddings/<sha256>              the video uses this embedding
    jobs/<id>/hooks/00000017.request.json      the outcome of a webhook, for the end at entry 17
    open/<id>[.<nonce>]                        a marker: the video has not ended, or needs tidying up
    hooks/<id>.<seq>.<whose>                   a webhook to deliver, for the end at entry <seq> or a later one
    imports/<id>                               a marker: an import of this video has begun
    owners/<owner>/<countdown ms>_<id>         the index of an owner's videos, newest first
    idempotency/<owner>/<sha256 of the key>    the video that an Idempotency-Key stands for
    batches/<owner>/<batch id>.json            the videos of an accepted batch
    presets/<owner>/<number>.json              the presets that an owner saved; the highest number counts
    files/<owner>/<sha256>/<created>-<expires> a file that an owner sent, with both times in ms; the latest counts
    scripts/<owner>/<session>/<ms>_<name>      what a gradio script's session waits for, or its keyframes
    embeddings/<sha256>.safetensors            an embedding; embeddings/<sha256>/<id>: a video that uses it
    dispatcher/<epoch>                         the dispatcher of this epoch
    workers/<kind>/<slot>                      a worker on leave
    secrets/seal                               the secret that signs the sessions of browsers
    probe/…                                    trials of the store itself (farm/store/probe.py)
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, NamedTuple

from farm.contract import Job, JobId
from framefarm_client.names import is_id

VIDEOS = "jobs/"
OPEN_MARKERS = "open/"
HOOKS = "hooks/"
IMPORTS = "imports/"
INDEX = "owners/"
CLAIMS = "idempotency/"
BATCHES = "batches/"
PRESETS = "presets/"
FILES = "files/"
SCRIPTS = "scripts/"
EMBEDDINGS = "embeddings/"
EPOCHS = "dispatcher/"
SECRETS = "secrets/"
SEAL = f"{SECRETS}seal"
SEAL_BYTES = 32

REQUEST = "request.json"
#: Parts of a video (the first name below its folder) that stay with this farm and that no ledger entry names.
PRIVATE = frozenset({"webhook.json", "hooks", "embeddings"})
#: Parts that hold no artifact.
RESERVED = PRIVATE | {REQUEST, "log"}
#: Parts that may exist before ledger entry 0.
STAGED = PRIVATE | {REQUEST, "inputs", "shared"}

Whose = Literal["request", "farm"]
_COUNTDOWN_CHARS = 13
_LAST_MS = 9_999_999_999_999  #: index keys count down from here, so that the newest sorts first
_ENTRY = re.compile(r"jobs/[^/]+/log/(\d{8,})\.json")
_ATTEMPT = re.compile(r"jobs/[^/]+/(?:[^/]+/)?[^/.]+\.a(\d+)\..+")
_MARKER = re.compile(r"open/(video_[0-9a-f]{32})(\.[0-9a-f]{32})?")
_INDEXED = re.compile(r"owners/[^/]+/(\d{13})_([^/]+)")
_HOOK = re.compile(r"hooks/(video_[0-9a-f]{32})\.(\d+)\.(request|farm)")
_FILE = re.compile(r"files/([^/]+)/([0-9a-f]{64})/(\d{13,})-(\d{13,})")
_SCRIPT = re.compile(r"scripts/([^/]+)/([0-9a-f]{32})/(\d{13,})_((?:video|answer|sections)_[0-9a-f_]+)")
_EMBEDDED = re.compile(r"embeddings/([^/]+)(?:\.safetensors|/([^/]+))")


# ---- a video's own folder


def video_folder(job: JobId) -> str:
    """Return the prefix of everything that belongs to one video alone."""
    return f"{VIDEOS}{job}/"


def part_of(path: str) -> str:
    """Return the first name of a path below a video's folder: "request.json", "log", "sections" …."""
    return path.partition("/")[0]


def request_key(job: JobId) -> str:
    """Return the key of the request."""
    return f"{video_folder(job)}{REQUEST}"


def receiver_key(job: JobId) -> str:
    """Return the key of the request's own webhook receiver."""
    return f"{video_folder(job)}webhook.json"


def input_key(job: JobId, name: str) -> str:
    """Return the key of an uploaded input: "start", "end", … are PNGs, "source" is a video."""
    return f"{video_folder(job)}inputs/{name}.{'video' if name == 'source' else 'png'}"


def copy_key(job: JobId, folder: Literal["inputs", "shared"], name: str, original: str) -> str:
    """Return the key of what this video copies from another one; the suffix is that of the key `original`."""
    return f"{video_folder(job)}{folder}/{name.replace('/', '-')}.{original.rpartition('.')[2]}"


def artifact_key(job: JobId, name: str, *, attempt: int) -> str:
    """Return the key of an attempt's artifact. `name` is like "clips/0003.a{}.mp4", where {} stands for the attempt."""
    return f"{video_folder(job)}{name.format(attempt)}"


def parse_attempt(key: str) -> int | None:
    """Return the attempt whose artifact has this key; None for any other key."""
    found = _ATTEMPT.fullmatch(key)
    return int(found[1]) if found else None


def log_folder(job: JobId) -> str:
    """Return the prefix of a video's ledger."""
    return f"{video_folder(job)}log/"


def entry_path(seq: int) -> str:
    """Return where ledger entry `seq` lies below its video's folder."""
    return f"log/{seq:08}.json"


def entry_key(job: JobId, seq: int) -> str:
    """Return the key of ledger entry `seq`."""
    return f"{video_folder(job)}{entry_path(seq)}"


def parse_entry(key: str) -> int | None:
    """Return the seq of a ledger entry's key; None for any other key of a video."""
    found = _ENTRY.fullmatch(key)
    return int(found[1]) if found else None


def outcome_key(job: JobId, seq: int, whose: Whose) -> str:
    """Return where the outcome of a webhook for the end at entry `seq` is kept."""
    return f"{outcome_folder(job)}{seq:08}.{whose}.json"


def outcome_folder(job: JobId) -> str:
    """Return the prefix of the outcomes of a video's webhooks."""
    return f"{video_folder(job)}hooks/"


# ---- markers


def marker_key(job: JobId, nonce: str = "") -> str:
    """Return the key of a video's marker; with a nonce, of a second one that stands in for it (farm/jobs/sweep.py)."""
    return f"{OPEN_MARKERS}{job}.{nonce}" if nonce else f"{OPEN_MARKERS}{job}"


def parse_marker(key: str) -> JobId | None:
    """Return the video of a marker, first or second; None for any other key."""
    found = _MARKER.fullmatch(key)
    return JobId(found[1]) if found else None


class HookMarker(NamedTuple):
    """A webhook to deliver."""

    key: str
    job: JobId
    from_seq: int  #: the end is this ledger entry or a later one
    whose: Whose


def hook_key(job: JobId, seq: int, whose: str) -> str:
    """Return the key of the marker for a webhook to deliver."""
    return f"{hooks_prefix(job)}{seq:08}.{whose}"


def hooks_prefix(job: JobId) -> str:
    """Return the prefix of the markers for a video's webhooks."""
    return f"{HOOKS}{job}."


def parse_hook(key: str) -> HookMarker | None:
    """Return what a webhook's marker says; None for any other key."""
    found = _HOOK.fullmatch(key)
    return (
        HookMarker(key, JobId(found[1]), int(found[2]), "farm" if found[3] == "farm" else "request") if found else None
    )


def import_key(job: JobId) -> str:
    """Return the key of the marker for an import that has begun."""
    return f"{IMPORTS}{job}"


def parse_import(key: str) -> JobId | None:
    """Return the video of an import's marker; None for any other key."""
    job = key.removeprefix(IMPORTS)
    return JobId(job) if is_id(job) else None


# ---- what belongs to an owner


class Indexed(NamedTuple):
    """A video in the index."""

    created_ms: int
    job: JobId


def index_folder(owner: str) -> str:
    """Return the prefix of an owner's index."""
    return f"{INDEX}{owner}/"


def index_key(job: Job) -> str:
    """Return the key under which the index lists the video."""
    return f"{index_folder(job.owner)}{_LAST_MS - job.created_ms:013}_{job.id}"


def parse_index(key: str) -> Indexed | None:
    """Return the video that an index key lists; None for any other key."""
    found = _INDEXED.fullmatch(key)
    return Indexed(_LAST_MS - int(found[1]), JobId(found[2])) if found and is_id(found[2]) else None


def indexed_id(key: str) -> str:
    """Return the end of an index key, which should be a video's id: quick, for thousands of keys."""
    return key[key.rfind("/") + 1 + _COUNTDOWN_CHARS + 1 :]


def claim_key(owner: str, idempotency_key: str) -> str:
    """Return the key of what an Idempotency-Key stands for."""
    return f"{CLAIMS}{owner}/{hashlib.sha256(idempotency_key.encode()).hexdigest()}"


def batch_key(owner: str, batch_id: str) -> str:
    """Return the key of a batch."""
    return f"{BATCHES}{owner}/{batch_id}.json"


def presets_folder(owner: str) -> str:
    """Return the prefix of an owner's presets."""
    return f"{PRESETS}{owner}/"


def presets_key(owner: str, number: int) -> str:
    """Return the key of an owner's presets after so many changes."""
    return f"{presets_folder(owner)}{number:08}.json"


def parse_presets(key: str) -> int:
    """Return the number of a key of presets."""
    return int(key.rpartition("/")[2].removesuffix(".json"))


class FileKey(NamedTuple):
    """A file that an owner sent. Sending it again makes another object, which expires later."""

    owner: str
    sha256: str
    created_ms: int
    expires_ms: int

    def __str__(self) -> str:
        return f"{file_folder(self.owner, self.sha256)}{self.created_ms:013}-{self.expires_ms:013}"


def files_folder(owner: str) -> str:
    """Return the prefix of an owner's files."""
    return f"{FILES}{owner}/"


def file_folder(owner: str, sha256: str) -> str:
    """Return the prefix of the objects of one file."""
    return f"{files_folder(owner)}{sha256}/"


def parse_file(key: str) -> FileKey | None:
    """Return the file that a key names; None for any other key."""
    found = _FILE.fullmatch(key)
    return FileKey(found[1], found[2], int(found[3]), int(found[4])) if found else None


class ScriptKey(NamedTuple):
    """A note of a gradio script's session."""

    owner: str
    session: str  #: a hash of the name that the client gave it
    at_ms: int
    name: str  #: a video's id, "answer_…" or "sections_…"

    def __str__(self) -> str:
        """Return the key."""
        return f"{script_folder(self.owner, self.session)}{self.at_ms:013}_{self.name}"


def script_folder(owner: str, session: str) -> str:
    """Return the prefix of a session's notes."""
    return f"{SCRIPTS}{owner}/{session}/"


def parse_script(key: str) -> ScriptKey | None:
    """Return the note that a key names; None for any other key."""
    found = _SCRIPT.fullmatch(key)
    return ScriptKey(found[1], found[2], int(found[3]), found[4]) if found else None


# ---- embeddings, which videos share


class Embedded(NamedTuple):
    """An embedding, or one video's use of it."""

    name: str
    user: str  #: a video's id; empty: the key is that of the embedding itself


def embedding_key(name: str) -> str:
    """Return the key of an embedding."""
    return f"{EMBEDDINGS}{name}.safetensors"


def users_folder(name: str) -> str:
    """Return the prefix of the uses of an embedding."""
    return f"{EMBEDDINGS}{name}/"


def use_key(name: str, job: JobId) -> str:
    """Return where the embedding's side notes that the video uses it."""
    return f"{users_folder(name)}{job}"


def parse_embedding(key: str) -> Embedded | None:
    """Return what a key below EMBEDDINGS stands for; None for any other key."""
    found = _EMBEDDED.fullmatch(key)
    return Embedded(found[1], found[2] or "") if found else None


def uses_folder(job: JobId) -> str:
    """Return the prefix under which a video notes the embeddings that it uses: the names below it are theirs."""
    return f"{video_folder(job)}embeddings/"


# ---- the farm's own


def epoch_key(number: int) -> str:
    """Return the key of a dispatcher's epoch."""
    return f"{EPOCHS}{number:08}"


def parse_epoch(key: str) -> int:
    """Return the epoch of a key."""
    return int(key.removeprefix(EPOCHS))


def leave_folder(kind: str) -> str:
    """Return the prefix of the workers on leave, "paused" or "drained"."""
    return f"workers/{kind}/"


def leave_key(kind: str, slot: str) -> str:
    """Return the key that puts a slot on leave."""
    return f"{leave_folder(kind)}{slot}"
