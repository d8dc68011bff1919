"""Grafana's JSON, as far as our dashboards need it: panels, their queries, and how they stand side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # of Grafana's grid
GREEN, YELLOW, RED = "green", "#EAB839", "red"


def query(expr: str, legend: str, *, instant: bool = False, shape: str = "time_series") -> Json:
    """One query of a panel; a legend names labels as ``{{stream}}``. Shapes: "time_series", "heatmap", "table"."""
    return {
        "datasource": SOURCE, "editorMode": "code", "expr": expr, "legendFormat": legend,
        "format": shape, "instant": instant, "range": not instant,
    }  # fmt: skip


def panel(kind: str, title: str, description: str, queries: Sequence[Json], *, unit: str, width: int, height: int, **more: Any) -> Json:
    """A panel of any kind; `more` are options, custom (how it is drawn), defaults, overrides, transformations, repeat."""
    defaults = {"unit": unit, "color": {"mode": "palette-classic"}, "custom": more.get("custom", {}), **more.get("defaults", {})}
    made: Json = {
        "type": kind, "title": title, "description": description, "datasource": SOURCE,
        "targets": [{"refId": chr(ord("A") + place), **each} for place, each in enumerate(queries)],
        "fieldConfig": {"defaults": defaults, "overrides": more.get("overrides", [])},
        "options": more.get("options", {}), "transformations": more.get("transformations", []),
        "gridPos": {"w": width, "h": height, "x": 0, "y": 0},
    }  # fmt: skip
    if "repeat" in more:
        made |= {"repeat": more["repeat"], "repeatDirection": "h", "maxPerRow": 3}
    return made


def series(title: str, description: str, *queries: Json, unit: str, width: int = 8, log: bool = False, **more: Any) -> Json:
    """Lines over time."""
    scale = {"type": "log", "log": 10} if log else {"type": "linear"}
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": True, "scaleDistribution": scale}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }  # fmt: skip
    drawn = {**custom, **more.pop("custom", {})}
    return panel("timeseries", title, description, queries, unit=unit, width=width, height=8, custom=drawn, options=options, **more)


def stat(title: str, description: str, expr: str, *, unit: str, steps: Sequence[tuple[str, float | None]], **defaults: Any) -> Json:
    """One number now, coloured by where it stands among `steps` (colour, from where on)."""
    shown = {
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": [{"color": colour, "value": value} for colour, value in steps]},
        **defaults,
    }
    options = {
        "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }  # fmt: skip
    return panel(
        "stat", title, description, [query(expr, title, instant=True)], unit=unit, width=4, height=4, defaults=shown, options=options
    )


def heatmap(title: str, description: str, expr: str, *, unit: str, width: int = 8) -> Json:
    """A histogram over time, from buckets."""
    options = {
        "calculate": False, "cellGap": 1, "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64}, "legend": {"show": True},
        "rowsFrame": {"layout": "auto"}, "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "unit": unit},
    }  # fmt: skip
    return panel("heatmap", title, description, [query(expr, "{{le}}", shape="heatmap")], unit=unit, width=width, height=8, options=options)


def bars(title: str, description: str, by: str, *queries: tuple[str, str], unit: str, width: int = 8) -> Json:
    """Bars side by side for each value of a label, now: one query (expression, name) a colour."""
    names = {f"Value #{chr(ord('A') + place)}": name for place, (_, name) in enumerate(queries)}
    tidy = [
        {"id": "joinByField", "options": {"byField": by, "mode": "outer"}},
        {
            "id": "organize",
            "options": {"excludeByName": {time: True for time in ("Time", "Time 1", "Time 2")}, "indexByName": {}, "renameByName": names},
        },
    ]
    options = {
        "barWidth": 0.8, "groupWidth": 0.8, "orientation": "vertical", "xField": by, "showValue": "never", "stacking": "none",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "none"},
    }  # fmt: skip
    asked = [query(expr, name, instant=True, shape="table") for expr, name in queries]
    return panel("barchart", title, description, asked, unit=unit, width=width, height=8, options=options, transformations=tidy)


def line_at(value: float) -> Json:
    """A dashed line: what is beyond it alerts, or breaks a promise."""
    steps = [{"color": "transparent", "value": None}, {"color": RED, "value": value}]
    return {"defaults": {"thresholds": {"mode": "absolute", "steps": steps}}, "custom": {"thresholdsStyle": {"mode": "dashed"}}}


def variable(name: str, label: str, metric_and_label: str, *, many: bool) -> Json:
    """A choice above the panels, of the values of a label: ``metric, label``."""
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1, "multi": many, "includeAll": many,
        "allValue": ".*" if many else None, "query": {"query": f"label_values({metric_and_label})", "refId": name},
        "definition": f"label_values({metric_and_label})", "current": {"text": "All", "value": "$__all"} if many else {}, "hide": 0,
        "options": [], "regex": "",
    }  # fmt: skip


def dashboard(name: str, title: str, description: str, panels: Sequence[Json], variables: Sequence[Json] = ()) -> Json:
    """A dashboard of these panels, from left to right and from top to bottom."""
    x = y = lowest = 0
    placed = []
    for number, each in enumerate(panels, 1):
        width, height = each["gridPos"]["w"], each["gridPos"]["h"]
        if x + width > WIDTH:
            x, y = 0, lowest
        placed.append({"id": number, **each, "gridPos": {"w": width, "h": height, "x": x, "y": y}})
        x, lowest = x + width, max(lowest, y + height)
    source = {
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "hide": 0,
        "current": {}, "options": [], "regex": "", "multi": False, "includeAll": False,
    }  # fmt: skip
    link = {
        "title": "Nilometer", "type": "dashboards", "tags": ["nilometer"], "asDropdown": True, "includeVars": True, "keepTime": True,
        "icon": "external link", "targetBlank": False, "tooltip": "", "url": "",
    }  # fmt: skip
    return {
        "uid": f"nilometer-{name}", "title": f"Nilometer / {title}", "description": description, "tags": ["nilometer"],
        "schemaVersion": 39, "version": 1, "editable": True, "graphTooltip": 1, "timezone": "browser", "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"}, "timepicker": {}, "fiscalYearStartMonth": 0, "links": [link],
        "annotations": {"list": [_firing()]}, "templating": {"list": [source, *variables]}, "panels": placed,
    }  # fmt: skip


def _firing() -> Json:
    """Alerts about the product itself, as marks on every panel."""
    return {
        "name": "Firing", "enable": True, "hide": False, "iconColor": RED, "datasource": SOURCE, "titleFormat": "{{alertname}}",
        "expr": 'ALERTS{alertname=~"Nilometer.*", alertstate="firing", severity!="info"}', "step": "60s", "textFormat": "{{instance}}",
    }  # fmt: skip
