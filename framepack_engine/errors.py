"""Everything the engine raises on purpose.

EngineError
├── InvalidSpec        invalid_spec        the caller must change a value; `facts["field"]` names it
│   └── CacheUnusable  cache_unusable      a step cache that this model lacks the numbers for
├── AttentionUnavailable attention_unavailable  an attention that is not installed, or not for this device
├── PrecisionUnavailable precision_unavailable  a precision whose package is not installed, or not for this device
├── KernelsUnavailable kernels_unavailable  the kernels that FARM_KERNELS names cannot be used here
├── ArtifactDamaged    artifact_damaged    bytes that are not what they say they are
├── ArtifactMismatch   artifact_mismatch   an artifact of another section, size or model
├── OutOfMemory        out_of_memory       the device's memory is too small for every plan
│   └── DeviceTooSmall  out_of_memory      known before anything is tried
├── NotFinite          not_finite          NaN or infinity came out of a model
├── BlackFrames        black_frames        every decoded pixel is black
├── BadImage           unsupported_image   a picture that cannot be read or used
├── ModelUnavailable   model_unavailable   a file of the model is missing, or the name is unknown
├── LoraUnusable       lora_unusable       no such LoRA, or its keys do not fit the model; they are named
└── VideoMismatch      video_mismatch      clips that cannot be joined, or frames of no video
"""

from __future__ import annotations


class EngineError(Exception):
    """One message for people, `facts` for logs, `code` for programs; picklable, so it crosses processes."""

    code = "engine"

    def __init__(self, message: str, /, **facts: object) -> None:
        """`message` says what was found, what was wanted, what to do."""
        super().__init__(message)
        self.facts = facts


class InvalidSpec(EngineError):
    """A value of the specification is impossible; `facts["field"]` is its name."""

    code = "invalid_spec"


class CacheUnusable(InvalidSpec):
    """A step cache needs numbers that are not known for this model."""

    code = "cache_unusable"


class AttentionUnavailable(EngineError):
    """An attention is not installed here, or not for this device; the message says how to install it."""

    code = "attention_unavailable"


class PrecisionUnavailable(EngineError):
    """A precision's package is not installed here, or the device cannot compute in it; the message says what helps."""

    code = "precision_unavailable"


class KernelsUnavailable(EngineError):
    """Exact kernels need triton; compiled blocks need a newer torch, and a device whose tensors are not counted."""

    code = "kernels_unavailable"


class ArtifactDamaged(EngineError):
    """The bytes of an artifact are truncated, altered, or of another kind."""

    code = "artifact_damaged"


class ArtifactMismatch(EngineError):
    """An artifact is whole, but it belongs to another section, size or model."""

    code = "artifact_mismatch"


class OutOfMemory(EngineError):
    """A stage does not fit the device, even by the smallest plan of equal bits; the message says what helps."""

    code = "out_of_memory"


class DeviceTooSmall(OutOfMemory):
    """No plan fits; `facts["needs_bytes"]` is the least."""


class NotFinite(EngineError):
    """NaN or infinity came out of a model: no picture can follow."""

    code = "not_finite"


class BlackFrames(EngineError):
    """Every decoded pixel is black: the usual sign of a broken decode."""

    code = "black_frames"


class BadImage(EngineError):
    """A picture cannot be read, or its pixels have no defined colour."""

    code = "unsupported_image"


class ModelUnavailable(EngineError):
    """A file of the model is missing, or there is no model of that name."""

    code = "model_unavailable"


class LoraUnusable(EngineError):
    """There is no LoRA of that name, its bytes are not the pinned ones, or its keys do not fit the model."""

    code = "lora_unusable"


class VideoMismatch(EngineError):
    """Clips cannot be joined without encoding again, or a file or frames are no video."""

    code = "video_mismatch"
