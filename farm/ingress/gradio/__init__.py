"""The doors for gradio scripts: the protocol that gradio's clients speak, answered from the store.

No gradio is installed for it. docs/decisions/0164 says why.
"""

from farm.ingress.gradio.doors import DOORS
from farm.ingress.gradio.routes import router

__all__ = ["DOORS", "router"]
