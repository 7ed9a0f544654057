"""A worker in the test's own process: the real engine, the real dispatcher, a real store, no Ray."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from fastapi.testclient import TestClient

from actors.worker.orders import OrderRunner, failure_of
from farm.contract import Order, WorkerCard
from farm.dispatch.dispatcher import Dispatcher
from farm.jobs import Jobs
from framepack_engine import Renderer, load_models
from tests.unit.conftest import Hand

CAT = Path(__file__, "../../examples/cat.jpg").resolve().read_bytes()
SMALL = {  #: two sections of one latent frame
    "prompt": "a cat",
    "seed": "7",
    "size": "160x96",
    "seconds": "0.27",
    "latent_window_size": "1",
    "num_inference_steps": "1",
}


class Worker:
    """A worker in this process: the renderer of `tiny`, and the orders that the dispatcher gives it."""

    def __init__(self, hand: Hand, renderer: Renderer, *, name: str = "w") -> None:
        """Works for the dispatcher of `hand`."""
        self.card: WorkerCard = hand.card.model_copy(update={"id": name, "numeric_class": renderer.numeric_class})
        self.dispatcher: Dispatcher = hand.dispatcher
        self.jobs: Jobs = hand.jobs
        self.renderer: Renderer = renderer
        self.on_load: Callable[[], None] = lambda: None  #: called each time the model is loaded
        self.runner = OrderRunner(self.jobs, self.card, load=self._load)

    def _load(self, *_: object) -> Renderer:
        self.on_load()
        return self.renderer

    def work(self) -> None:
        """Do all orders there are, as a worker does: errors are reported."""
        while isinstance(order := self.dispatcher.ask(self.card), Order):
            try:
                self.runner.run(order, lambda _step: None)
            except Exception as err:  # noqa: BLE001 - as in the worker
                self.dispatcher.give_up(failure_of(order, self.card.id, err))
            self.dispatcher.nudge(order.job.id)


@contextlib.contextmanager
def working(hand: Hand, tiny_cache: Path, *, workers: int = 1) -> Iterator[None]:
    """Workers with both tiny models that do all orders, each in a thread, for as long as the context lasts."""
    renderers = {name: Renderer(load_models(name, cache_dir=tiny_cache)) for name in ("tiny", "tiny-f1")}
    over, threads = threading.Event(), []

    def work(worker: Worker) -> None:
        while not over.wait(0.05):
            worker.work()

    for number in range(workers):
        worker = Worker(hand, renderers["tiny"], name=f"w{number}")
        worker.runner = OrderRunner(hand.jobs, worker.card, load=lambda model, _: renderers[model])
        threads.append(threading.Thread(target=work, args=(worker,), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def submit(http: TestClient, **fields: str) -> str:
    """Ask for a small video; its path."""
    answer = http.post("/v1/videos", data=SMALL | fields, files={"input_reference": ("cat.jpg", CAT)})
    assert answer.status_code == 200, answer.text
    return f"/v1/videos/{answer.json()['id']}"


def made(http: TestClient, worker: Worker, **fields: str) -> str:
    """A small video, finished; its path."""
    path = submit(http, **fields)
    worker.work()
    video = http.get(path).json()
    assert video["status"] == "completed", video["error"]
    return path
