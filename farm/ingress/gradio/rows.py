"""The rows of outputs that /process yields while a video is made: always the same outputs in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from farm.contract import Job, LiveJob
from farm.ingress.gradio.config import API
from farm.ingress.gradio.doors import Call
from farm.ledger.states import JobState

Row = list[Any]
_HINTS = ("Starting ...", "Text encoding ...", "Image processing ...", "VAE encoding ...", "CLIP Vision encoding ...")
_LAST_HINT = "Start sampling ..."
_FPS = 30


class Rows:
    """The rows of one video for one client. Each comes once; a client that asks again gets all of them again."""

    def __init__(self, job: Job, call: Call, *, address: str) -> None:
        """address: that of the door, which the addresses of files begin with."""
        self._job, self._address = job, address
        self._has_seed = any(output.component == "number" for output in call.outputs)
        self._steps = job.request.num_inference_steps
        self._state = JobState()
        self._made = 0  #: steps of all sections, as far as they were seen
        self._rows = self._all()

    def news(self, state: JobState, live: LiveJob | None) -> Iterator[Row]:
        """Yield the rows that have become due."""
        self._state, self._made = state, max(self._made, self._steps_made(state, live))
        for row in self._rows:
            if row is None:
                return
            yield row

    def last(self) -> Row:
        """Return the row of a complete video, which is also the call's answer."""
        return self._row(self.video(), update(visible=False), update(), "", ready=True)

    def video(self, sections: int | None = None) -> dict[str, Any]:
        """Return the value of a video output: the whole, or what is there after so many sections."""
        name = f"{self._job.id}.mp4" if sections is None else f"{self._job.id}.{sections}.mp4"
        return {"video": self._file(name, "video/mp4"), "subtitles": None}

    def _all(self) -> Iterator[Row | None]:
        """Yield every row once its time has come, and None as often as it has not."""
        while not self._state.attempt:
            yield None
        yield self._row(None, None, "", "")
        for hint in _HINTS:
            yield self._progress(0, hint, "")
        while self._state.conditioning is None and not self._state.sections:
            yield None
        yield self._progress(0, _LAST_HINT, "")
        for section, frames in enumerate(self._job.plan.final_frames):
            for step in range(1, self._steps + 1):
                while self._made < section * self._steps + step:
                    yield None
                yield self._sampling(section, step)
            while frames and str(section) not in self._state.clips:
                yield None
            if frames:
                yield self._row(self.video(section + 1), update(), update(), update())

    def _steps_made(self, state: JobState, live: LiveJob | None) -> int:
        done = len(state.sections)
        running = live.progress if live else None
        lease = state.leases.get(str(running.key)) if running else None
        if running is None or lease is None or lease.attempt != running.attempt:
            return done * self._steps
        is_next = running.key.stage == "section" and running.key.section == done
        return done * self._steps + (min(running.step, self._steps) if is_next else 0)

    def _sampling(self, section: int, step: int) -> Row:
        frames = max(section * self._job.plan.latent_window_size * 4 - 3, 0)
        text = (
            f"Total generated frames: {frames}, Video length: {frames / _FPS:.2f} seconds (FPS-{_FPS}). "
            "The video is being extended now ..."
        )
        shown = section if step == 1 else 0  # a section's picture is told once: clients fetch each that a row names
        return self._progress(100 * step // self._steps, f"Sampling {step}/{self._steps}", text, shown=shown)

    def _progress(self, percent: int, hint: str, text: str, *, shown: int = 0) -> Row:
        """Return a progress row. shown: the preview is that of the section before this number; 0: it stays."""
        preview = update(visible=True)
        if shown:
            preview["value"] = self._file(f"{self._job.id}.{shown}.png", "image/png")
        bar = f'<progress value="{percent}" max="100"></progress> <span>{hint}</span>'
        return self._row(update(), preview, text, bar)

    def _row(self, *outputs: Any, ready: bool = False) -> Row:
        buttons = [update(interactive=ready), update(interactive=not ready)]
        return [*outputs, *buttons, *([self._job.request.seed] if self._has_seed else [])]

    def _file(self, name: str, media_type: str) -> dict[str, Any]:
        path = f"videos/{name}"
        return {
            "path": path,
            "url": f"{self._address}{API}/file={path}",
            "size": None,
            "orig_name": name,
            "mime_type": media_type,
            "is_stream": False,
            "meta": {"_type": "gradio.FileData"},
        }


def update(**changes: Any) -> dict[str, Any]:
    """Return an output that changes a component and leaves its other properties."""
    return {**changes, "__type__": "update"}
