"""`python -m benches [--quick] [--works rate,rtt,put,crew,tools] [--rounds N] [--seconds S] [--out DIRECTORY]`"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import ringway

from . import chart, children, plan, rounds, tables


def main():
    parser = argparse.ArgumentParser(prog="benches", description="Ringway's Python side beside its peers.")
    parser.add_argument("--quick", action="store_true", help="two short rounds: less than a minute")
    parser.add_argument("--works", default=",".join(plan.WORKS), help="which of them, by commas (%(default)s)")
    parser.add_argument("--rounds", type=int, help="how many (5, or 2 if quick), if there is time")
    parser.add_argument("--seconds", type=float, help="how long each measurement takes (0.2, or 0.06 if quick)")
    parser.add_argument("--limit", type=float, help="when to end at the latest, in seconds (350, or 58 if quick)")
    parser.add_argument("--out", type=Path, default=Path("target/bench-python"), help="for what is written (%(default)s)")
    arguments = parser.parse_args()
    works = arguments.works.split(",")
    if unknown := set(works) - set(plan.WORKS):
        parser.error(f"there is no work {', '.join(sorted(unknown))}")

    is_quick = arguments.quick
    until = time.monotonic() + (arguments.limit or (58 if is_quick else 350))
    near, far = children.cores()
    if near == far:
        print("benches: there is one processor only: both sides share it", file=sys.stderr)
    heading = (
        f"ringway {ringway.__version__}, Python {platform.python_version()}, Linux {platform.release()}, processors "
        f"{near} and {far} of {os.cpu_count()}, load {os.getloadavg()[0]:.1f}"
    )
    print(heading, flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    groups = plan.groups(is_quick, works)
    with open(arguments.out / "results.jsonl", "w") as log:
        results = rounds.run(
            groups,
            arguments.seconds or (0.06 if is_quick else 0.2),
            arguments.rounds or (2 if is_quick else 5),
            until,
            log,
        )
    print(f"\n{tables.tables(results, groups)}")
    if "rate" in works or "rtt" in works:
        print(f"\n{tables.target_table(results)}")
    if picture := chart.draw(results, heading):
        (arguments.out / "peers.svg").write_text(picture)
    print(f"\nwritten: {arguments.out}/results.jsonl{', peers.svg' if picture else ''}")
    if not results.values:
        sys.exit("benches: nothing was measured")


if __name__ == "__main__":
    main()
