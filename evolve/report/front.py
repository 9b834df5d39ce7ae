"""The picture of a trade-off: a front, its parents and the static merges beside it.

Two objectives give one scatter, three give three pairwise panels, more give parallel
coordinates. Knows points and objectives, not genomes; needs the extra `evolve[plots]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from evolve.errors import EvolveError
from evolve.report.labels import place_labels
from evolve.score import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind: TypeAlias = Literal["scored", "front", "founder", "baseline", "extreme", "knee"]


class Point(NamedTuple):
    """One candidate of the picture; an empty label draws the mark alone."""

    label: str
    kind: Kind
    values: Sequence[float]  # one per objective, natural sign and unit


class _Style(NamedTuple):
    name: str  # in the legend
    marker: str
    size: float  # points squared
    face: str
    edge: str
    ink: str  # of its label


_STYLES: dict[Kind, _Style] = {  # in drawing order: the knee lies on top
    "scored": _Style("scored births", "o", 9, "#d4d7dc", "none", "#8a9099"),
    "front": _Style("front", "o", 30, "#7fb2e5", "#2f6fb0", "#2f6fb0"),
    "founder": _Style("founders", "s", 46, "#f2b35e", "#a86a12", "#7a4a05"),
    "baseline": _Style("static merges", "D", 40, "#b9dfb4", "#3b8a3a", "#23652a"),
    "extreme": _Style("best of one objective", "^", 70, "#2f6fb0", "#163a60", "#163a60"),
    "knee": _Style("knee", "*", 210, "#d7263d", "#7d0f1f", "#a3152a"),
}
_DPI = 150.0
_REACH = 1.5  # front ranges shown beyond the front; what lies farther sits on the border


def draw_front(
    points: Sequence[tuple[str, Kind, Sequence[float]]],
    objectives: Sequence[Objective],
    path: Path,
) -> None:
    """Write the picture of `points` (see `Point`) to `path`: png, svg or pdf, by its suffix.

    A point more than 1.5 ranges of the front away from it is drawn on the border as a
    triangle, its value there beside its label. Raises `EvolveError` without matplotlib, with
    fewer than two objectives, with no points, or for values that do not fit the objectives.
    """
    marks = [Point(*point) for point in points]
    table = _table(marks, objectives)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise EvolveError(
            f"The picture of the front needs matplotlib ({error}); "
            "type `pip install evolve[plots]`."
        ) from error
    layout = ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.1)  # inches
    if len(objectives) > 3:
        figure = Figure(figsize=(2.2 * len(objectives) + 3.2, 5.2), dpi=_DPI, layout=layout)
        FigureCanvasAgg(figure)
        _parallel(figure, marks, table, objectives)
    else:
        pairs = list(combinations(range(len(objectives)), 2))
        width = 7.6 if len(pairs) == 1 else 5.4 * len(pairs)
        figure = Figure(figsize=(width, 6.0), dpi=_DPI, layout=layout)
        FigureCanvasAgg(figure)
        _panels(figure, marks, table, objectives, pairs)
    figure.savefig(path, dpi="figure")


def _table(points: Sequence[Point], objectives: Sequence[Objective]) -> np.ndarray:
    """(n, m) float64 values of the points."""
    if len(objectives) < 2:
        raise EvolveError(
            f"A front has two objectives or more, here there are {len(objectives)}; "
            "read the best value from the table instead."
        )
    if not points:
        raise EvolveError("There are no points to draw; score a birth first.")
    for label, kind, values in points:
        if kind not in _STYLES:
            raise EvolveError(
                f"Point {label!r} is of kind {kind!r}; give one of {', '.join(_STYLES)}."
            )
        if len(values) != len(objectives) or not np.isfinite(values).all():
            raise EvolveError(
                f"Point {label or kind!r} has the values {tuple(values)}, expected "
                f"{len(objectives)} finite numbers; leave failed evaluations out."
            )
    return np.array([point.values for point in points], dtype=np.float64)


def _limits(points: Sequence[Point], table: np.ndarray) -> np.ndarray:
    """(m, 2) low and high of each axis: the front in full, the rest as far as `_REACH`."""
    core = np.array([point.kind in ("front", "extreme", "knee") for point in points])
    inner = table[core] if core.any() else table
    low, high = inner.min(axis=0), inner.max(axis=0)
    span = np.where(high > low, high - low, np.maximum(np.abs(high), 1e-12) * 0.1)
    near = np.clip(table, low - _REACH * span, high + _REACH * span)
    within = np.where(near == table, table, np.nan)
    edges = np.stack([np.nanmin(within, axis=0), np.nanmax(within, axis=0)], axis=1)
    pad = 0.07 * np.maximum(edges[:, 1] - edges[:, 0], span)
    return np.asarray(edges + np.stack([-pad, pad], axis=1))


def _title(objective: Objective) -> str:
    unit = f" ({objective.unit})" if objective.unit else ""
    hint = "higher is better →" if objective.maximise else "← lower is better"
    return f"{objective.name}{unit}\n{hint}"


def _panels(
    figure: Figure,
    points: Sequence[Point],
    table: np.ndarray,
    objectives: Sequence[Objective],
    pairs: Sequence[tuple[int, int]],
) -> None:
    limits = _limits(points, table)
    axes: list[Axes] = list(figure.subplots(1, len(pairs), squeeze=False)[0])
    for ax, (i, j) in zip(axes, pairs):
        _frame(ax)
        ax.set_xlim(*limits[i])
        ax.set_ylim(*limits[j])
        ax.set_xlabel(_title(objectives[i]))
        ax.set_ylabel(_title(objectives[j]))
        if len(objectives) == 2:
            _staircase(ax, points, table, objectives)
        _marks(ax, points, table[:, [i, j]])
    handles, names = axes[0].get_legend_handles_labels()
    columns = len(names) if len(pairs) > 1 else 3
    figure.legend(handles, names, loc="outside upper center", ncols=columns, frameon=False)
    figure.canvas.draw()
    figure.set_layout_engine("none")
    for ax, (i, j) in zip(axes, pairs):
        _labels(ax, points, table[:, [i, j]])


def _frame(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#9aa0a8")
    ax.tick_params(color="#9aa0a8", labelcolor="#4a4f57", labelsize=9)
    ax.grid(color="#eceef1", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.xaxis.label.set_color("#2a2d33")
    ax.yaxis.label.set_color("#2a2d33")


def _staircase(
    ax: Axes, points: Sequence[Point], table: np.ndarray, objectives: Sequence[Objective]
) -> None:
    """The boundary of what the front attains, for two objectives."""
    core = [point.kind in ("front", "extreme", "knee") for point in points]
    sign = np.array([-1.0 if objective.maximise else 1.0 for objective in objectives])
    cost = sign * table[core]
    cost = cost[np.lexsort((cost[:, 1], cost[:, 0]))]
    cost[:, 1] = np.minimum.accumulate(cost[:, 1])
    ax.step(*(sign * cost).T, where="post", color="#7fb2e5", linewidth=1.2, zorder=1.5)


def _marks(ax: Axes, points: Sequence[Point], values: np.ndarray) -> None:
    """Every point in its kind's mark; those beyond the axes as triangles on the border."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    shown = np.clip(values, [left, bottom], [right, top])
    inside = (shown == values).all(axis=1)
    for order, (kind, style) in enumerate(_STYLES.items()):
        mine = np.array([point.kind == kind for point in points])
        if not mine.any():
            continue
        within = shown[mine & inside]
        ax.scatter(
            within[:, 0], within[:, 1], s=style.size, marker=style.marker, label=style.name,
            facecolors=style.face, edgecolors=style.edge, linewidths=0.9,
            zorder=2.0 + 0.1 * order,
        )  # fmt: skip
        for point in shown[mine & ~inside]:
            ax.scatter(
                point[:1], point[1:], s=0.8 * style.size, marker=_towards(point, ax),
                facecolors=style.face, edgecolors=style.edge, linewidths=0.9,
                zorder=2.0 + 0.1 * order, clip_on=False,
            )  # fmt: skip


