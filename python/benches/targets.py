"""What we have set ourselves to reach, judged by ratios within the run."""

from dataclasses import dataclass

from .figures import Figure, ratio
from .payloads import PAYLOADS
from .plan import Case


@dataclass(frozen=True)
class Target:
    what: str
    against: str
    bound: float
    #: Whether more is better.
    is_least: bool
    figure: Figure | None

    @property
    def is_met(self):
        """`None`: not measured."""
        if self.figure is None:
            return None
        return self.figure.median >= self.bound if self.is_least else self.figure.median <= self.bound


#: How many times as many items a second as `mp.Queue`.
_TIMES = {"int": 10, "dict": 6, "1 KiB bytes": 10, "1 MiB numpy": 20}


def targets(results):
    found = []

    def add(work, name, subject, against, bound, is_least=True, ours="ringway.Queue"):
        compared = ratio(results, Case(work, subject, ours), Case(work, subject, against), name)
        found.append(Target(f"{ours} {_WORDS[work]}, {subject}", against, bound, is_least, compared))

    for subject, times in _TIMES.items():
        add("rate", "rate", subject, "mp.Queue", times)
        add("rate", "rate", subject, "faster-fifo", 2)
        add("rate", "rate", subject, "faster-fifo get_many", 2, ours="ringway.Queue get_many")
        add("rate", "rate", subject, "cloudtoid", 2)
        # Those two were told how much room there is to be; this one knows it, too.
        if subject in PAYLOADS and PAYLOADS[subject].size:
            add("rate", "rate", subject, "faster-fifo", 2, ours="ringway.Queue sized")
            add("rate", "rate", subject, "cloudtoid", 2, ours="ringway.Queue sized")
    for subject in _TIMES:
        add("rtt", "rtt50", subject, "mp.Queue", 0.1, is_least=False)
    return found


_WORDS = {"rate": "items/s", "rtt": "round trip p50"}
