"""One picture, as SVG: items a second and round trips, a row for each peer, a column for each payload, on logarithmic scales."""

import math
from xml.sax.saxutils import escape

from .figures import duration, figure, number
from .payloads import PAYLOADS
from .peers import PEERS
from .plan import Case

_WIDE, _LEFT, _ROW, _GAP, _TOP = 270, 210, 20, 26, 74
_OURS, _THEIRS, _INK, _GRID = "#c2410c", "#64748b", "#1e293b", "#e2e8f0"

#: The work, the figure, its title, its words, and whether more is better.
_PANELS = (
    ("rate", "rate", "items a second: longer is better", number),
    ("rtt", "rtt50", "round trip, median: shorter is better", duration),
)


def _text(x, y, text, **attributes):
    words = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{words}>{escape(text)}</text>'


def _bounds(values):
    """Whole decades around them, the lowest a bar's length away."""
    return math.floor(math.log10(min(values)) - 0.3), math.ceil(math.log10(max(values)) + 0.05)


def _column(left, top, rows, words):
    """Bars for the figures of one payload."""
    values = [value for _, one in rows if one for value in (one.lowest, one.highest)]
    if not values:
        return []
    low, high = _bounds(values)
    scale = (_WIDE - _GAP - 62) / (high - low)
    parts = []
    for decade in range(low, high + 1):
        x = left + (decade - low) * scale
        parts.append(f'<path d="M{x:.1f} {top}v{len(rows) * _ROW}" stroke="{_GRID}"/>')
    for row, (name, one) in enumerate(rows):
        y = top + row * _ROW
        if one is None:
            parts.append(_text(left + 4, y + 14, "as without" if PEERS[name].is_sized else "not measured", fill=_THEIRS, font_style="italic"))
            continue
        length = (math.log10(one.median) - low) * scale
        colour = _OURS if name.startswith("ringway") else _THEIRS
        parts.append(f'<rect x="{left}" y="{y + 4}" width="{length:.1f}" height="{_ROW - 8}" rx="2" fill="{colour}"/>')
        ends = [left + (math.log10(value) - low) * scale for value in (one.lowest, one.highest)]
        if ends[1] - ends[0] > 1:
            parts.append(
                f'<path d="M{ends[0]:.1f} {y + _ROW / 2}H{ends[1]:.1f}" stroke="{_INK}" stroke-width="1.5" opacity="0.6"/>'
            )
        at = left + max(length, ends[1] - left) + 5
        parts.append(_text(at, y + 14, words(one.median), fill=_INK))
    return parts


def draw(results, heading):
    """The whole picture; nothing if there is nothing to draw."""
    parts, top, width = [], _TOP, 0
    for work, name, title, words in _PANELS:
        cases = [case for case, found in results.values if case.work == work and found == name]
        subjects = [subject for subject in PAYLOADS if any(case.subject == subject for case in cases)]
        peers = [name for name in PEERS if any(case.by == name for case in cases)]
        if not cases:
            continue
        parts.append(_text(16, top, title, font_weight="bold", font_size="14", fill=_INK))
        top += 26
        for column, subject in enumerate(subjects):
            parts.append(_text(_LEFT + column * _WIDE, top, subject, font_weight="bold", fill=_INK))
        top += 8
        for row, peer in enumerate(peers):
            colour = _OURS if peer.startswith("ringway") else _INK
            parts.append(_text(_LEFT - 12, top + row * _ROW + 14, peer, text_anchor="end", fill=colour))
        for column, subject in enumerate(subjects):
            rows = [(peer, figure(results, Case(work, subject, peer), name)) for peer in peers]
            parts += _column(_LEFT + column * _WIDE, top, rows, words)
        top += len(peers) * _ROW + 34
        width = max(width, _LEFT + len(subjects) * _WIDE)
    if not parts:
        return None
    parts += [
        _text(16, 26, "Objects between two Python processes", font_size="17", font_weight="bold", fill=_INK),
        _text(16, 43, heading, fill=_THEIRS),
        _text(
            16,
            top - 8,
            "Each grid line is ten times the one before. The line in a bar: the lowest and the highest of all rounds.",
            fill=_THEIRS,
        ),
    ]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top + 8}" viewBox="0 0 {width} {top + 8}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        f"{body}\n</svg>\n"
    )
