"""What is measured, and how long a run takes."""

from dataclasses import dataclass

from . import crew, flow, tools
from .payloads import PAYLOADS
from .peers import PEERS


@dataclass(frozen=True)
class Case:
    """One measurement: it belongs beside those of the same work."""

    work: str
    subject: str
    by: str

    def run(self, seconds):
        """Measures it. Called in a process of its own."""
        return WORKS[self.work](self.subject, self.by, seconds)


def _of_two(measure):
    return lambda subject, by, seconds: measure(PEERS[by], PAYLOADS[subject], seconds)


def _of_tools(subject, by, seconds):
    function, arguments = tools.TOOLS[subject]
    return function(by, seconds, *arguments)


#: The rows of faster-fifo's README: producers, consumers, and the seconds it gives for its system of two cores: of
#: `multiprocessing.Queue`, of itself, and of its `get_many`; for so many messages a producer.
README_ROWS = {
    (1, 1): (200_000, 7.86, 2.09, 2.2),
    (1, 10): (200_000, 11.68, 4.01, 3.88),
    (10, 1): (100_000, 44.48, 16.68, 5.98),
    (3, 20): (100_000, 22.59, 7.83, 7.49),
    (20, 3): (50_000, 66.3, 22.3, 6.35),
    (20, 20): (50_000, 78.75, 14.39, 15.78),
}


def _crew(subject, by, seconds):
    producers, _, rest = subject.partition(" to ")
    consumers, _, payload = rest.partition(", ")
    return crew.items_a_second(PEERS[by], PAYLOADS[payload], seconds, int(producers), int(consumers))


WORKS = {
    "rate": _of_two(flow.items_a_second),
    "rtt": _of_two(flow.round_trip),
    "put": _of_two(flow.put_latency),
    "crew": _crew,
    "tools": _of_tools,
}

_PAIR = ("int", "dict", "1 KiB bytes", "1 MiB numpy")


def groups(is_quick, works):
    """Lists of cases that are compared with each other, and so measured one after the other."""
    shared = [name for name, peer in PEERS.items() if peer.is_shared and not peer.is_sized]
    few = ("ringway.Queue", "mp.Queue", "faster-fifo", "faster-fifo get_many")
    rows = [(10, 1)] if is_quick else README_ROWS
    found = []

    def add(work, subject, by):
        if work in works:
            found.append([Case(work, subject, each) for each in by])

    for payload in _PAIR:
        if payload in PAYLOADS:
            fit = [name for name, peer in PEERS.items() if PAYLOADS[payload].size or not peer.is_sized]
            add("rate", payload, fit)
            add("rtt", payload, fit)
    for payload in ("int", "dict"):
        add("put", payload, shared)
        add("crew", f"4 to 4, {payload}", shared)
    for producers, consumers in rows:
        add("crew", f"{producers} to {consumers}, tuple", (*few[:1], "ringway.Queue get_many", *few[1:]))
    for tool in tools.TOOLS:
        add("tools", tool, tools.LIBRARIES)
    return found
