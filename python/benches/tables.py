"""What people read."""

from .figures import duration, figure, number, ratio
from .peers import PEERS
from .plan import README_ROWS, Case
from .targets import targets
from .tools import LIBRARIES

_SHOWN = {
    "rate": ("items a second, one producer, one consumer", (("rate", number),)),
    "rtt": ("round trip, median and 99th percentile", (("rtt50", duration), ("rtt99", duration))),
    "put": ("put, median and 99th percentile", (("put50", duration), ("put99", duration))),
    "crew": ("items a second, several producers and consumers", (("rate", number),)),
    "tools": ("time for each", (("time", duration),)),
}


def _grid(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _cell(results, case, columns):
    parts = []
    for name, words in columns:
        one = figure(results, case, name)
        if one is None:
            return "-"
        parts.append(words(one.median))
    return ", ".join(parts)


def tables(results, groups):
    """One for each kind of work: the medians of all rounds."""
    texts = []
    for work, (title, columns) in _SHOWN.items():
        mine = [group for group in groups if group[0].work == work]
        if not mine:
            continue
        subjects = [group[0].subject for group in mine]
        found = {case.by for group in mine for case in group}
        names = [name for name in (*PEERS, *LIBRARIES) if name in found]
        if work == "tools" or len(subjects) > len(names):
            rows = [["", *names]]
            rows += [[s, *(_cell(results, Case(work, s, name), columns) for name in names)] for s in subjects]
        else:
            rows = [["", *subjects]]
            rows += [[name, *(_cell(results, Case(work, s, name), columns) for s in subjects)] for name in names]
        if work == "tools":
            rows[0].append("ratio")
            for row, subject in zip(rows[1:], subjects):
                ours, theirs = (Case(work, subject, name) for name in names)
                row.append(_ratio(ratio(results, ours, theirs, "time")))
        texts.append(f"{title}\n{_grid(rows)}")
    if any(group[0].work == "crew" for group in groups):
        texts.append(_readme(results))
    return "\n\n".join(texts)


def _ratio(one):
    return f"{one.median:.3g} ({one.lowest:.3g} to {one.highest:.3g})" if one else "-"


def _readme(results):
    """The table of faster-fifo's README: how many times as quick as `multiprocessing.Queue`, there and here."""
    rows = [["producers to consumers", "faster-fifo there", "here", "get_many there", "here", "ringway.Queue", "get_many"]]
    for (producers, consumers), (_, theirs, plain, many) in README_ROWS.items():
        subject = f"{producers} to {consumers}, tuple"
        queue = Case("crew", subject, "mp.Queue")

        def times(by):
            return _ratio(ratio(results, Case("crew", subject, by), queue, "rate"))

        if figure(results, queue, "rate"):
            rows.append(
                [
                    f"{producers} to {consumers}",
                    f"{theirs / plain:.3g}",
                    times("faster-fifo"),
                    f"{theirs / many:.3g}",
                    times("faster-fifo get_many"),
                    times("ringway.Queue"),
                    times("ringway.Queue get_many"),
                ]
            )
    title = "times as quick as mp.Queue: faster-fifo's README (its system of two cores), and here"
    return f"{title}\n{_grid(rows)}" if len(rows) > 1 else ""


def target_table(results):
    """What is reached, by the median of the ratios of each round."""
    rows = [["target", "against", "wanted", "is", "lowest to highest", ""]]
    for target in targets(results):
        one = target.figure
        rows.append(
            [
                target.what,
                target.against,
                f"{'>=' if target.is_least else '<='} {target.bound:g} x",
                f"{one.median:.3g} x" if one else "-",
                f"{one.lowest:.3g} to {one.highest:.3g}" if one else "",
                {True: "pass", False: "MISS", None: "not measured"}[target.is_met],
            ]
        )
    return f"targets\n{_grid(rows)}"
