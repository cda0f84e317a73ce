"""What an environment variable is: a name, a type, a default, and a sentence about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class EnvError(Exception):
    """An environment variable is missing or malformed."""


@dataclass(frozen=True)
class Variable(Generic[T]):
    name: str
    parse: Callable[[str], T]
    example: str
    help: str
    default: str | None = None  # None: it must be set
    secret: bool = False

    def read(self, environ: Mapping[str, str] = os.environ) -> T:
        raw = environ.get(self.name, "").strip() or self.default
        if raw is None:
            raise EnvError(f"{self.name} is not set. {self.help} Example: {self.name}={self.example}")
        try:
            return self.parse(raw)
        except ValueError as error:
            shown = "its value" if self.secret else repr(raw)
            raise EnvError(
                f"{self.name}: {shown} {error}. {self.help} Example: {self.name}={self.example}"
            ) from None
