"""Everything the engine raises on purpose.

EngineError
├── InvalidSpec        invalid_spec        the caller must change a value; `facts["field"]` names it
│   └── CacheUnusable  cache_unusable      a step cache that this model gives no ground for
├── AttentionUnavailable attention_unavailable  an attention backend that is not installed, or not for this device
├── PrecisionUnavailable precision_unavailable  a precision whose package is not installed, or not for this device
├── KernelsUnavailable kernels_unavailable  the kernels that FARM_KERNELS names cannot be used here
├── ArtifactDamaged    artifact_damaged    bytes that are not what they say they are
├── ArtifactMismatch   artifact_mismatch   an artifact of another section, size or model
├── OutOfMemory        out_of_memory       the device's memory does not hold it, however little is kept there
│   └── DeviceTooSmall  out_of_memory      known before anything was tried
├── NotFinite          not_finite          NaN or infinity came out of a model
├── BlackFrames        black_frames        every pixel that was decoded is black
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
    """A step cache needs what is not known of this model."""

    code = "cache_unusable"


class AttentionUnavailable(EngineError):
    """An attention backend is not installed here, or not for this device; the message says how to install it."""

    code = "attention_unavailable"


class PrecisionUnavailable(EngineError):
    """A precision's package is not installed here, or the device cannot multiply in it; the message says what helps."""

    code = "precision_unavailable"


class KernelsUnavailable(EngineError):
    """Exact kernels need triton; compiled blocks need a newer torch, and a device whose tensors are not counted."""

    code = "kernels_unavailable"


class ArtifactDamaged(EngineError):
    """Bytes that were read are truncated, altered, or of another kind."""

    code = "artifact_damaged"


class ArtifactMismatch(EngineError):
    """An artifact is whole, but it belongs to another section, size or model."""

    code = "artifact_mismatch"


class OutOfMemory(EngineError):
    """A stage does not fit the device, with the smallest plan that is equal in bits; the message says what helps."""

    code = "out_of_memory"


class DeviceTooSmall(OutOfMemory):
    """No plan fits; `facts["needs_bytes"]` is the least."""


class NotFinite(EngineError):
    """NaN or infinity came out of a model: nothing that follows could be a picture."""

    code = "not_finite"


class BlackFrames(EngineError):
    """Every pixel that was decoded is black: the usual sign of a broken decode."""

    code = "black_frames"


class BadImage(EngineError):
    """A picture cannot be read, or its pixels have no defined colour."""

    code = "unsupported_image"


class ModelUnavailable(EngineError):
    """A file of the model is missing, or nobody knows a model of that name."""

    code = "model_unavailable"


class LoraUnusable(EngineError):
    """There is no LoRA of that name, it is not the one that was pinned, or its keys do not fit; they are named."""

    code = "lora_unusable"


class VideoMismatch(EngineError):
    """Clips that cannot be joined without encoding again, or frames that are no video."""

    code = "video_mismatch"
