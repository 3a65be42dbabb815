"""Plots as SVG, one for light pages and one for dark ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.tables import short


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of one kind of page."""

    name: str
    ink: str
    faint: str
    ours: str
    bare: str
    http: str
    vendor: str


THEMES = (
    Theme(
        name="light", ink="#1f2328", faint="#d0d7de", ours="#0969da", bare="#57606a", http="#bc4c00", vendor="#8250df"
    ),
    Theme(
        name="dark", ink="#e6edf3", faint="#3d444d", ours="#4493f8", bare="#9198a1", http="#f0883e", vendor="#ab7df8"
    ),
)
KINDS = {"ours": "dfinery-async", "bare": "bare client", "http": "HTTP clients", "vendor": "other vendors' packages"}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar: its median, and the ends of its spread."""

    label: str
    kind: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line: its points, and a kind that colours it."""

    label: str
    kind: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def available() -> bool:
    """Whether there is something to draw with."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("svg")
    return True


def bars(path_of: Callable[[str], Path], title: str, unit: str, rows: Sequence[Bar]) -> list[Path]:
    """Draw horizontal bars on a logarithmic scale, the cheapest on top."""

    def draw(axes: Any, theme: Theme) -> None:
        ordered = sorted(rows, key=lambda bar: bar.value, reverse=True)
        places = range(len(ordered))
        colours = [getattr(theme, bar.kind) for bar in ordered]
        axes.barh(places, [bar.value for bar in ordered], color=colours, height=0.72)
        for place, bar in enumerate(ordered):
            axes.plot([bar.low, bar.high], [place, place], color=theme.ink, linewidth=1.4)
            axes.text(bar.high * 1.08, place, short(bar.value), va="center", fontsize=9, color=theme.ink)
        axes.set_yticks(places, [bar.label for bar in ordered])
        axes.set_xscale("log")
        axes.set_xlim(min(bar.low for bar in ordered) / 2, max(bar.high for bar in ordered) * 1.9)
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_xlabel(unit)
        axes.grid(visible=True, axis="x", color=theme.faint, linewidth=0.6)
        axes.margins(y=0.01)
        present = [kind for kind in KINDS if any(bar.kind == kind for bar in ordered)]
        handles = [Patch(color=getattr(theme, kind), label=KINDS[kind]) for kind in present]
        axes.figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)

    from matplotlib.patches import Patch

    return _both(path_of, title, 1.4 + 0.3 * len(rows), draw)


def lines(path_of: Callable[[str], Path], title: str, x: str, y: str, rows: Sequence[Line]) -> list[Path]:
    """Draw lines over a logarithmic scale; the other scale begins at zero, so that flat looks flat."""
    ticks = sorted({place for row in rows for place, _ in row.points})

    def draw(axes: Any, theme: Theme) -> None:
        for row in rows:
            style = {"color": getattr(theme, row.kind), "linestyle": "--" if row.dashed else "-"}
            axes.plot(*zip(*row.points, strict=True), marker="o", label=row.label, **style)
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0, top=1.3 * max(value for row in rows for _, value in row.points))
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(visible=True, color=theme.faint, linewidth=0.6)
        axes.legend(fontsize=9)

    return _both(path_of, title, 3.8, draw)


def _both(path_of: Callable[[str], Path], title: str, height: float, draw: Callable[[Any, Theme], None]) -> list[Path]:
    import matplotlib.pyplot as plt

    paths = []
    for theme in THEMES:
        colours = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), theme.ink)
        settings: Mapping[str, Any] = {
            **colours,
            "axes.edgecolor": theme.faint,
            "legend.facecolor": "none",
            "legend.edgecolor": theme.faint,
            "svg.fonttype": "path",  # looks the same whatever fonts there are
            "svg.hashsalt": "benchmarks",
            "font.family": "sans-serif",
            "font.size": 10,
        }
        with plt.rc_context(settings):
            figure, axes = plt.subplots(figsize=(9, height), layout="constrained")
            axes.set_axisbelow(True)
            draw(axes, theme)
            axes.set_title(title, loc="left", fontsize=11)
            path = path_of(f".{theme.name}.svg")
            figure.savefig(path, transparent=True, metadata={"Date": None})
            plt.close(figure)
        paths.append(path)
    return paths


def shown(paths: Sequence[Path], alt: str) -> str:
    """Return the Markdown that shows a plot in the theme of the page."""
    light, dark = paths
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{dark.name}">'
    return f'<picture>{source}<img alt="{alt}" src="{light.name}"></picture>\n'
