"""The doors: which calls FramePack and its forks have, with their parameters, their order, defaults and outputs."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import JsonValue

Kind = Literal["image", "text", "whole", "number", "switch", "choice"]
NAMES_OF_PRESETS = {  #: in the fork -> (in this farm, the fork's flow preset)
    "Default": ("default", "standard"),
    "Dance": ("dance", "dance"),
    "Talking": ("talking", "talking"),
    "Action": ("action", "action"),
    "Subtle Movement": ("subtle", "subtle"),
    "Hand Movement": ("hands", "hand_detail"),
}
FLOWS = {flow: preset for preset, flow in NAMES_OF_PRESETS.values()}  #: flow preset -> preset of this farm
_TWINS = 6  #: gradio names further listeners of one function with _1 …


class Parameter(NamedTuple):
    """A parameter of a call."""

    name: str
    kind: Kind
    label: str
    default: JsonValue = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    is_required: bool = False


class Output(NamedTuple):
    """An output of a call."""

    component: Literal["video", "image", "markdown", "html", "number", "textbox", "checkbox", "dropdown", "button"]
    label: str


class Call(NamedTuple):
    """A call: what gradio names an endpoint."""

    name: str  #: in its address
    function: str  #: the fork's function; several calls may share it
    parameters: tuple[Parameter, ...]
    outputs: tuple[Output, ...]


class Door(NamedTuple):
    """The calls below one address."""

    path: str  #: "" or "/NAME"
    calls: tuple[Call, ...]

    def call(self, name: str) -> Call | None:
        """Return the call of this name."""
        return next((call for call in self.calls if call.name == name), None)


_IMAGE = Parameter("input_image", "image", "Image", is_required=True)
_END = Parameter("end_frame", "image", "Final Frame (Optional)")
_TO_TEACACHE = (
    Parameter("prompt", "text", "Prompt", ""),
    Parameter("n_prompt", "text", "Negative Prompt", ""),
    Parameter("seed", "whole", "Seed", 31337, -1),
    Parameter("total_second_length", "number", "Total Video Length (Seconds)", 5, 1, 120),
    Parameter("latent_window_size", "whole", "Latent Window Size", 9, 1, 33),
    Parameter("steps", "whole", "Steps", 25, 1, 100),
    Parameter("cfg", "number", "CFG Scale", 1, 1, 32),
    Parameter("gs", "number", "Distilled CFG Scale", 10, 1, 32),
    Parameter("rs", "number", "CFG Re-Scale", 0, 0, 1),
    Parameter("gpu_memory_preservation", "number", "GPU Inference Preserved Memory (GB)", 6, 0, 128),
    Parameter("use_teacache", "switch", "Use TeaCache", default=True),
)
_CRF = Parameter("mp4_crf", "whole", "MP4 Compression", 16, 0, 100)
_FLOW = Parameter("flow_preset", "choice", "Flow Shift Preset", "standard", choices=tuple(FLOWS))
_PRESET = Parameter("preset_name", "choice", "Preset Configurations", "Default", choices=tuple(NAMES_OF_PRESETS))


def _random_seed(*, on: bool) -> Parameter:
    return Parameter("use_random_seed", "switch", "Use Random Seed", on)


def _section_frames(*, on: bool) -> Parameter:
    return Parameter("save_section_frames", "switch", "Save Section Frames", on)


def _hands(*, on: bool) -> Parameter:
    return Parameter("hand_optimization", "switch", "Optimize for Hands/Details", on)


_PROCESS_OUTPUTS = (
    Output("video", "Finished Frames"),
    Output("image", "Next Latents"),
    Output("markdown", "Description"),
    Output("html", "Progress"),
    Output("button", "Start Generation"),
    Output("button", "End Generation"),
)
_SEED = Output("number", "Seed")
_COMPONENTS = {"text": "textbox", "whole": "number", "number": "number", "switch": "checkbox", "choice": "dropdown"}


def _process(*parameters: Parameter, outputs: tuple[Output, ...] = _PROCESS_OUTPUTS) -> Call:
    return Call("process", "process", parameters, outputs)


_END_PROCESS = Call("end_process", "end_process", (), ())
_SET_SEED = Call(
    "set_random_seed",
    "set_random_seed",
    (Parameter("is_checked", "switch", "Use Random Seed", default=True),),
    (_SEED,),
)
_SECTIONS = tuple(
    parameter
    for n in (1, 2, 3)
    for parameter in (
        Parameter(f"num{n}", "whole", f"Section Number {n}", least=0),
        Parameter(f"img{n}", "image", f"Keyframe Image {n}"),
    )
)
_UPDATE_SECTIONS = tuple(
    Call(f"update_section_settings{f'_{n}' if n else ''}", "update_section_settings", _SECTIONS, ())
    for n in range(_TWINS)
)


def _update(parameter: Parameter) -> Output:
    return Output(_COMPONENTS[parameter.kind], parameter.label)  # type: ignore[arg-type]


_SUPARIOUS = (*_TO_TEACACHE, _hands(on=True), _FLOW, _CRF)
_APPLY_PRESET = Call("apply_preset", "apply_preset", (_PRESET,), tuple(map(_update, _SUPARIOUS)))
PRESET_OUTPUTS = tuple(parameter.name for parameter in _SUPARIOUS)  #: the answers of /apply_preset, in order

DOORS = (
    Door(
        "",
        (
            _process(
                _IMAGE,
                *_TO_TEACACHE,
                _CRF,
                _END,
                _random_seed(on=False),
                _section_frames(on=False),
                _hands(on=False),
                _FLOW,
            ),
            _END_PROCESS,
            _APPLY_PRESET,
            _SET_SEED,
            *_UPDATE_SECTIONS,
        ),
    ),
    Door(
        "/nirvash",
        (
            _process(
                _IMAGE,
                _END,
                *_TO_TEACACHE,
                _random_seed(on=True),
                _section_frames(on=True),
                outputs=(*_PROCESS_OUTPUTS, _SEED),
            ),
            _END_PROCESS,
            _SET_SEED,
            *_UPDATE_SECTIONS,
        ),
    ),
    Door("/suparious", (_process(_IMAGE, *_SUPARIOUS), _END_PROCESS, _APPLY_PRESET)),
    Door("/svjack", (_process(_IMAGE, *_TO_TEACACHE), _END_PROCESS)),
)
