"""Registry: from the names in a config to the classes they mean.

A registry maps names to dotted paths, so that a name can be known without importing what it names. A component's
constructor says which of its arguments are components themselves by annotating them with the registry they come
from, ``net: Annotated[Any, NETS]``; the config checker reads the same annotation. There is no second schema.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from rayseg.core.errors import ConfigError, did_you_mean

SCOPE = "_scope_"
# Packages whose registries MM puts before a name, as in 'mmseg.IoUMetric'. There is one set of names here.
MM_SCOPES = ("mmengine", "mmcv", "mmseg", "mmdet", "mmpretrain", "mmcls")


class UnknownNameError(ConfigError):
    """A ``type`` that no registry entry, library or dotted path answers to."""


def import_dotted(path: str) -> Any:
    """The object at ``package.module.Name``.

    Raises:
        UnknownNameError: the module or the attribute does not exist. An error inside the module itself is raised
            as it is.
    """
    module_name, _, attribute = path.rpartition(".")
    if not module_name:
        raise UnknownNameError(f"{path!r} is not a dotted path")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            if "." in module_name:  # the path may go through a class: package.module.Class.attribute
                owner = import_dotted(module_name)
                if hasattr(owner, attribute):
                    return getattr(owner, attribute)
            raise UnknownNameError(f"no module named {error.name!r} (for {path!r})") from None
        raise
    try:
        return getattr(module, attribute)
    except AttributeError:
        hint = did_you_mean(attribute, vars(module))
        raise UnknownNameError(f"module {module_name!r} has no {attribute!r}{hint}") from None


class Registry:
    """The names of one kind of component.

    Args:
        kind: what the names stand for, for messages ("hook", "loss").
        names: short name to dotted path.
        libraries: prefix to module whose public classes and functions are known too: ``{"": "torch.optim"}`` makes
            ``AdamW`` known, ``{"smp.": "segmentation_models_pytorch"}`` makes ``smp.Unet`` known.
        supplied: constructor arguments that the builder provides, so that a config need not.
        absent: names that people know from elsewhere to why there are none here, and what to use.
    """

    def __init__(
        self,
        kind: str,
        names: Mapping[str, str] | None = None,
        libraries: Mapping[str, str] | None = None,
        supplied: Iterable[str] = (),
        absent: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.absent = dict(absent or {})
        self.supplied = frozenset(supplied)
        self._names: dict[str, str | Callable[..., Any]] = dict(names or {})
        self._libraries = dict(libraries or {})

    def __repr__(self) -> str:
        return f"Registry({self.kind!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name: every registry of rayseg is an attribute of ``rayseg.core.registries``."""
        return _by_kind, (self.kind,)

    def register_module(
        self, name: str | Sequence[str] | Callable[..., Any] | None = None, force: bool = False, module: Any = None
    ) -> Any:
        """Add a class or function under its own name or ``name`` (one or several), as MM's registries do.

        A decorator, with or without brackets: ``@HOOKS.register_module()``; or called: ``register_module(module=X)``.

        Raises:
            KeyError: the name is taken and ``force`` is False.
        """
        if callable(name):
            name, module = None, name
        given = [name] if isinstance(name, str) else list(name or ())

        def register(component: Any) -> Any:
            for key in given or [component.__name__]:
                taken = self._names.get(key)
                if taken is not None and not force and taken is not component:
                    raise KeyError(f"{self.kind} {key!r} is already registered; pass force=True to replace it")
                self._names[key] = component
            return component

        return register if module is None else register(module)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> Callable[..., Any] | None:
        """As ``resolve``, but None for a name that nothing answers to."""
        try:
            return self.resolve(name)
        except UnknownNameError:
            return None

    def known(self) -> list[str]:
        """Every short name, for suggestions; library names included once their library is imported."""
        names = list(self._names)
        for prefix, module_name in self._libraries.items():
            try:
                names += [prefix + name for name in vars(import_module(module_name)) if not name.startswith("_")]
            except ImportError:
                continue
        return names

    def resolve(self, name: str | Callable[..., Any]) -> Callable[..., Any]:
        """The class or function that ``name`` means; a class is returned as it is.

        Raises:
            UnknownNameError: nothing answers to the name; the message holds the nearest one.
        """
        if not isinstance(name, str):
            return name
        scope, dot, short = name.partition(".")
        if dot and scope in MM_SCOPES and "." not in short:
            return self._without_scope(scope, short)
        target = self._names.get(name)
        if target is None and name in self.absent:
            raise UnknownNameError(f"no {self.kind} {name!r}: {self.absent[name]}")
        if target is not None:
            return import_dotted(target) if isinstance(target, str) else target
        for prefix, module_name in self._libraries.items():
            short = name.removeprefix(prefix)
            if name.startswith(prefix) and "." not in short:
                found = getattr(import_module(module_name), short, None)
                if callable(found) and not short.startswith("_"):
                    return found
        is_library_name = any(prefix and name.startswith(prefix) for prefix in self._libraries)
        if "." in name and not is_library_name:
            found = import_dotted(name)
            if not callable(found):
                raise UnknownNameError(f"{name!r} is a {type(found).__name__}, not a class or function")
            return found
        raise UnknownNameError(f"unknown {self.kind} {name!r}{did_you_mean(name, self.known())}")

    def _without_scope(self, scope: str, name: str) -> Callable[..., Any]:
        try:
            return self.resolve(name)
        except UnknownNameError as error:
            raise UnknownNameError(f"{error} ('{scope}.' before a name is MM's scope, which changes nothing)") from None

    def build(self, config: Any, **supplied: Any) -> Any:
        """An instance from ``dict(type=..., **arguments)``; what is already an instance is returned as it is.

        Args:
            config: the dict, or an object that was made by hand (in a notebook).
            supplied: arguments that the caller provides; only those that the constructor takes are passed, and a
                value in ``config`` wins.

        Raises:
            ConfigError: no ``type``, an unknown one, or arguments that the constructor refuses.
        """
        if not isinstance(config, Mapping):
            return config
        arguments = dict(config)
        arguments.pop(SCOPE, None)
        name = arguments.pop("type", None)
        if name is None:
            raise ConfigError(f"a {self.kind} needs a 'type', found {dict(config)!r}")
        component = self.resolve(name)
        parameters = inspect.signature(component).parameters.values()
        accepts_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        names = {p.name for p in parameters}
        for key, value in supplied.items():
            if key in names or (accepts_any and key in self.supplied and not names & {key}):
                arguments.setdefault(key, value)
        try:
            inspect.signature(component).bind(**arguments)
        except TypeError as error:
            raise ConfigError(f"{self.kind} {name}: {error}") from None
        return component(**arguments)


def _by_kind(kind: str) -> Registry:
    from rayseg.core import registries

    return next(r for r in vars(registries).values() if isinstance(r, Registry) and r.kind == kind)
