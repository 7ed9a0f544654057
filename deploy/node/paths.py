"""Paths in variables that other packages read: they mean what the user meant in every folder."""

from __future__ import annotations

import os
from pathlib import Path

_VARIABLES = (
    *("RAY_AUTH_TOKEN_PATH", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
    *(
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CA_BUNDLE",
        "AWS_DATA_PATH",
    ),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"),
    *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_XET_CACHE", "HF_ASSETS_CACHE", "HF_TOKEN_PATH"),
    *("TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TRITON_HOME"),
)


def pin_paths() -> None:
    """Make relative paths absolute. Call it before a process of ours starts in, or changes to, another folder."""
    for name in _VARIABLES:
        path = os.environ.get(name)
        if path and not path.startswith("~"):  # the package that reads it knows the home folder
            os.environ[name] = str(Path(path).absolute())
