"""`framefarm join`: this machine as a Ray node of a farm elsewhere, watched until it is told to leave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from actors.cluster import HEARD, NODE_LABEL, PORTS_LABEL, WORKER_RESOURCE, FarmNotice
from actors.reach import own_address, unreached
from actors.wire import mismatch, own_build
from deploy.node.child import PACKAGES, end, end_descendants
from deploy.node.gpus import class_of, gpu_environment
from deploy.node.local import RAY_ENV, with_address, with_workers
from deploy.node.notices.watcher import Watch, watch_cloud
from deploy.node.paths import pin_paths
from deploy.node.ports import check_free, ray_ports
from deploy.node.service_manager import tell_systemd
from deploy.node.sessions import remove_dead_sessions
from deploy.node.token import found_token
from deploy.terminal.screen import say
from deploy.terminal.unread import outliving_readers
from farm.errors import ConfigError, FarmError, StoreError, Unavailable
from farm.settings import NODE_SETTINGS, FarmSettings
from farm.store import open_store

_LOOK_S = 2.0
_AGAIN_S = 2.0
_GAVE_UP = 3  #: exit code
_TRIES = 3  #: Ray gives up a start after 30 s, which a busy machine may take
_GOODBYE_S = 30  #: for the workers' last step when we are told to go
_STOP_S = _GOODBYE_S + 15.0
_PATIENCE_S = 60.0  #: until `join` says that it still waits
_LOOKS = 20  #: for a sign of the dispatcher, within FARM_GIVE_UP_S
_REACH = (
    "Let the head reach this machine's TCP ports (FARM_PORTS fixes them: docs/reference/ports.md), name the address"
    " that the head can reach with --node-ip, or join through an overlay network such as Tailscale or WireGuard"
)
_REACH_HEAD = (
    "Let this machine reach the head's TCP ports (FARM_PORTS fixes them: docs/reference/ports.md), or start the farm"
    " with the --node-ip that this machine can reach"
)


class Patience:
    """How long the farm may be away, and a hint may stand: FARM_GIVE_UP_S, or for ever."""

    def __init__(self, limit_s: float | None, hinted_s: Callable[[], float] = lambda: 0.0) -> None:
        self._limit_s, self._since, self._sign = limit_s, time.monotonic(), ""
        self._hinted_s = hinted_s  # how long the cloud's hint has stood

    def renew(self) -> None:
        """Let the time begin again."""
        self._since = time.monotonic()

    def hear(self, sign: str) -> None:
        """Take in the dispatcher's newest sign. Another one than before says that the farm is here."""
        if sign != self._sign:
            self._sign = sign
            self.renew()

    @property
    def wants_sign(self) -> bool:
        """Whether it is time to look for the next sign."""
        return self._limit_s is not None and time.monotonic() - self._since > self._limit_s / _LOOKS

    @property
    def is_over(self) -> bool:
        """Whether either has lasted longer."""
        return self._limit_s is not None and (self.is_hint_over or time.monotonic() - self._since > self._limit_s)

    @property
    def is_hint_over(self) -> bool:
        """Whether the hint has. The farm gives this machine no work meanwhile."""
        return self._limit_s is not None and self._hinted_s() > self._limit_s