def _towards(point: np.ndarray, ax: Axes) -> str:
    """The triangle that points out of the axes at the border where `point` lies."""
    (left, right), (_, top) = ax.get_xlim(), ax.get_ylim()
    if left < point[0] < right:
        return "^" if point[1] >= top else "v"
    return ">" if point[0] >= right else "<"


def _labels(ax: Axes, points: Sequence[Point], values: np.ndarray) -> None:
    """Names beside the marks, with a thin leader where the name stands off."""
    from matplotlib.patheffects import withStroke
    from matplotlib.text import Text

    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    shown = np.clip(values, [left, bottom], [right, top])
    pixels = ax.transData.transform(shown)
    named = [k for k, point in enumerate(points) if point.label]
    if not named:
        return
    texts = []
    for k in named:
        style = _STYLES[points[k].kind]
        text = ax.annotate(
            _caption(points[k].label, values[k], shown[k]), shown[k],
            xytext=(0, 0), textcoords="offset points", fontsize=8, color=style.ink,
            fontweight="bold" if points[k].kind == "knee" else "normal",
            va="bottom", annotation_clip=False, zorder=4,
            arrowprops={"arrowstyle": "-", "color": style.ink, "lw": 0.6, "alpha": 0.7,
                        "shrinkA": 0, "shrinkB": style.size**0.5 / 2.0},
        )  # fmt: skip
        text.set_path_effects([withStroke(linewidth=2.0, foreground="white")])
        texts.append(text)
    scale = 72.0 / _DPI  # points a pixel
    frame = ax.get_window_extent()
    boxes = [Text.get_window_extent(text) for text in texts]
    sizes = scale * np.array([[box.width, box.height] for box in boxes])
    clearances = np.array([_STYLES[points[k].kind].size ** 0.5 / 2.0 + 2.0 for k in named])
    others = [k for k, point in enumerate(points) if not point.label and point.kind != "scored"]
    corners = place_labels(
        scale * pixels[named], sizes, clearances, scale * pixels[others],
        (scale * frame.x0, scale * frame.y0, scale * frame.x1, scale * frame.y1),
    )  # fmt: skip
    for text, (x, y) in zip(texts, corners - scale * pixels[named]):
        text.set_position((float(x), float(y)))


