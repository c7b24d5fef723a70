"""Reads the arguments of the stand-in programs the way their originals do."""


class UsageError(Exception):
    """An option that the real program would refuse, or that the stand-in does not know."""


class Arguments:
    """Options in any order, `--name value`, `--name=value`, `-n value`, `-nvalue` and `-xyz`."""

    def __init__(
        self,
        arguments: list[str],
        values: dict[str, str],
        flags: dict[str, str],
        *,
        stop_at_word: bool = False,
    ) -> None:
        """Read them.

        Args:
            arguments: Without the program's name.
            values: Options that take a value, each with the name to store it under.
            flags: Options that take none, likewise.
            stop_at_word: Whether options end at the first word (subcommands follow).

        Raises:
            UsageError: An unknown option, or one without its value.
        """
        self.words: list[str] = []
        self._found: dict[str, list[str]] = {}
        self._values = values
        self._flags = flags
        todo = list(arguments)
        while todo:
            word = todo.pop(0)
            if word == "--" or (stop_at_word and not word.startswith("-")):
                self.words += todo if word == "--" else [word, *todo]
                return
            if word.startswith("-") and word != "-":
                self._option(word, todo)
            else:
                self.words.append(word)

    def has(self, name: str) -> bool:
        """Return whether an option was given."""
        return name in self._found

    def last(self, name: str) -> str | None:
        """Return the last value of an option."""
        return self._found[name][-1] if name in self._found else None

    def all(self, name: str) -> list[str]:
        """Return all values of an option."""
        return self._found.get(name, [])

    def _option(self, word: str, todo: list[str]) -> None:
        name, equals, value = word.partition("=")
        if word in self._flags:
            self._store(self._flags[word], "")
        elif word.startswith("--") and equals and name in self._values:
            self._store(self._values[name], value)
        elif word in self._values:
            if not todo:
                raise UsageError(f"option requires an argument -- '{word}'")
            self._store(self._values[word], todo.pop(0))
        elif not word.startswith("--") and len(word) > 2:
            self._letters(word, todo)
        else:
            raise UsageError(f"unrecognized option '{word}'")

    def _letters(self, word: str, todo: list[str]) -> None:
        first, rest = word[:2], word[2:]
        if first in self._values:
            self._store(self._values[first], rest)
        elif first in self._flags:
            self._store(self._flags[first], "")
            self._option(f"-{rest}", todo)
        else:
            raise UsageError(f"invalid option -- '{word[1]}'")

    def _store(self, name: str, value: str) -> None:
        self._found.setdefault(name, []).append(value)
