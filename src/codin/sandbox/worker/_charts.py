"""The data behind a drawn chart: what its axes hold, as plain data."""

from __future__ import annotations

from typing import Any

MAX_POINTS = 10_000
"""The most points of one line; more is not told."""


def chart_of(figure: Any) -> dict[str, Any] | None:
    """The chart of a figure, or a "superchart" of several; ``None`` when it has no data."""
    charts = [chart for axes in figure.axes if (chart := _axes(axes)) is not None]
    if not charts:
        return None
    if len(charts) == 1:
        return charts[0]
    title = figure.get_suptitle() or None
    return {"type": "superchart", "title": title, "elements": charts}


def _axes(axes: Any) -> dict[str, Any] | None:
    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer
    from matplotlib.patches import Wedge

    wedges = [patch for patch in axes.patches if isinstance(patch, Wedge)]
    bars = [each for each in axes.containers if isinstance(each, BarContainer)]
    scatters = [each for each in axes.collections if isinstance(each, PathCollection)]
    if wedges:
        return _pie(axes, wedges)
    if bars:
        return {"type": "bar", **_labels(axes), "elements": _bars(axes, bars)}
    if boxes := _boxes(axes):
        return {"type": "box_and_whisker", **_labels(axes), "elements": boxes}
    if scatters:
        offsets: list[Any] = [each.get_offsets() for each in scatters]
        drawn = [
            _points(each, _pairs(axes, points.tolist()))
            for each, points in zip(scatters, offsets, strict=True)
        ]
        return {"type": "scatter", **_labels(axes), **_scales(axes), "elements": drawn}
    if axes.lines:
        drawn = [_points(each, _pairs(axes, _of_line(each))) for each in axes.lines]
        return {"type": "line", **_labels(axes), **_scales(axes), "elements": drawn}
    return None


def _labels(axes: Any) -> dict[str, Any]:
    x, y = axes.get_xlabel(), axes.get_ylabel()
    units = {"x_unit": _unit(x), "y_unit": _unit(y)}
    return {"title": axes.get_title() or None, "x_label": x or None, "y_label": y or None, **units}


def _unit(label: str) -> str | None:
    """What stands in brackets at the end of a label."""
    start = label.rfind("(")
    return label[start + 1 : -1] if start >= 0 and label.endswith(")") else None


def _scales(axes: Any) -> dict[str, Any]:
    scales: dict[str, Any] = {}
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        scales[f"{name}_ticks"] = [_value(axis, float(tick)) for tick in axis.get_ticklocs()]
        scales[f"{name}_tick_labels"] = [label.get_text() for label in axis.get_ticklabels()]
        scales[f"{name}_scale"] = "datetime" if _is_date(axis) else axis.get_scale()
    return scales


def _is_date(axis: Any) -> bool:
    from matplotlib.dates import DateConverter, _SwitchableDateConverter

    converter = axis.get_converter()
    return isinstance(converter, DateConverter | _SwitchableDateConverter)


def _value(axis: Any, number: float) -> Any:
    """A number on an axis, as what it stands for."""
    if _is_date(axis):
        from matplotlib import dates

        convert: Any = dates.num2date
        return convert(number).isoformat()
    return number


def _pairs(axes: Any, points: list[Any]) -> list[Any]:
    return [[_value(axes.xaxis, x), _value(axes.yaxis, y)] for x, y, *_ in points[:MAX_POINTS]]


def _of_line(line: Any) -> list[Any]:
    points: list[Any] = line.get_xydata().tolist()
    return points


def _points(artist: Any, points: list[Any]) -> dict[str, Any]:
    return {"label": str(artist.get_label()), "points": points}


def _bars(axes: Any, containers: list[Any]) -> list[dict[str, Any]]:
    found = []
    for container in containers:
        lying = getattr(container, "orientation", "vertical") == "horizontal"
        axis = axes.yaxis if lying else axes.xaxis
        ticks = [float(tick) for tick in axis.get_ticklocs()]
        names = dict(zip(ticks, axis.get_ticklabels(), strict=False))
        for bar in container.patches[:MAX_POINTS]:
            middle = (
                bar.get_y() + bar.get_height() / 2 if lying else bar.get_x() + bar.get_width() / 2
            )
            label = names[middle].get_text() if middle in names else str(round(middle, 6))
            value = bar.get_width() if lying else bar.get_height()
            group = str(container.get_label())
            found.append({"label": label, "group": group, "value": float(value)})
    return found


def _pie(axes: Any, wedges: list[Any]) -> dict[str, Any]:
    elements = [
        {
            "label": str(each.get_label()),
            "angle": float(each.theta2 - each.theta1),
            "radius": each.r,
        }
        for each in wedges
    ]
    return {"type": "pie", "title": axes.get_title() or None, "elements": elements}


def _boxes(axes: Any) -> list[dict[str, Any]]:
    """The boxes of a box plot: its lines come in a fixed order, each box as a closed one first."""
    lines = list(axes.lines)
    found: list[dict[str, Any]] = []
    names = [label.get_text() for label in axes.xaxis.get_ticklabels()]
    while lines:
        box = lines.pop(0).get_ydata().tolist()
        if len(box) != 5 or box[0] != box[4] or len(lines) < 5:
            return []
        low, high = (lines.pop(0).get_ydata().tolist() for _ in range(2))
        del lines[:2]  # the caps
        median = lines.pop(0).get_ydata().tolist()
        outliers = lines.pop(0).get_ydata().tolist() if _is_dots(lines) else []
        if len(low) != 2 or len(high) != 2 or len(median) != 2:
            return []
        index = len(found)
        found.append(
            {
                "label": names[index] if index < len(names) else str(index + 1),
                "min": float(low[1]),
                "first_quartile": float(min(box)),
                "median": float(median[0]),
                "third_quartile": float(max(box)),
                "max": float(high[1]),
                "outliers": [float(value) for value in outliers],
            }
        )
    return found


def _is_dots(lines: list[Any]) -> bool:
    return bool(lines) and lines[0].get_linestyle() in {"None", "none", ""}