def _caption(label: str, values: np.ndarray, shown: np.ndarray) -> str:
    """The label, with the values that lie beyond the axes."""
    beyond = ", ".join(f"{value:.4g}" for value in values[shown != values])
    return f"{label} ({beyond})" if beyond else label


def _parallel(
    figure: Figure, points: Sequence[Point], table: np.ndarray, objectives: Sequence[Objective]
) -> None:
    """One line a point over one axis an objective, the better end at the bottom."""
    ax: Axes = figure.subplots()
    limits = _limits(points, table)
    limits[[objective.maximise for objective in objectives]] = np.flip(
        limits[[objective.maximise for objective in objectives]], axis=1
    )
    heights = np.clip((table - limits[:, 0]) / (limits[:, 1] - limits[:, 0]), -0.03, 1.03)
    stations = np.arange(len(objectives))
    for order, (kind, style) in enumerate(_STYLES.items()):
        mine = [k for k, point in enumerate(points) if point.kind == kind]
        strong = kind in ("knee", "extreme")
        line = style.face if kind in ("scored", "front") else style.edge
        for n, k in enumerate(mine):
            ax.plot(
                stations, heights[k], color=line, marker=style.marker,
                markerfacecolor=style.face, markeredgecolor=style.edge,
                markersize=0.7 * style.size**0.5, linewidth=2.2 if strong else 1.0,
                alpha=0.5 if kind == "scored" else 0.95, zorder=2.0 + 0.1 * order,
                label=style.name if n == 0 else None,
            )  # fmt: skip
    named = [k for k, point in enumerate(points) if point.label]
    ends = _spread(heights[named, -1], 0.042)
    for k, end in zip(named, ends):
        style = _STYLES[points[k].kind]
        ax.annotate(
            points[k].label, (stations[-1], heights[k, -1]), (stations[-1] + 0.18, end),
            fontsize=8, color=style.ink, va="center", annotation_clip=False,
            fontweight="bold" if points[k].kind == "knee" else "normal",
            arrowprops={"arrowstyle": "-", "color": style.ink, "lw": 0.5, "alpha": 0.6},
        )  # fmt: skip
    for station, (first, last) in zip(stations, limits):
        ax.axvline(float(station), color="#9aa0a8", linewidth=0.8, zorder=1)
        for height, value in ((0.0, first), (0.5, (first + last) / 2.0), (1.0, last)):
            ax.text(
                station - 0.03, height, f"{value:.3g}", fontsize=8, color="#4a4f57",
                ha="right", va="center", zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
            )  # fmt: skip
    ax.set_xticks(stations, [_title(objective).split("\n")[0] for objective in objectives])
    ax.set_xlim(-0.3, float(stations[-1]) + 0.1)
    ax.set_ylim(-0.06, 1.06)
    ax.set_yticks([])
    ax.set_ylabel("← better (every axis)")
    ax.spines[:].set_visible(False)
    handles, names = ax.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)


def _spread(heights: np.ndarray, gap: float) -> np.ndarray:
    """`heights` moved apart to `gap` at least, in the same order, the middle kept."""
    order = np.argsort(heights, kind="stable")
    placed = heights[order].astype(np.float64)
    for _ in range(200):
        short = gap - np.diff(placed)
        if (short <= 1e-9).all():
            break
        push = np.maximum(short, 0.0) / 2.0
        placed[:-1] -= push
        placed[1:] += push
    spread = np.empty_like(placed)
    spread[order] = placed
    return spread
