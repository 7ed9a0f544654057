"""Hide packages that only extras bring. Every process of the farms that tests start loads this module first.

A farm without extras is what most people install, and its workers start sooner.
"""

import sys

sys.modules.update(dict.fromkeys(("scipy", "sklearn", "skimage", "torchao")))  # type: ignore[arg-type]  # None: missing