@outliving_readers()
def join_foreground(address: str, settings: FarmSettings, *, own_store: bool) -> int:
    """Be a node of the farm at `address` (HOST:PORT of its Ray) until SIGINT or SIGTERM; print `joined …` on stdout.

    If the farm goes away, wait for it and join again; with FARM_GIVE_UP_S, wait for it from the first. own_store: the
    user named the store on this machine.
    Returns: 0, or 3 if the farm was away, or the cloud's hint stood, for longer than FARM_GIVE_UP_S.
    Raises: ConfigError if there is no farm, the token is wrong, this machine's software is another one, or it does not
    see the farm's store.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    pin_paths()
    os.environ |= found_token(settings) | RAY_ENV  # before Ray is imported
    with watch_cloud(settings) as watch:
        return _keep_joining(address, settings, stop, watch, own_store=own_store)


def _keep_joining(address: str, settings: FarmSettings, stop: threading.Event, watch: Watch, *, own_store: bool) -> int:
    node, joined, tries = settings, False, 0
    patience = Patience(settings.give_up_s, lambda: watch.hinted_s)
    while not stop.is_set():
        try:
            if watch.notice:  # the log says so
                patience.renew()
                tell_systemd("this machine's cloud ends it soon", "READY=1")
            else:
                known = node.replaced(node_ip=settings.node_ip) if joined else settings  # its address may have changed
                node, gpus = _fitted(address, known, own_store=own_store)
                if not joined:  # else a worker that ends may still hold one
                    check_free(ray_ports(node, is_head=False))
                with watch.telling(address, node.node):
                    be_a_node(address, node, gpus, stop, patience)
                joined = True
        except (Unavailable, StoreError) as err:
            tries += "ray" in err.facts
            if not joined and not _may_pass(err, tries, settings):
                raise ConfigError(str(err)) from err
            say(waiting := f"waiting for the farm: {err}")
            tell_systemd(waiting, "READY=1")  # its settings are not wrong; the farm may be away for long
        if patience.is_over and not stop.is_set():
            away, hinted = f"the farm at {address} has been away", "this machine's cloud has said that it may end"
            why = hinted if patience.is_hint_over else away
            say(ending := f"giving up: for FARM_GIVE_UP_S={settings.give_up_s:g} s, {why}")
            tell_systemd(ending)
            return _GAVE_UP
        stop.wait(_AGAIN_S)
    return 0


def _may_pass(err: FarmError, tries: int, settings: FarmSettings) -> bool:
    """Whether a first join waits after this error; without FARM_GIVE_UP_S, what was typed may be wrong."""
    if "ray" in err.facts:
        return tries < _TRIES
    return settings.give_up_s is not None and "unreached" not in err.facts


def _fitted(address: str, settings: FarmSettings, *, own_store: bool) -> tuple[FarmSettings, list[str]]:
    """Return this machine's settings for that farm, and its GPUs. Raises: ConfigError, Unavailable, StoreError."""
    from actors.cluster import look_at

    notice, nodes, head = look_at(address)
    if why := mismatch(notice.build, own_build()):
        raise ConfigError(f"cannot join {address}: {why}")
    settings = with_address(settings)
    settings = settings.replaced(node_ip=settings.node_ip or _address_towards(address))
    if found := unreached(head):
        msg = f"{found} of the head was not reached from this machine, {settings.node_ip}. {_REACH_HEAD}"
        raise Unavailable(msg, unreached=found)
    if not own_store:
        settings = settings.replaced(storage=notice.storage, s3_endpoint=notice.s3_endpoint)
    settings, gpus = with_workers(settings)
    if settings.workers == "0":
        raise ConfigError("FARM_WORKERS=0: a machine that joins needs at least 1")
    _check_store(settings, notice)
    name = _free_name(settings.node, set(nodes.values()))
    return settings.replaced(node=name, vram_class=settings.vram_class or class_of(gpus)), gpus


def _check_store(settings: FarmSettings, notice: FarmNotice) -> None:
    """Raises: ConfigError if this machine's store lacks the object that the farm names."""
    if not notice.is_of(open_store(settings)):
        msg = (
            f"this machine does not see the farm's store: {settings.storage} has no {notice.key} of that farm. Keep"
            " the store in S3 (framefarm up --storage s3://…), or mount its folder here and name it with --storage"
        )
        raise ConfigError(msg)


