"""How fast this worker is: a running median of its own sections, by model."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from statistics import median

from farm.contract import Order
from farm.demand import section_work

_LATELY = 9  #: sections that count


class Pace:
    """Hears of finished orders; says what belongs on the worker's card."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._took_s: dict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=_LATELY))

    def note(self, order: Order, seconds: float) -> None:
        """An order was done in `seconds`. Only whole sections tell something: a resumed one was partly done before."""
        if order.key.stage == "section" and "step" not in order.needs:
            self._took_s[order.job.request.model or ""].append((seconds, seconds / section_work(order.job)))

    def of(self, model: str | None) -> Mapping[str, float | str | None]:
        """The card's fields for a worker that holds `model`; None where nothing is measured."""
        took_s = self._took_s.get(model or "")
        return {
            "model": model,
            "s_per_section": median(raw for raw, _ in took_s) if took_s else None,
            "s_per_standard_section": median(standard for _, standard in took_s) if took_s else None,
        }
