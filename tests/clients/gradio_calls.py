"""gradio's client for Python against a farm: gradio_calls.py URL FOLDER [CALL …]. Prints what it got as JSON.

The calls are those of the scripts that FramePack's users write: by name, by position, in loops, in threads.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import av
from gradio_client import Client, handle_file

url, folder = sys.argv[1], Path(sys.argv[2])
FEW = {"total_second_length": 1, "steps": 1, "seed": 7}
SHORT = (7, 1, 9, 1, 1, 10, 0, 6, True)  # seed to use_teacache, by position
report: dict[str, Any] = {}


def kept(result: Any, name: str) -> str:
    """Copy the video as scripts do; return the name of the client's file."""
    path = result[0]["video"]
    shutil.copy2(path, folder / f"{name}.mp4")
    return str(path).split("/")[-1]


def framepack(client: Client) -> None:
    """FramePack's own script: every parameter by name."""
    result = client.predict(
        input_image=handle_file(str(folder / "a.png")),
        prompt="by name",
        n_prompt="",
        seed=31337,
        total_second_length=1,
        latent_window_size=9,
        steps=1,
        cfg=1,
        gs=10,
        rs=0,
        gpu_memory_preservation=6,
        use_teacache=True,
        mp4_crf=16,
        api_name="/process",
    )
    report["framepack"] = [kept(result, "framepack"), *result[1:]]


def folder_loop(client: Client) -> None:
    """A picture and its text each, with defaults for the rest; a picture that is none is skipped by `except`."""
    report["loop"] = {}
    for path in sorted(folder.glob("*.png")):
        try:
            result = client.predict(
                input_image=handle_file(str(path)),
                prompt=path.with_suffix(".txt").read_text(),
                api_name="/process",
                **FEW,
            )
            report["loop"][path.name] = kept(result, f"loop-{path.stem}")
        except Exception as err:  # noqa: BLE001 - as in users' scripts
            report["loop"][path.name] = str(err)


def pairs(client: Client) -> None:
    """First and last pictures, and an empty prompt, by name at the root."""
    first, last = (handle_file(str(folder / name)) for name in ("a.png", "b.png"))
    result = client.predict(input_image=first, end_frame=last, use_random_seed=False, api_name="/process", **FEW)
    report["pair"] = kept(result, "pair")


def chain(client: Client) -> None:
    """Four videos, each from the last frame of the one before, by position in the third fork's order."""
    picture, report["chain"] = folder / "a.png", []
    for number in range(4):
        result = client.predict(handle_file(str(picture)), f"part {number}", "", *SHORT, api_name="/process")
        report["chain"].append(kept(result, f"chain-{number}"))
        with av.open(result[0]["video"]) as container:
            *_, frame = container.decode(video=0)
        picture = folder / f"last-{number}.bmp"
        frame.to_image().save(picture)


def nirvash(client: Client) -> None:
    """Keyframes of the session, then a video by position, followed through its yields."""
    first, last = (handle_file(str(folder / name)) for name in ("a.png", "b.png"))
    client.predict(0, first, 1, last, None, None, api_name="/update_section_settings_3")
    job = client.submit(first, last, "yields", "", 7, 1, 4, 2, 1, 10, 0, 6, True, True, True, api_name="/process")
    report["nirvash"] = {"result": kept(job.result(), "nirvash"), "yields": job.outputs(), "seed": job.result()[4]}
    report["drawn"] = client.predict(True, api_name="/set_random_seed")


def suparious(client: Client) -> None:
    """A preset, then a video by position with the fork's extras."""
    report["preset"] = client.predict("Hand Movement", api_name="/apply_preset")
    picture = handle_file(str(folder / "a.png"))
    result = client.predict(picture, "hands", "", *SHORT, True, "hand_detail", 60, api_name="/process")
    report["suparious"] = kept(result, "suparious")


def refusals(client: Client) -> None:
    """Make calls that a farm refuses, each with its words."""
    picture, image = handle_file(str(folder / "a.png")), "input_image"
    unknown = {"path": f"files/file-{'0' * 64}", "orig_name": "a.png"}
    wrong: dict[str, dict[str, Any]] = {
        "no image": {image: None},
        "unknown file": {image: unknown},
        "path": {image: "/etc/passwd"},
        "window": {image: picture, "latent_window_size": 34},
        "seed": {image: picture, "seed": -2},
        "text": {image: picture, "steps": "many"},
        "long": {image: picture, "total_second_length": 121},
        "prompt": {image: picture, "n_prompt": "x" * 4001},
    }
    report["refused"] = {}
    for name, values in wrong.items():
        try:
            report["refused"][name] = client.predict(api_name="/process", **values)
        except ValueError as err:
            report["refused"][name] = str(err)


def threads(_client: Client) -> None:
    """Three clients at once, each with its own prompt, and one that ends its own video only."""
    report["threads"] = {}

    def ask(name: str) -> None:
        client = Client(url, verbose=False)
        picture = handle_file(str(folder / "a.png"))
        if name == "ends":
            job = client.submit(input_image=picture, prompt=name, total_second_length=120, api_name="/process")
            while job.communicator.event_id is None:
                time.sleep(0.01)
            report["ended"] = client.predict(api_name="/end_process")
            try:
                report["threads"][name] = job.result()
            except ValueError as err:
                report["threads"][name] = str(err)
            return
        result = client.predict(input_image=picture, prompt=name, api_name="/process", **FEW)
        report["threads"][name] = kept(result, f"thread-{name}")

    def told(name: str) -> None:
        try:
            ask(name)
        except Exception as err:
            report["threads"][name] = repr(err)
            raise

    running = [threading.Thread(target=told, args=(name,)) for name in ("one", "two", "ends")]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def cancelled(client: Client) -> None:
    """A job that is cancelled by its handle."""
    picture = handle_file(str(folder / "a.png"))
    job = client.submit(input_image=picture, prompt="cancelled", total_second_length=120, api_name="/process")
    while job.communicator.event_id is None:
        time.sleep(0.01)
    report["cancel"] = [job.cancel(), job.communicator.event_id]


#: the door that each goes to
CALLS = {
    framepack: "/",
    folder_loop: "",
    pairs: "/",
    refusals: "/",
    chain: "/svjack",
    nirvash: "/nirvash/",
    suparious: "/suparious/",
    threads: "",
    cancelled: "/",
}
wanted = sys.argv[3:]
for call, door in CALLS.items():
    if not wanted or call.__name__ in wanted:
        call(Client(f"{url}{door}", verbose=False))
if not wanted:
    Client(url, verbose=False).view_api(print_info=False)
print(json.dumps(report))