def _free_name(wanted: str, taken: set[str]) -> str:
    """Return the wanted name, or the host's with a number if that is taken. Raises: Unavailable."""
    if wanted in taken - {""}:
        raise Unavailable(f"a machine named {wanted!r} is already in the farm; choose another with --node")
    host = socket.gethostname().strip("-_.")[:36] or "node"
    names = [wanted or host, *(f"{host}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def be_a_node(address: str, settings: FarmSettings, gpus: list[str], stop: threading.Event, patience: Patience) -> None:
    """Start Ray and wait until it ends, `stop` is set or patience is over.

    Raises: Unavailable if it does not start, or if the head does not reach this machine.
    """
    remove_dead_sessions(Path(settings.ray_dir))
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.node.ray_process", *ray_flags(address, settings, gpus)],
            env=node_env(settings.absolute(), gpus),
            cwd=PACKAGES,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only this process, which ends Ray gently
        )
        heard = False
        try:
            if heard := await_joined(address, settings.node, process, stop, patience):
                print(joined := f"joined {address} as {settings.node}", flush=True)
                tell_systemd(joined, "READY=1")
                _await_end(address, settings.node, process, stop, patience)
            elif process.poll() is not None and not stop.is_set():
                words.seek(0)
                said = words.read().decode(errors="replace").strip().splitlines()[-8:]
                raise Unavailable("Ray did not start here: " + "\n".join(said or ["it said nothing"]), ray=address)
        finally:
            if heard:
                _end(process)
            else:  # its worker has nothing to give back
                end_descendants()
                process.wait()


def ray_flags(address: str, settings: FarmSettings, gpus: list[str]) -> list[str]:
    """Return the arguments of Ray's program for a machine that joins."""
    ports = ray_ports(settings, is_head=False)
    labels = {"farm/role": "worker", NODE_LABEL: settings.node, "farm/vram-class": settings.vram_class}
    labels |= {PORTS_LABEL: settings.ports}
    return [
        *("start", "--block", f"--address={address}", "--disable-usage-stats"),
        *("--num-cpus=0", f"--num-gpus={len(gpus)}", f"--object-store-memory={100 << 20}"),
        f"--resources={json.dumps({WORKER_RESOURCE: int(settings.workers)})}",
        f"--labels={','.join(f'{name}={value}' for name, value in labels.items() if value)}",
        f"--temp-dir={settings.ray_dir}",  # else Ray takes the head's
        *(ports.flags if ports else ["--dashboard-agent-listen-port=0"]),  # several nodes may be on one machine
        *([f"--node-ip-address={settings.node_ip}"] if settings.node_ip else []),
    ]


def node_env(settings: FarmSettings, gpus: list[str]) -> dict[str, str]:
    """Return the environment of this machine's Ray: its workers find `settings`, not the shell's FARM_*."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("FARM_")},
        **settings.to_env(NODE_SETTINGS),
        **gpu_environment(gpus),
        "OMP_NUM_THREADS": str(settings.cpu_threads),  # else Ray sets 1, and CPU work crawls
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(_GOODBYE_S),
    }


def await_joined(
    address: str, name: str, process: subprocess.Popen[bytes], stop: threading.Event, patience: Patience
) -> bool:
    """Return whether the farm hears a worker of this machine before Ray ends here, `stop` is set or patience is over.

    Raises: Unavailable if the head does not reach this machine.
    """
    from actors.cluster import told

    warn_at = time.monotonic() + _PATIENCE_S
    while process.poll() is None and not stop.wait(_LOOK_S) and not patience.is_over:
        try:
            word, sign = told(address, name)
        except Unavailable:
            continue
        patience.hear(sign)  # the farm is there, though this machine may wait long for a GPU that is full
        if word == HEARD:
            return True
        if word:
            raise Unavailable(f"the farm does not hear this machine: {word}. {_REACH}", unreached=word)
        if time.monotonic() > warn_at:
            say("the farm has not heard a worker of this machine yet; on a busy machine it takes minutes to start")
            warn_at = time.monotonic() + _PATIENCE_S
    return False


def _await_end(
    address: str, name: str, process: subprocess.Popen[bytes], stop: threading.Event, patience: Patience
) -> None:
    """Wait until Ray ends here, `stop` is set, or patience is over: Ray's head may outlive the farm."""
    from actors.cluster import told

    while process.poll() is None and not stop.wait(_LOOK_S) and not patience.is_over:
        if patience.wants_sign:
            with contextlib.suppress(FarmError):
                patience.hear(told(address, name).sign)


def _address_towards(address: str) -> str:
    try:
        return own_address(address)
    except OSError as err:
        raise Unavailable(f"no network card leads to {address} ({err.strerror or err})") from err


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the workers give back their leases, then end Ray here."""
    if process.poll() is None:
        say(leaving := "leaving: workers save their last finished step and give their sections back")
        tell_systemd(leaving, "STOPPING=1")
    end(process, within_s=_STOP_S)
