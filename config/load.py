"""Where settings come from: the defaults ← a file ← the environment ← a command's options; and every mistake by its name, at once."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
import types
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from config.settings import Section, Sensors, Settings, Wanted

PREFIX = "NILOMETER_"
Values = dict[str, dict[str, tuple[Any, str]]]  # section → key → (value, where it comes from)


class ConfigError(ValueError):
    """The configuration is wrong; `mistakes` has a line for each."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


def load(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    classes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Return the settings in force.

    Parameters
    ----------
    path
        A TOML file that names what differs from the defaults.
    environment
        ``NILOMETER_SECTION__KEY`` → text; the process's own if not given.
    overrides
        ``"section.key"`` → value, from a command's options; None is an option that was not used.
    classes
        Name → key → value of ``[sensors.class.NAME]``, where no file says it.

    Raises
    ------
    ConfigError
        With every mistake by name.
    """
    mistakes: list[str] = []
    values: Values = {section: {} for section in _sections()}
    own: Any = classes or {}
    _merge(values, tomllib.loads(_default_text()), "default.toml", mistakes)
    if path is not None:
        table = _file(path, mistakes)
        if isinstance(table.get("sensors"), dict):
            own = table["sensors"].pop("class", own)
        _merge(values, table, "", mistakes)
    _merge_environment(values, os.environ if environment is None else environment, mistakes)
    for name, value in (overrides or {}).items():
        if value is not None:
            section, _, key = name.partition(".")
            _put(values, section, key, value, "", mistakes)
    sections: dict[str, Any] = {section: _section(section, kind, values[section], mistakes) for section, kind in _sections().items()}
    of_classes = _classes(own, values["sensors"], mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    sections["sensors"] = msgspec.structs.replace(sections["sensors"], classes=tuple(sorted(of_classes.items())))
    return Settings(**sections)


@cache
def defaults() -> Settings:
    """The settings of `default.toml`, whatever file or environment there is."""
    return load(environment={})


def in_toml(settings: Settings) -> str:
    """The settings as a file that would give them, with the default beside each that differs from it."""
    lines: list[str] = []
    for section in _sections():
        lines += [f"[{section}]"]
        for key in _fields(section):
            value, default = getattr(getattr(settings, section), key), getattr(getattr(defaults(), section), key)
            note = "" if value == default else f"  # default: {_toml(default)}"
            if _secret(section, key) and value:
                lines.append(f"# {key} is set, and not shown")
                continue
            lines.append(f"# {key} is not set{note}" if value is None else f"{key} = {_toml(value)}{note}")
        lines.append("")
    for name, table in class_tables(settings).items():
        lines += [f"[sensors.class.{_toml(name)}]", *(f"{key} = {_toml(value)}" for key, value in table.items()), ""]
    return "\n".join(lines)


def class_tables(settings: Settings) -> dict[str, dict[str, Any]]:
    """What each class of sensors has of its own: name → key → value."""
    common = settings.sensors
    return {
        name: {key: getattr(own, key) for key in Sensors.OF_A_CLASS if getattr(own, key) != getattr(common, key)}
        for name, own in settings.sensors.classes
    }


def secrets(settings: Settings) -> list[str]:
    """The values that must never be shown, longest first."""
    hidden = {
        getattr(getattr(settings, section), key) for section in _sections() for key in _fields(section) if _secret(section, key)
    }  # fmt: skip
    return sorted(filter(None, hidden), key=len, reverse=True)


def changed(settings: Settings) -> list[str]:
    """``section.key = value`` of whatever differs from the defaults."""
    return [
        f"{section}.{key} = {'(not shown)' if _secret(section, key) else _toml(getattr(getattr(settings, section), key))}"
        for section in _sections()
        for key in _fields(section)
        if getattr(getattr(settings, section), key) != getattr(getattr(defaults(), section), key)
    ] + [f"sensors.class.{name}.{key} = {_toml(value)}" for name, table in class_tables(settings).items() for key, value in table.items()]


@cache
def _default_text() -> str:
    return (Path(__file__).parent / "default.toml").read_text(encoding="utf-8")


@cache
def _sections() -> Mapping[str, type[Section]]:
    return get_type_hints(Settings)


@cache
def _fields(section: str) -> Mapping[str, tuple[Any, Wanted]]:
    """Key → (type, what is wanted) of a section."""
    found: dict[str, tuple[Any, Wanted]] = {}
    for key, hint in get_type_hints(_sections()[section], include_extras=True).items():
        if get_origin(hint) is Annotated:
            kind, wanted = get_args(hint)
            found[key] = (kind, wanted)
    return found


def _secret(section: str, key: str) -> bool:
    return _fields(section)[key][1].secret


def _file(path: Path, mistakes: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        mistakes.append(f"{path}: cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        mistakes.append(f"{path}: is not UTF-8")
    except tomllib.TOMLDecodeError as error:
        mistakes.append(f"{path}: is not TOML: {error}")
    return {}


def _merge(values: Values, table: Mapping[str, Any], source: str, mistakes: list[str]) -> None:
    for section, keys in table.items():
        if not isinstance(keys, dict):
            mistakes.append(f"{section} = {_shown(keys)}: stands outside a section; wanted [section] above it{_perhaps_key(section)}")
            continue
        if section not in values:
            mistakes.append(f"[{section}]: no such section{_perhaps(section, _sections())}")
            continue
        for key, value in keys.items():
            _put(values, section, key, value, source, mistakes)


def _merge_environment(values: Values, environment: Mapping[str, str], mistakes: list[str]) -> None:
    flat = {f"{section}_{key}": f"{section}__{key}" for section in _sections() for key in _fields(section)}
    for name in sorted(environment):
        rest = name.removeprefix(PREFIX)
        if rest == name:
            continue
        section, double, key = rest.lower().partition("__")
        source = f" (from {name})"
        if not double:
            if rest.lower() in flat:
                mistakes.append(f"{name}: is not read; did you mean {PREFIX}{flat[rest.lower()].upper()}?")
            continue  # ours, but no setting: where the tests' data is, for one
        if section not in values:
            mistakes.append(f"[{section}]: no such section{_perhaps(section, _sections())}{source}")
            continue
        text = environment[name]
        if key.endswith("_file") and key not in _fields(section) and (named := key.removesuffix("_file")) in _fields(section):
            if not _secret(section, named):
                mistakes.append(f"{section}.{key}: no such key; a file may only hold a secret{source}")
                continue
            key, text = named, _of_file(text, name, mistakes)
        kind = _fields(section)[key][0] if key in _fields(section) else str
        _put(values, section, key, _from_text(text, kind), source, mistakes)


def _of_file(path: str, name: str, mistakes: list[str]) -> str:
    """A secret that stands in a file, without the end of its line."""
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        mistakes.append(f"{path}: cannot be read ({error.strerror}) (from {name})")
    except UnicodeDecodeError:
        mistakes.append(f"{path}: is not UTF-8 (from {name})")
    return ""


def _put(values: Values, section: str, key: str, value: Any, source: str, mistakes: list[str]) -> None:
    if section not in values:
        mistakes.append(f"[{section}]: no such section{_perhaps(section, _sections())}")
    elif key not in _fields(section):
        mistakes.append(f"{section}.{key}: no such key{_perhaps(key, _fields(section))}{source}")
    else:
        values[section][key] = (value, source)


def _section(section: str, kind: type[Section], values: Mapping[str, tuple[Any, str]], mistakes: list[str]) -> Section | None:
    converted: dict[str, Any] = {}
    sound = True
    for key, (value, source) in values.items():
        wanted_kind, wanted = _fields(section)[key]
        try:
            converted[key] = _converted(value, wanted_kind)
            if converted[key] is not None and not wanted.holds(converted[key]):
                raise ValueError
        except (ValueError, TypeError, OverflowError):
            sound = False
            shown = "(not shown)" if wanted.secret else _shown(value)
            mistakes.append(f"{section}.{key} = {shown}: wanted {wanted.words}{'' if source == 'default.toml' else source}")
    if not sound:
        return None
    made = kind(**converted)
    mistakes += [f"{section}.{mistake}" for mistake in made.disagreements()]
    return made


def _classes(tables: Any, common: Mapping[str, tuple[Any, str]], mistakes: list[str]) -> dict[str, Any]:
    """What ``[sensors.class.NAME]`` says: for each class the whole section, with what differs for it."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        mistakes.append("sensors.class: wanted tables [sensors.class.NAME]")
        return {}
    own: dict[str, Any] = {}
    for name, table in tables.items():
        unknown = [key for key in table if key not in Sensors.OF_A_CLASS]
        mistakes += [f"sensors.class.{name}.{key}: no such key{_perhaps(key, Sensors.OF_A_CLASS)}" for key in unknown]
        found: list[str] = []
        given = {key: (value, "") for key, value in table.items() if key in Sensors.OF_A_CLASS}
        common_sound = _section("sensors", Sensors, common, []) is not None
        own[name] = _section("sensors", Sensors, {**common, **given}, found) if common_sound else None
        mistakes += [mistake.replace("sensors.", f"sensors.class.{name}.", 1) for mistake in found]
    return own


def _converted(value: Any, kind: Any) -> Any:
    """The value as its type; raises TypeError or ValueError. Nothing is guessed but a whole number for a float."""
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [part for part in get_args(kind) if part is not type(None)]
        kind = next((part for part in kinds if type(value) is part), kinds[0])
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError
        return tuple(_converted(part, get_args(kind)[0]) for part in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is datetime:
        value = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise TypeError
        return value.astimezone(UTC)
    if type(value) is not kind:
        raise TypeError
    return value


def _from_text(text: str, kind: Any) -> Any:
    """What a text of the environment stands for: itself where text is wanted, JSON elsewhere; itself again where that fails."""
    if kind is str or kind is datetime:
        return text
    try:
        return json.loads(text.lower() if kind is bool else text)
    except ValueError:
        return text


def _perhaps(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else "; there are " + ", ".join(known)


def _perhaps_key(key: str) -> str:
    homes = [section for section in _sections() if key in _fields(section)]
    return f" (perhaps [{homes[0]}])" if homes else ""


def _shown(value: Any) -> str:
    text = _toml(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + "}"
    return "nothing" if value is None else repr(value)


def replaced(settings: Settings, **sections: Mapping[str, Any]) -> Settings:
    """Settings with some keys changed, checked like any others: ``replaced(settings, sensors={"length": 50})``.

    Raises
    ------
    ConfigError
        As `load`.
    """
    overrides = {f"{section}.{key}": getattr(getattr(settings, section), key) for section in _sections() for key in _fields(section)}
    overrides |= {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}
    return load(environment={}, overrides=overrides, classes=class_tables(settings))


def as_dict(settings: Settings) -> dict[str, Any]:
    """The settings as plain values, for a digest or a report."""
    plain: dict[str, Any] = msgspec.to_builtins(settings)
    return plain
