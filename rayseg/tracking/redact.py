"""Hiding secrets in what is written for people: passwords in URIs, tokens, the values of secret variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from rayseg.config.secrets import HIDDEN, is_secret_key, redacted

MIN_LENGTH = 8  # a shorter value of a secret variable stands in too many words to be replaced
_TOKENS = re.compile(
    r"""\b(?:
        hf_[A-Za-z0-9]{20,}                     # Hugging Face
      | gh[oprsu]_[A-Za-z0-9]{20,}              # GitHub
      | github_pat_\w{20,}
      | glpat-[\w-]{16,}                        # GitLab
      | (?:sk|pk|rk)-[\w-]{20,}                 # OpenAI and alike
      | wandb_v1_\w{20,}                        # Weights & Biases
      | xox[abeprs]-[\w-]{10,}                  # Slack
      | (?:AKIA|ASIA)[A-Z0-9]{16}               # AWS
      | AIza[\w-]{30,}                          # Google
      | ya29\.[\w.-]{20,}
      | dapi[0-9a-f]{32}                        # Databricks
      | eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*         # JSON web token
    )""",
    re.VERBOSE,
)
_BEARER = re.compile(r"\b((?:Bearer|Basic)\s+)[\w.~+/=-]{8,}")
_NAMED = re.compile(
    r"""(\b[\w.-]*?(?:api_?key|access_key|secret|secret_key|token|password|passwd|credentials?)["']?\s*)
        (?:(=\s*|:\s*(?=["']))(?!["']?\$\{env:)(?:"[^"]*"|'[^']*'|[^\s,;&)}\]]+)
          |(:\s*)(?=[\w+/.-]*\d)[\w+/.-]{8,})      # a colon stands in prose too: what follows must look like a secret
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Redactor:
    """Replaces secrets in text by ``***``.

    Hidden are passwords in URIs, what follows ``token=``, ``password:`` and the like, strings with the form of a known
    service's token, and the values of environment variables whose name says that they are secret (``WANDB_API_KEY``).
    References such as ``${env:NAME}`` are no secrets.

    Args:
        environ: the environment to take secret values from; the process's when None.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        values = {value for name, value in environ.items() if is_secret_key(name) and len(value) >= MIN_LENGTH}
        alternatives = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
        self._values = re.compile(alternatives) if values else None

    def __call__(self, text: str) -> str:
        """``text`` without its secrets."""
        if self._values is not None:
            text = self._values.sub(HIDDEN, text)
        text = redacted(text)
        text = _TOKENS.sub(HIDDEN, text)
        text = _BEARER.sub(rf"\g<1>{HIDDEN}", text)
        return _NAMED.sub(lambda match: f"{match[1]}{match[2] or match[3]}{HIDDEN}", text)

    def tree(self, value: Any) -> Any:
        """A copy of nested dicts and lists with every string redacted; the value of a secret key is hidden whole."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {
                key: HIDDEN if isinstance(item, str) and item and is_secret_key(str(key)) else self.tree(item)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.tree(item) for item in value]
        return value
