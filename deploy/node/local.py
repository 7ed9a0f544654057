"""A farm on this machine: one process starts and stops Ray, dispatcher, workers and ingress."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from actors.reach import address_of
from deploy.node.child import DYING_S, PACKAGES, STORAGE_MARK, end_descendants, end_orphans, put_ready
from deploy.node.follow_videos import Videos, follow_videos
from deploy.node.gpus import chosen_gpus, gpu_environment
from deploy.node.http_port import bound_port, check_someone_may_ask, farm_url, held_port, own_url
from deploy.node.lock import locked, write_lock
from deploy.node.notices.watcher import watch_cloud
from deploy.node.paths import pin_paths
from deploy.node.ports import check_free, ray_ports
from deploy.node.ray_process import dead_programs, end_programs
from deploy.node.service_manager import tell_systemd
from deploy.node.sessions import remove_dead_sessions
from deploy.node.tidings import ALONE, Tidings
from deploy.node.token import found_token, own_token
from deploy.planner import own_models
from deploy.terminal.screen import talk
from deploy.terminal.unread import outliving_readers
from farm.errors import ConfigError
from farm.settings import NODE_SETTINGS, FarmSettings
from farm.store import open_store
from framepack_engine.models.catalog import CPU_MODEL
from framepack_engine.models.host import host_bytes

#: how the farm wants each of its Ray processes
RAY_ENV = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",  # Ray's own is 15: the ingress would wait for all other programs
    "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL": "minor",  # Ray's own: a machine with another third number cannot join
    "RAY_metrics_report_interval_ms": "3000",  # Ray's own: 10000
}
_SERVED = "farm"  #: the ingress's name in Serve
_START_S = 300.0
_STARTS = 3  #: of Ray, each of which takes at most 30 s by Ray's own rule
_DRAIN_S = 30.0
_ENDING_S = 10.0
_NO_KEYS = "no API keys: only this machine may use this farm (`framefarm keys new NAME` makes one)"


@outliving_readers()
def run_foreground(
    settings: FarmSettings, *, ready: Callable[[str], None] = put_ready, exit_with_parent: int | None = None
) -> int:
    """Start a farm, call `ready` with its URL, serve until SIGINT or SIGTERM, drain, leave nothing running.

    exit_with_parent: end at once when this process's parent is no longer the process of that id.
    Returns: 0, or 1 if Ray or the parent died. The store has all that the next start needs.
    Raises: ConfigError if the storage or the port is in use, the storage cannot hold a farm, or nobody could use the
    farm; StoreError.
    """
    stop, out, settings = threading.Event(), sys.stdout, settings.absolute()
    check_someone_may_ask(settings)
    tidings = Tidings(out if exit_with_parent is not None else None)
    pin_paths()
    if not sys.stderr.isatty():
        os.environ["RAY_COLOR_PREFIX"] = "0"  # else Ray colours the name of each line's process
    os.chdir(PACKAGES)  # Ray puts the current folder on the import path of every worker
    raise_file_limit()
    _heed_signals(stop)
    with contextlib.redirect_stdout(sys.stderr), locked(settings, wait_s=DYING_S) as lock:  # Ray prints for workers
        if exit_with_parent is not None:
            threading.Thread(target=_end_with, args=(exit_with_parent, settings, lock), daemon=True).start()
        end_orphans(settings.storage_path)
        settings = resolved(settings, tidings)
        if not settings.api_keys:
            tidings.tell("say", _NO_KEYS)
        tidings.tell("step", "trying the store")
        check_folders(settings)
        remove_dead_sessions(Path(settings.ray_dir))
        open_store(settings).prove()
        with contextlib.ExitStack() as bound, _cluster(settings, bound, stop, tidings) as (dispatcher, url):
            write_lock(lock, own_url(settings, url))
            with contextlib.redirect_stdout(out):
                ready(url)
            videos = Videos(tidings)
            if exit_with_parent is not None:
                threading.Thread(target=follow_videos, args=(dispatcher, videos, stop), daemon=True).start()
            while not stop.wait(0.5):
                if dead := dead_programs():
                    _end_at_once(settings, lock, dead)
            tidings.tell("say", stopping := "stopping: workers finish their step and give their sections back")
            tell_systemd(stopping, "STOPPING=1")
            _drain(dispatcher)
            unfinished = _unfinished(dispatcher)
    tidings.tell("stopped", str(unfinished))
    return 0


def _unfinished(dispatcher: Any) -> int:
    """Count the videos that go on at the next start; 0 if the dispatcher does not tell."""
    import ray

    videos = Videos(Tidings(None))
    with contextlib.suppress(ray.exceptions.RayError):
        videos.hear(ray.get(dispatcher.news.remote(None, timeout_s=0.0), timeout=_ENDING_S))
    return videos.unfinished


def check_folders(settings: FarmSettings) -> None:
    """Create the folders of the cache and of Ray. Raises: ConfigError if this user cannot write there."""
    for name, path, cure in (
        ("the cache", settings.cache, "--cache or FARM_CACHE"),
        ("Ray's folder", settings.ray_dir, "FARM_RAY_DIR"),
    ):
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as err:
            raise ConfigError(f"cannot write to {name} {folder}: {err.strerror}; choose another with {cure}") from err


def _end_with(parent: int, settings: FarmSettings, lock: IO[str]) -> None:
    """Wait for the parent's end, then end Ray's processes and this one, even while the farm still starts."""
    while os.getppid() == parent:
        time.sleep(0.5)
    talk("framefarm: the process that started it is gone, so the farm ends; the videos go on at its next start")
    end_descendants()
    end_orphans(settings.storage_path)
    lock.truncate(0)
    os._exit(1)


def _end_at_once(settings: FarmSettings, lock: IO[str], dead: list[str]) -> None:
    """End this process with 1 and Ray's with it: nothing can be drained any more."""
    why = f"Ray's {' and '.join(dead)} died, so the farm ends; the videos go on at its next start"
    talk(f"framefarm: {why}")
    tell_systemd(why)
    end_programs()
    end_orphans(settings.storage_path)
    lock.truncate(0)
    os._exit(1)


