"""Components of a config against the constructors they name: no second schema, the signatures are the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rayseg.config.config import DEFAULT
from rayseg.config.describe import describe_error, shown, type_name, with_article
from rayseg.config.markers import ComponentKeys
from rayseg.config.matching import TRAILING_COMMA, Matcher
from rayseg.config.search import Choice
from rayseg.config.signatures import Parameter, parameters_of
from rayseg.config.tree import is_code, join
from rayseg.core.errors import did_you_mean, edit_distance
from rayseg.core.registry import Registry, UnknownNameError

# Kinds whose 'type' is often changed alone, so that an argument of the old type may be left over.
_SWITCHED = ("optimizer wrapper", "optimizer", "loop", "parameter scheduler")


@dataclass
class Checker(Matcher):
    """Checks values against annotations, and components against their classes."""

    def component(self, value: Any, registry: Registry, keys: ComponentKeys, path: str) -> None:
        """Check ``dict(type=..., **arguments)``; a live object is taken as it is."""
        if isinstance(value, Mapping):
            self._component_dict(value, registry, keys, path)
        elif isinstance(value, type):
            expected = f"dict(type={value.__name__}, ...)"
            self.problem(f"expected {expected} or an instance, found the class {value.__name__}", path)
        elif value is None or isinstance(value, str | bytes | bool | int | float | list | tuple | set):
            is_comma = type(value) is tuple and len(value) == 1 and isinstance(value[0], Mapping)
            suggestion = f", such as dict(type={value!r})" if isinstance(value, str) and value.isidentifier() else ""
            message = f"expected dict(type=...) of {with_article(registry.kind)}{suggestion}, found {shown(value)}"
            self.problem(message + (TRAILING_COMMA if is_comma else ""), path)

    def _component_dict(self, value: Mapping[str, Any], registry: Registry, keys: ComponentKeys, path: str) -> None:
        arguments = dict(value)
        for key, annotation in {**keys.annotations, **keys.derived}.items():
            if key in arguments:
                annotation = keys.derived[key](value) if key in keys.derived else annotation
                self.value(arguments.pop(key), annotation, join(path, key))
        for key in keys.required:
            if key not in value:
                self.problem(f"{key!r} is missing", path)
        name = arguments.pop("type", keys.default_type)
        if name is None:
            self.problem(f"{with_article(registry.kind)} needs a 'type', found {shown(value)}", path)
            return
        for choice_of_type in name.options if isinstance(name, Choice) else (name,):
            component = self._resolved(choice_of_type, registry, join(path, "type"))
            if component is not None:
                label = getattr(choice_of_type, "__name__", None) or str(choice_of_type)
                self._arguments(component, label, arguments, path, registry, {*keys.annotations, *keys.derived})

    def named(self, value: Any, registry: Registry, path: str) -> None:
        """Check the name of a component, or a class."""
        if value is not None:
            self._resolved(value, registry, path)

    def _resolved(self, name: Any, registry: Registry, path: str) -> Callable[..., Any] | None:
        if not isinstance(name, str) and not (is_code(name) and callable(name)):
            self.problem(f"expected the name of {with_article(registry.kind)} or a class, found {shown(name)}", path)
            return None
        try:
            return registry.resolve(name)
        except UnknownNameError as error:
            self.problem(str(error), path)
        except (Exception, SystemExit) as error:  # whatever the module that holds the class raises
            self.problem(f"importing {name!r} failed: {describe_error(error)}", path)
        return None

    def arguments(self, component: Any, label: str, arguments: Mapping[str, Any], path: str) -> None:
        """Check keyword arguments against a signature."""
        self._arguments(component, label, arguments, path, None)

    def _arguments(
        self,
        component: Any,
        label: str,
        arguments: Mapping[str, Any],
        path: str,
        registry: Registry | None,
        besides: Iterable[str] = (),
    ) -> None:
        """Check arguments; ``besides`` are keys that the dict of such a component may hold too."""
        try:
            parameters = parameters_of(component)
        except (ValueError, TypeError):  # some classes written in C
            self.notes.append(f"{path}: {label} has no readable signature; its arguments are not checked")
            return
        supplied = registry.supplied if registry else frozenset[str]()
        arguments = {str(key): value for key, value in arguments.items()}
        for key, value in arguments.items():
            if key in parameters.named:
                self._argument(value, parameters.named[key], join(path, key))
            elif parameters.takes_others and not (close := _slip_of(key, parameters.named)):
                self.notes.append(f"{join(path, key)}: only the **kwargs of {label} takes it")
            elif parameters.takes_others:
                message = f"{label} has no {key!r} (found {shown(value, key)}); did you mean {close!r}?"
                self.problem(message, join(path, key))
            else:
                own = [name for name in parameters.named if name not in supplied]
                suffix = self._suggestion(key, own, besides, registry) + self._left_over(key, path, registry)
                subject = f"{label} takes no {key!r}" if registry else "no such key"
                self.problem(f"{subject} (found {shown(value, key)}){suffix}", join(path, key))
        given = {*arguments, *(_slip_of(key, parameters.named) for key in arguments if key not in parameters.named)}
        for name, parameter in parameters.named.items():
            if parameter.required and name not in given and name not in supplied:
                expected = "" if parameter.annotation is Any else f" ({type_name(parameter.annotation)})"
                message = f"{label} needs {name!r}{expected}" if registry else f"{name!r}{expected} is missing"
                self.problem(message, path, self.origin(join(path, "type")))

    def _argument(self, value: Any, parameter: Parameter, path: str) -> None:
        trial = self.tried(value, parameter.annotation, path)
        like_default = not parameter.required and type(value) is type(parameter.default)
        if trial.problems and like_default and self.tried(parameter.default, parameter.annotation, path).problems:
            return  # the default contradicts the annotation, so values of its type do fit
        self.absorb(trial)

    def _suggestion(self, key: str, own: list[str], besides: Iterable[str], registry: Registry | None) -> str:
        """What may be meant by an unknown key: ``own`` are the component's arguments."""
        names = [*own, *besides]
        takers = _takers(registry, key) if registry and registry.kind in _SWITCHED else []
        if takers and not _slip_of(key, names):
            return f"; {', '.join(takers)} {'takes' if len(takers) == 1 else 'take'} it"
        return did_you_mean(key, names) or f"; it takes {', '.join(own) or 'no arguments'}"

    def _left_over(self, key: str, path: str, registry: Registry | None) -> str:
        """The advice for an argument of a base file whose ``type`` another file has changed."""
        set_by, typed_by = (self.origin(join(path, name)) for name in (key, "type"))
        if registry and typed_by not in (set_by, DEFAULT) and set_by == self.origin(path):
            return f" (left over from {set_by}; _delete_=True beside the new 'type' drops it)"
        return ""


def _slip_of(key: str, names: Iterable[str]) -> str | None:
    """The name that ``key`` is at most two letters away from (one, when both are short)."""
    distances = {name: edit_distance(key, name) for name in names}
    close = [name for name, distance in distances.items() if 0 < distance <= min(2, max(len(key), len(name)) // 2)]
    return min(close, key=lambda name: distances[name], default=None)


def _takers(registry: Registry, key: str) -> list[str]:
    """Up to three components of a registry that take an argument called ``key``."""
    found = []
    for name in registry.known():
        try:
            component = registry.resolve(name)
            if isinstance(component, type) and key in parameters_of(component).named:
                found.append(name)
        except Exception:  # one that cannot be imported or read is no suggestion
            continue
    return sorted(found)[:3]
