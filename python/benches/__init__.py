"""What Ringway's Python side costs, beside what else there is: `python -m benches`, or `ci/bench-python.sh`.

| file | what it holds |
|---|---|
| `payloads` | what is sent, and what its receiver does with it |
| `peers` | by what it is sent: one file for each library |
| `children` | processes that are pinned, watched, and gone with their parent |
| `flow` | one producer, one consumer: items a second, round trips, what a `put` costs |
| `crew` | several of each |
| `tools` | locks, values, events, and making things |
| `plan`, `rounds` | what is measured, in which order, how often |
| `figures`, `targets` | medians and ratios within a round; what we have set ourselves to reach |
| `tables`, `chart` | what people read |
"""
