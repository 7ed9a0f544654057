"""An object store in an S3 bucket: AWS, Ceph RGW, R2 and others that honour `If-None-Match: *`.

An answer may get lost after the server has stored the object; boto's own retry then gets 412. So False from
`put_if_absent` means "there is an object", not "somebody else wrote it": callers compare the object with what they
wrote (a nonce, a sha256). docs/decisions/0011 lists the servers that were tried.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.handlers import add_expect_header
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential
from typing_extensions import override

from farm.errors import StoreError
from farm.store.probe import prove_create_once
from farm.store.protocol import ObjectMissing, Store, check_key
from framefarm_client.names import is_key

log = logging.getLogger(__name__)
_PIECE_BYTES = 1 << 20
_BROKEN_READS = 4  #: consecutive failures without a byte in between, after which a read has failed
_CONFLICTS = 8  #: 409s after which a put has failed
_STALE = timedelta(hours=24)  #: the writers of older unfinished uploads were killed
_LOOKERS = 16  #: requests at once that ask which objects exist
_SILENT = (ConnectTimeoutError, ReadTimeoutError)
_BROKEN = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


class Patience(NamedTuple):
    """How long a call waits for a server that says nothing."""

    connect_s: float
    read_s: float  #: without a byte
    attempts: int
    asks_first: bool  #: before each upload, with `Expect: 100-continue`; boto waits a second for a silent server

    @property
    def longest_s(self) -> float:
        """How long a call takes if the server accepts connections and never answers, with boto's pauses."""
        return self.attempts * (self.read_s + self.asks_first) + sum(
            min(20.0, 2.0**retry) for retry in range(self.attempts - 1)
        )


PATIENT = Patience(connect_s=3, read_s=15, attempts=3, asks_first=True)  #: the dispatcher and the workers
HASTY = Patience(connect_s=2, read_s=3, attempts=2, asks_first=False)  #: the ingress: its clients wait at most 10 s