def resolved(settings: FarmSettings, tidings: Tidings = ALONE) -> FarmSettings:
    """Return the settings with this machine's facts: number of workers, threads, default model."""
    settings, gpus = with_workers(settings)
    model = settings.model or usual_model(gpus)
    if model not in (known := own_models(settings.models)):
        raise ConfigError(f"unknown model {model!r}; known models: {', '.join(known)}")
    if settings.model is None:
        found = "a GPU was found" if gpus else "no GPU was found"
        tidings.tell("say", f"default model: {model} ({found}). {known[model].honest}")
    storage = settings.storage if settings.storage.startswith("s3://") else str(settings.storage_path)
    if settings.ray and settings.ports:
        raise ConfigError("FARM_PORTS: the cluster of FARM_RAY has its ports already; name them to its `ray start`")
    if not settings.ray:
        check_free(ray_ports(settings, is_head=True))
    return settings.replaced(storage=storage, model=model, ingresses=settings.ingresses or _ingresses())


def usual_model(gpus: Sequence[str]) -> str:
    """Return the default model of a farm with these GPUs."""
    return "framepack-i2v" if gpus else CPU_MODEL


def _ingresses() -> int:
    """Return how many processes answer HTTP on this machine. One takes about 0.2 GiB."""
    return max(2, min((os.cpu_count() or 1) // 4, host_bytes() // (8 << 30), 8))


def with_workers(settings: FarmSettings) -> tuple[FarmSettings, list[str]]:
    """Return the settings with the number of workers and their threads, and the GPUs that they get.

    Raises: ConfigError.
    """
    gpus = chosen_gpus(settings)
    workers = max(1, len(gpus)) if settings.workers == "auto" else int(settings.workers)
    threads = settings.cpu_threads or max(1, (os.cpu_count() or 1) // max(1, workers))
    return settings.replaced(workers=str(workers), cpu_threads=threads), gpus[:workers]


def with_address(settings: FarmSettings) -> FarmSettings:
    """Return the settings with the address of the host that FARM_NODE_IP names. Raises: ConfigError."""
    if settings.node_ip is None:
        return settings
    try:
        return settings.replaced(node_ip=address_of(settings.node_ip))
    except OSError as err:
        msg = f"FARM_NODE_IP={settings.node_ip}: this machine finds no such host ({err.strerror}); write its address"
        raise ConfigError(msg) from err


@contextlib.contextmanager
def _cluster(
    settings: FarmSettings, bound: contextlib.ExitStack, stop: threading.Event, tidings: Tidings
) -> Iterator[tuple[Any, str]]:
    """Run Ray, the dispatcher (which starts the workers) and Serve; give the dispatcher's handle and the farm's URL.

    bound: keeps the port.
    """
    os.environ |= (found_token if settings.ray else own_token)(settings) | RAY_ENV  # before Ray is imported
    import ray
    from ray import serve

    from actors.cluster import DISPATCHER, NAMESPACE, ON_HEAD
    from actors.dispatcher import DispatcherActor
    from deploy.serve_app import application

    tidings.tell("step", "starting Ray")
    doors = [] if settings.ray else bound.enter_context(bound_port(settings))  # before Ray takes ports of its own
    settings = _start_ray(settings, tidings)
    _heed_signals(stop)  # again: Ray has put in handlers of its own, which abort
    dispatcher: Any = None
    try:
        doors = doors or bound.enter_context(bound_port(settings, wait_s=_ENDING_S))
        settings = settings.replaced(port=doors[0].getsockname()[1])
        tidings.tell("step", "starting the dispatcher and the workers")
        dispatcher = (
            ray.remote(DispatcherActor)
            .options(
                name=DISPATCHER,
                namespace=NAMESPACE,
                lifetime="detached",
                max_restarts=-1,
                num_cpus=0,
                resources=ON_HEAD,
                max_concurrency=5000,
            )
            .remote(settings)
        )
        tidings.tell("step", "opening the HTTP port")
        serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING", "enable_access_log": False})
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        with held_port(doors, Path(settings.ray_dir)) as port_path:
            try:
                serve.run(application(settings, port_path), name=_SERVED, route_prefix=None)
            except RuntimeError as err:  # Serve's own: an ingress did not start
                raise ConfigError(f"no ingress starts; its messages are above ({err})") from err
            ray.get(dispatcher.workers.remote(), timeout=_START_S)  # it has taken charge of the store
            here = ray.get_runtime_context()
            with watch_cloud(settings) as watch, watch.telling(here.gcs_address, here.get_node_id()):
                yield dispatcher, farm_url(settings)
    except ray.exceptions.RayError as err:
        raise ConfigError(f"the farm does not start ({type(err).__name__}); its last messages are above") from err
    finally:
        with _silent():
            with contextlib.suppress(Exception):  # border: on the way out; ray.shutdown ends the rest
                serve.shutdown()
            with contextlib.suppress(Exception):  # border: as above
                ray.kill(dispatcher)  # in a cluster that goes on it would too
            ray.shutdown()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Print nothing: Ray's messages about processes that are told to end read like faults."""
    nothing = io.StringIO()
    with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        yield


def _start_ray(settings: FarmSettings, tidings: Tidings) -> FarmSettings:
    """Connect to the cluster of FARM_RAY, or start one with this machine as its head. Return the whole settings."""
    import ray

    from actors.cluster import NAMESPACE, NODE_LABEL, WORKER_RESOURCE, stay_on_loopback, use_ports

    if settings.ray:
        ray.init(address=settings.ray, namespace=NAMESPACE, logging_level=logging.WARNING)
        take_over(settings)
        return settings
    settings, gpus = with_workers(with_address(settings))
    os.environ |= settings.to_env(NODE_SETTINGS) | gpu_environment(gpus)
    os.environ[STORAGE_MARK] = str(settings.storage_path)
    os.environ |= {
        "OMP_NUM_THREADS": str(settings.cpu_threads),  # else Ray sets 1, and CPU work crawls
        "RAY_GCS_SERVER_PORT": str(settings.ray_port),
    }
    if settings.node_ip is None:
        stay_on_loopback()
    if ports := ray_ports(settings, is_head=True):
        use_ports(*ports)
    init_ray(
        address="local",
        namespace=NAMESPACE,
        num_cpus=max(4, os.cpu_count() or 1),
        num_gpus=len(gpus),
        resources={WORKER_RESOURCE: int(settings.workers)} if settings.workers != "0" else {},
        labels={NODE_LABEL: settings.node} if settings.node else {},
        include_dashboard=False,
        object_store_memory=100 << 20,  # orders are small: what is big goes through the store
        _node_ip_address=settings.node_ip or "127.0.0.1",
        _temp_dir=settings.ray_dir,
        logging_level=logging.WARNING,
    )
    tidings.tell("say", _invitation(ray.get_runtime_context().gcs_address))
    return settings


def init_ray(**options: Any) -> None:
    """Start Ray, again where the machine was too busy for it. Raises: ConfigError."""
    import ray

    for left in reversed(range(_STARTS)):
        try:
            ray.init(**options)
        except Exception as err:  # border: Ray has no class of its own for a start that takes over 30 s
            if "timed out" not in str(err).lower():
                raise
            ray.shutdown()
            end_descendants()  # Ray forgets the programs of such a start
            if not left:
                raise ConfigError(
                    f"Ray did not start within 30 s, {_STARTS} times: this machine is too busy, or short of memory; "
                    f"Ray's words are in {options['_temp_dir']}/session_latest/logs"
                ) from err
            talk("framefarm: Ray did not start within 30 s; it starts again")
        else:
            return


def take_over(settings: FarmSettings) -> None:
    """End what a farm that died left in Ray. Raises: ConfigError if the farm there has another store."""
    import ray
    from ray import serve

    from actors.cluster import DISPATCHER, NAMESPACE, published

    names, notice = ray.util.list_named_actors(), published()
    if DISPATCHER in names and notice is not None and not notice.is_of(open_store(settings)):
        msg = (
            f"the Ray cluster at {settings.ray} already runs a farm, on {notice.storage}; this one would be on"
            f" {settings.storage}. A cluster runs one farm: choose another cluster, or stop that farm first (if its"
            f" `framefarm up` is gone, start it again with --storage {notice.storage} and stop it)"
        )
        raise ConfigError(msg)
    for name in names:
        ray.kill(ray.get_actor(name, namespace=NAMESPACE))
    if _SERVED in serve.status().applications:  # its ingresses have the port, perhaps another one than ours
        serve.shutdown()


def _invitation(address: str) -> str:
    """Return how other machines join; the token itself stays secret."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    token = f"RAY_AUTH_TOKEN_PATH={path}" if path else "this farm's RAY_AUTH_TOKEN"
    return f"more GPUs join with: framefarm join {address} ({token})"


def raise_file_limit() -> None:
    """Let this process and its children open as many files as allowed: each watcher of a video needs one or two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _heed_signals(stop: threading.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())


def _drain(dispatcher: Any) -> None:
    """Wait until every worker has given back its lease."""
    import ray

    until = time.monotonic() + _DRAIN_S
    while time.monotonic() < until:
        try:
            if not ray.get(dispatcher.drain.remote(), timeout=_DRAIN_S):
                return
        except ray.exceptions.RayError as err:  # it restarts: tell it again, or let the leases expire
            talk(f"the dispatcher does not answer: {type(err).__name__}")
        time.sleep(0.2)
