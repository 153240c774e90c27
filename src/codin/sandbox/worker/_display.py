"""What code shows, in the forms that it has: by the methods that notebooks ask objects for."""

from __future__ import annotations

import math
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MAX_TEXT = 100_000
_MAX_ROWS = 10_000
_METHODS = {
    "html": "_repr_html_",
    "markdown": "_repr_markdown_",
    "svg": "_repr_svg_",
    "png": "_repr_png_",
    "jpeg": "_repr_jpeg_",
    "pdf": "_repr_pdf_",
    "latex": "_repr_latex_",
    "json": "_repr_json_",
    "javascript": "_repr_javascript_",
}
_TYPES = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
}

_sinks: list[Callable[[dict[str, Any]], None]] = []
_figures: set[int] = set()


def begin(sink: Callable[[dict[str, Any]], None]) -> None:
    """From now on what is shown goes to ``sink``."""
    _sinks[:] = [sink]
    _figures.clear()


def display(*values: Any, raw: bool = False, **_: Any) -> None:
    """Show each of ``values``; with ``raw`` they are maps from media types to data."""
    for value in values:
        if raw and isinstance(value, dict):
            _give(_from_types(value), main=False)
        else:
            show(value, main=False)


def show(value: Any, *, main: bool) -> None:
    """Show ``value`` in all its forms; ``main`` says that it is the result of the code."""
    if _is_figure(value):
        if not main and id(value) in _figures:
            return
        _figures.add(id(value))
    _give(forms_of(value), main=main)


def forms_of(value: Any) -> dict[str, Any]:
    """``value`` by the names of its forms: binary ones in base64."""
    forms: dict[str, Any] = {"text": repr(value)[:_MAX_TEXT]}
    if isinstance(value, type):
        return forms
    bundle = _called(value, "_repr_mimebundle_")
    if isinstance(bundle, tuple):
        bundle = bundle[0]
    if isinstance(bundle, dict):
        forms |= _from_types(bundle)
    for name, method in _METHODS.items():
        if name not in forms:
            found = _called(value, method)
            if isinstance(found, tuple):  # with metadata
                found = found[0]
            if found is not None:
                forms[name] = _plain(found)
    if _is_figure(value):
        forms |= _drawn(value)
    elif type(value).__name__ == "DataFrame" and type(value).__module__.startswith("pandas"):
        forms["data"] = _columns(value)
    return forms


def flush_figures() -> None:
    """Show the open figures that have not been shown, and close them."""
    for figure in _open_figures():
        if id(figure) not in _figures:
            show(figure, main=False)
    drop_figures()


def drop_figures() -> None:
    """Close the open figures."""
    if _open_figures():
        sys.modules["matplotlib.pyplot"].close("all")


def _give(forms: dict[str, Any], *, main: bool) -> None:
    for sink in _sinks:
        sink({"type": "result", **forms, "is_main_result": main})


def _open_figures() -> list[Any]:
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None or "matplotlib.pyplot" not in sys.modules:
        return []
    return [manager.canvas.figure for manager in helpers.Gcf.get_all_fig_managers()]


def _is_figure(value: Any) -> bool:
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, module.Figure)


def _drawn(figure: Any) -> dict[str, Any]:
    import io

    from ._charts import chart_of

    image = io.BytesIO()
    figure.savefig(image, format="png", bbox_inches="tight")
    forms = {"png": _plain(image.getvalue())}
    try:
        chart = chart_of(figure)
    except Exception:  # what is drawn is shown all the same
        chart = None
    return forms if chart is None else {**forms, "chart": chart}


def _columns(frame: Any) -> dict[str, Any]:
    """The columns of a table, each a list of plain data."""
    columns = frame.head(_MAX_ROWS).to_dict(orient="list")
    return {str(name): [_cell(value) for value in values] for name, values in columns.items()}


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON has no other numbers
    for name in ("isoformat", "item"):
        method = getattr(value, name, None)
        if callable(method):
            return method()
    return str(value)


def _from_types(bundle: dict[str, Any]) -> dict[str, Any]:
    forms: dict[str, Any] = {}
    for media_type, data in bundle.items():
        name = _TYPES.get(str(media_type))
        if name is not None:
            forms[name] = _plain(data)
        else:
            forms.setdefault("extra", {})[str(media_type)] = _plain(data)
    return forms


def _plain(data: Any) -> Any:
    if isinstance(data, bytes | bytearray):
        import binascii

        return binascii.b2a_base64(data, newline=False).decode()
    return data


def _called(value: Any, name: str) -> Any:
    """What a method for showing gives; what fails in it is said on the standard error."""
    method = getattr(value, name, None)
    if not callable(method):
        return None
    try:
        return method()
    except Exception as error:
        sys.stderr.write(f"{type(value).__name__}.{name}: {type(error).__name__}: {error}\n")
        return None
