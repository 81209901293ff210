"""The config: file grammar, merging, checking against signatures, search leaves. Cheap to import: no torch, no YAML."""

from rayseg.config.check import check_config
from rayseg.config.complete import complete_config
from rayseg.config.config import Config
from rayseg.config.imports import config_import_path, import_custom, prepend_import_path
from rayseg.config.load import load_config
from rayseg.config.search import find_search_leaves, is_leaf
from rayseg.config.secrets import redacted, resolve_env
from rayseg.config.sections import SECTIONS, nearest_section
from rayseg.config.settings import settings

__all__ = [
    "SECTIONS",
    "Config",
    "check_config",
    "complete_config",
    "config_import_path",
    "find_search_leaves",
    "import_custom",
    "is_leaf",
    "load_config",
    "nearest_section",
    "prepend_import_path",
    "redacted",
    "resolve_env",
    "settings",
]
