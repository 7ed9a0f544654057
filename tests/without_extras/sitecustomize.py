"""What every process of the farms that tests start loads first: packages that only extras bring are not there.

A farm without extras is what most people install, and its workers start sooner.
"""

import sys

sys.modules.update(dict.fromkeys(("scipy", "sklearn", "skimage", "torchao")))  # type: ignore[arg-type]  # None: missing
