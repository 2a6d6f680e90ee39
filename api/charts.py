"""Small charts as SVG text: a few lines or bars, readable without a script or a style sheet."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 480, 260, 56, 40, 30
COLOURS = ("#1b6ca8", "#c8553d", "#588b3a", "#8c5fa8", "#777777")

Points = Sequence[tuple[float, float]]


def line_chart(title: str, lines: Mapping[str, Points], x_label: str, y_label: str) -> str:
    """Draw lines through points; both axes begin at the smallest value or zero."""
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x_range, y_range = (min(xs), max(xs)), (min(0.0, *ys), max(ys))
    drawn = []
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        placed = " ".join(f"{across(x, x_range):.1f},{upward(y, y_range):.1f}" for x, y in points)
        drawn.append(
            f'<polyline points="{placed}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        drawn.append(text(LEFT + 8, TOP + 14 + 14 * number, name, colour=colour))
    return framed(title, drawn, x_label=x_label, y_label=y_label, x_range=x_range, y_range=y_range)


def bar_chart(title: str, bars: Mapping[str, float], y_label: str) -> str:
    """Draw a bar for each name, from zero."""
    y_range = (min(0.0, *bars.values()), max(0.0, *bars.values()))
    room = (WIDTH - LEFT - 10) / max(1, len(bars))
    drawn = []
    for number, (name, value) in enumerate(bars.items()):
        left, zero, top = LEFT + number * room, upward(0.0, y_range), upward(value, y_range)
        drawn.append(
            f'<rect x="{left + 0.1 * room:.1f}" y="{min(top, zero):.1f}" width="{0.8 * room:.1f}"'
            f' height="{abs(zero - top):.1f}" fill="{COLOURS[0]}"/>'
        )
        drawn.append(text(left + room / 2, HEIGHT - BOTTOM + 14, name, anchor="middle"))
    return framed(title, drawn, x_label="", y_label=y_label, x_range=None, y_range=y_range)


def framed(
    title: str,
    drawn: Sequence[str],
    *,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None,
    y_range: tuple[float, float],
) -> str:
    """Put axes, their ends and a title around what is drawn."""
    floor = HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(title)}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        text(LEFT, 16, title, weight="bold"),
        f'<path d="M{LEFT} {TOP}V{floor}H{WIDTH - 10}" fill="none" stroke="#444"/>',
        text(LEFT - 4, floor, number(y_range[0]), anchor="end"),
        text(LEFT - 4, TOP + 8, number(y_range[1]), anchor="end"),
        text(4, (TOP + floor) / 2, y_label, turned=True),
        text((LEFT + WIDTH) / 2, HEIGHT - 8, x_label, anchor="middle"),
    ]
    if x_range is not None:
        parts.append(text(LEFT, floor + 14, number(x_range[0]), anchor="middle"))
        parts.append(text(WIDTH - 10, floor + 14, number(x_range[1]), anchor="end"))
    return "\n".join([*parts, *drawn, "</svg>\n"])


def across(x: float, x_range: tuple[float, float]) -> float:
    """Place a value on the horizontal axis."""
    low, high = x_range
    return LEFT + (x - low) / ((high - low) or 1.0) * (WIDTH - 10 - LEFT)


def upward(y: float, y_range: tuple[float, float]) -> float:
    """Place a value on the vertical axis."""
    low, high = y_range
    return HEIGHT - BOTTOM - (y - low) / ((high - low) or 1.0) * (HEIGHT - BOTTOM - TOP)


def text(
    x: float, y: float, content: str, *,
    anchor: str = "start", colour: str = "#222", weight: str = "normal", turned: bool = False,
) -> str:  # fmt: skip
    """Write a label."""
    turn = f' transform="rotate(-90 {x + 8:.1f} {y:.1f})" dx="8"' if turned else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{"middle" if turned else anchor}"'
        f' fill="{colour}" font-weight="{weight}"{turn}>{escape(content)}</text>'
    )


def number(value: float) -> str:
    """Write a number briefly."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
