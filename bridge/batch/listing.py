"""What a chain can be made of, for ``--list-stages``: every stage with its settings, their ranges and defaults."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .description import stage_kinds
from .effects import ABOUT, EffectStage
from .plugin import load


def list_stages() -> list[dict[str, Any]]:
    """``{type, about, settings: [{name, type, default, low, high}]}`` of each, ours first."""
    listed = []
    for name, kind in stage_kinds().items():
        own = "" if issubclass(kind, EffectStage) else " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        settings = [described(key, field) for key, field in kind.model_fields.items() if key != "type"]
        listed.append({"type": name, "about": ABOUT.get(name, own), "settings": settings})
    return listed


def described(name: str, field: FieldInfo) -> dict[str, Any]:
    """One setting as plain data; what it has not is left out."""
    data: dict[str, Any] = {"name": field.alias or name, "type": type_name(field.annotation)}
    if field.default is not PydanticUndefined and not isinstance(field.default, tuple | dict):
        data["default"] = str(field.default) if isinstance(field.default, Path) else field.default
    told_inside = [told for choice in get_args(field.annotation) for told in getattr(choice, "__metadata__", ())]
    for limit in (*field.metadata, *(each for told in told_inside for each in getattr(told, "metadata", (told,)))):
        match limit:
            case Ge(ge=low) | Gt(gt=low):
                data["low"] = low
            case Le(le=high) | Lt(lt=high):
                data["high"] = high
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return data | {ours: extra[theirs] for ours, theirs in (("low", "minimum"), ("high", "maximum")) if theirs in extra}


def type_name(annotation: Any) -> str:
    """``number``, ``yes or no``, ``wav | flac`` and the like."""
    simple = {float: "number", int: "whole number", bool: "true or false", str: "text", Path: "path"}
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if annotation in simple:
        return simple[annotation]
    choices = get_args(annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        return " | ".join(choices)
    if get_origin(annotation) is tuple:
        return "list"
    if get_origin(annotation) is dict:
        return "table"
    return " | ".join(type_name(choice) for choice in choices if choice is not type(None)) or "setting"


def list_parameters(path: Path, name: str | None = None) -> list[dict[str, Any]]:
    """The parameters of a plugin, as it tells them. Raises `RequestError`."""
    plugin = load(path, name)
    listed = []
    for key, parameter in plugin.parameters.items():
        data = {"name": key, "default": _plain(getattr(plugin, key)), "low": parameter.min_value}
        data |= {"high": parameter.max_value, "unit": parameter.units}
        if parameter.min_value is None:
            data["choices"] = [_plain(value) for value in parameter.valid_values]
        listed.append({name: value for name, value in data.items() if value is not None})
    return listed


def _plain(value: Any) -> Any:
    """pedalboard's numbers and words are of classes of its own."""
    if isinstance(value, bool) or type(value).__name__ == "WrappedBool":
        return bool(value)
    return float(value) if isinstance(value, float) else str(value)


def rows(settings: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Name, range and default of each, for a table."""
    for setting in settings:
        low, high = setting.get("low"), setting.get("high")
        reach = setting.get("type", "")
        if low is not None or high is not None:
            reach = f"{'' if low is None else f'{low:g}'} … {'' if high is None else f'{high:g}'}"
            reach += " | off" if "off" in setting.get("type", "") else ""
        elif "choices" in setting:
            reach = " | ".join(map(str, setting["choices"][:8]))
        default = setting.get("default")
        shown = "" if default is None else f"{default:g}" if isinstance(default, float) else json.dumps(default)
        yield setting["name"], f"{reach} {setting.get('unit', '')}".strip(), shown