class S3Store(Store):
    """Objects of the bucket, below the prefix. Opening it sends no request; keys and region come from AWS_*.

    An object of up to `multipart_bytes` is one conditional put. A bigger one is a multipart upload without a
    condition: only one attempt ever writes its key.
    """

    def __init__(
        self,
        url: str,
        *,
        endpoint: str | None = None,
        patience: Patience = PATIENT,
        multipart_bytes: int = 100 << 20,
        part_bytes: int = 16 << 20,
    ) -> None:
        """url: s3://bucket/prefix. endpoint: of a server other than AWS. part_bytes: at least 5 MiB, S3's own limit.

        An error after which the server may still hang has `hangs` among its facts.

        Raises: StoreError if the AWS_* variables cannot be used at all.
        """
        self._bucket, _, prefix = url.removeprefix("s3://").rstrip("/").partition("/")
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._multipart_bytes, self._part_bytes = multipart_bytes, part_bytes
        self._lookers = ThreadPoolExecutor(_LOOKERS, thread_name_prefix="look")  # its threads start when needed
        self._broken_reads = min(_BROKEN_READS, patience.attempts)
        self.name = f"{url} at {endpoint}" if endpoint else url
        try:
            session = boto3.session.Session()
            self._s3 = session.client(
                "s3",
                endpoint_url=endpoint,
                region_name=session.region_name or ("us-east-1" if endpoint else None),
                config=_config(patience, own_endpoint=endpoint is not None),
            )
            if not patience.asks_first:
                self._s3.meta.events.unregister("before-call.s3", add_expect_header)
        except (BotoCoreError, ValueError) as err:
            raise StoreError(f"cannot use {self.name}: {type(err).__name__}; check AWS_* and FARM_S3_ENDPOINT") from err

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        with self._asking("write", key), io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as body:
            size = body.seek(0, io.SEEK_END)
            if size > self._multipart_bytes:
                return self._put_in_parts(key, body, size)
            return self._create(self._name(key), body)

    @override
    def get(self, key: str) -> bytes:
        return b"".join(self.open_read(key))

    @override
    def open_read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if length is not None and length <= 0:  # HTTP has no empty range
            self.size(key)
            return iter(())
        pieces = self._pieces(key, start, None if length is None else start + length)
        return chain([next(pieces, b"")], pieces)

    @override
    def size(self, key: str) -> int:
        name = self._name(key)
        with self._asking("read", key):
            return int(self._s3.head_object(Bucket=self._bucket, Key=name)["ContentLength"])

    @override
    def existing(self, keys: Collection[str]) -> set[str]:
        if len(keys) == 1:  # it waits for no list
            return {key for key in keys if self._is_there(key)}
        return {key for key, there in zip(keys, self._lookers.map(self._is_there, keys), strict=True) if there}

    @override
    def modified(self, key: str) -> float:
        name = self._name(key)
        with self._asking("read", key):
            when: datetime = self._s3.head_object(Bucket=self._bucket, Key=name)["LastModified"]
            return when.timestamp()

    @override
    def download(self, key: str, path: Path) -> None:
        pieces = self.open_read(key)
        try:
            with path.open("wb") as file:
                file.writelines(pieces)
        except OSError as err:
            raise StoreError(f"cannot write {path}: {err.strerror}", key=key) from err

    @override
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        folder = self._name(prefix.removesuffix("/")) + "/"
        keys: list[str] = []
        last = max(f"{self._prefix}{after}", folder)  # some servers ignore a StartAfter that lies before the prefix
        while limit is None or len(keys) < limit:
            most = 1000 if limit is None else min(limit - len(keys), 1000)
            with self._asking("list", prefix):
                answer = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=folder, StartAfter=last, MaxKeys=most)
            names = [entry["Key"] for entry in answer.get("Contents", [])]
            keys += [key for key in (name.removeprefix(self._prefix) for name in names) if is_key(key)]
            if not names or not answer["IsTruncated"]:
                break
            last = names[-1]
        return keys

    @override
    def delete(self, key: str) -> None:
        name = self._name(key)
        with suppress(ObjectMissing), self._asking("delete", key):
            self._s3.delete_object(Bucket=self._bucket, Key=name)

    @override
    def prove(self) -> None:
        with self._asking("reach", "the bucket"):
            answer = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        server = f"{self._s3.meta.endpoint_url} ({headers.get('server', 'a server without a name')})"
        prove_create_once(self, name=self.name, server=server)
        self._sweep()

    def _is_there(self, key: str) -> bool:
        with suppress(ObjectMissing):
            return self.size(key) >= 0
        return False

    def _name(self, key: str) -> str:
        return f"{self._prefix}{check_key(key)}"

    def _create(self, name: str, body: BinaryIO) -> bool:
        """Send one conditional put. 409 means that others are writing just now: repeat it until one has won."""

        def put() -> None:
            body.seek(0)
            self._s3.put_object(Bucket=self._bucket, Key=name, Body=body, IfNoneMatch="*")

        again = Retrying(
            retry=retry_if_exception(lambda err: _status(err) == 409),
            stop=stop_after_attempt(_CONFLICTS),
            wait=wait_random_exponential(0.1, max=2),
            reraise=True,
        )
        try:
            again(put)
        except ClientError as err:
            if _status(err) == 412:
                return False
            raise
        return True

    def _put_in_parts(self, key: str, body: BinaryIO, size: int) -> bool:
        """Upload part by part; take a failed upload back. The look beforehand is no condition."""
        if self._is_there(key):
            return False
        name = self._name(key)
        where = {"Bucket": self._bucket, "Key": name}
        upload = {**where, "UploadId": self._s3.create_multipart_upload(**where)["UploadId"]}
        part_bytes = max(self._part_bytes, -(-size // 10_000))  # S3 accepts 10,000 parts
        parts: list[dict[str, object]] = []
        try:
            body.seek(0)
            while piece := body.read(part_bytes):
                number = len(parts) + 1
                answer = self._s3.upload_part(**upload, PartNumber=number, Body=piece)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            self._s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException as err:
            if not isinstance(err, _SILENT):  # it would not answer this either; `_sweep` finds the upload
                with suppress(BotoCoreError, ClientError):
                    self._s3.abort_multipart_upload(**upload)
            if _code(err) == "NoSuchUpload" and self._is_there(key):
                return False  # it was completed, and the answer got lost
            raise
        return True

    def _pieces(self, key: str, start: int, stop: int | None) -> Iterator[bytes]:
        """Yield the object's bytes [start, stop). After a broken connection, go on at the byte where it broke."""
        broken = 0
        while stop is None or start < stop:
            body = self._body(key, start, stop)
            if body is None:
                return
            try:
                while piece := body.read(_PIECE_BYTES):
                    start, broken = start + len(piece), 0
                    yield piece
            except _BROKEN as err:
                broken += 1
                if broken == self._broken_reads:
                    text = f"cannot read {key}: the connection broke at byte {start}"
                    raise StoreError(text, key=key, hangs=isinstance(err, _SILENT)) from err
            else:
                return
            finally:
                body.close()

    def _body(self, key: str, start: int, stop: int | None) -> Any:
        """Return the answer's body; None if the object ends before `start`."""
        where = {"Bucket": self._bucket, "Key": self._name(key)}
        if start or stop is not None:
            where["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with self._asking("read", key):
            try:
                return self._s3.get_object(**where)["Body"]
            except ClientError as err:
                if _status(err) == 416:
                    return None
                raise

    def _sweep(self) -> None:
        """Remove unfinished uploads of killed writers, if the server can."""
        try:
            pages = self._s3.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for upload in page.get("Uploads", []):
                    if upload["Initiated"] < datetime.now(UTC) - _STALE:
                        where = {"Bucket": self._bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
                        self._s3.abort_multipart_upload(**where)
        except (BotoCoreError, ClientError) as err:
            log.warning("sweep_failed", extra={"store": self.name, "error": _code(err) or type(err).__name__})

    @contextmanager
    def _asking(self, verb: str, key: str) -> Iterator[None]:
        """Turn boto's errors into ours. Only codes and names of errors get out: no header, no key, no token."""
        try:
            yield
        except ClientError as err:
            status, code = _status(err), _code(err)
            if code == "NoSuchBucket":
                raise StoreError(f"there is no bucket {self._bucket}: {self.name}", key=key) from err
            if status == 404 and verb in {"read", "delete"}:
                raise ObjectMissing(f"no object {key}", key=key) from err
            hint = "; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if status in {401, 403} else ""
            raise StoreError(f"cannot {verb} {key}: {self.name} answers {status} {code}{hint}", key=key) from err
        except (NoCredentialsError, PartialCredentialsError) as err:
            how = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            raise StoreError(f"cannot {verb} {key}: no credentials for {self.name}; {how}", key=key) from err
        except BotoCoreError as err:
            text = f"cannot {verb} {key}: {self.name}: {type(err).__name__}"
            raise StoreError(text, key=key, hangs=isinstance(err, _SILENT)) from err
        except OSError as err:
            raise StoreError(f"cannot {verb} {key}: {err.strerror or type(err).__name__}", key=key) from err


def _config(patience: Patience, *, own_endpoint: bool) -> Config:
    return Config(
        connect_timeout=patience.connect_s,
        read_timeout=patience.read_s,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        tcp_keepalive=True,
        max_pool_connections=32,
        signature_version="s3v4",
        # servers check the signed sha256 of the body; older ones reject the newer CRC trailers
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": True, "addressing_style": "path" if own_endpoint else "auto"},
    )


def _status(err: BaseException) -> int:
    """Return the HTTP status of the server's answer; 0 without an answer."""
    return int(err.response["ResponseMetadata"]["HTTPStatusCode"]) if isinstance(err, ClientError) else 0


def _code(err: BaseException) -> str:
    return str(err.response["Error"].get("Code", "")) if isinstance(err, ClientError) else ""
