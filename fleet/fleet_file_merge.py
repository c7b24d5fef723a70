"""Lay a site over the defaults, and remember for each value from where it came."""

from dataclasses import dataclass, field
from typing import Any

from fleet.fleet_file_yaml import Document, Path


@dataclass
class Merged:
    """A site with defaults merged in; `origins` maps its paths to paths in the document."""

    document: Document
    data: Any = None
    origins: dict[Path, Path] = field(default_factory=dict)

    def origin(self, path: Path) -> Path:
        """Return where in the document a value of the site stands, or would stand if it is missing.

        What the site overrides stands at the site, the rest in the defaults.
        """
        for length in range(len(path), -1, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]] + path[length:]
        return path

    def reported(self, path: Path) -> Path:
        """Return under which path to report a value that breaks a rule together with another one.

        That is the site's path as soon as the site overrides anything beside the value.
        """
        return self.origin(path[:-1]) + path[-1:]

    def line(self, path: Path) -> int:
        """Return the line of a value of the site."""
        return self.document.line(self.origin(path))


def merge_site(document: Document, defaults: Any, site: Any, site_path: Path) -> Merged:
    """Return a site laid over the defaults: mappings key by key, everything else replaced."""
    merged = Merged(document)
    merged.data = _merge(defaults, site, ("defaults",), site_path, (), merged.origins)
    return merged


def _merge(
    under: Any, over: Any, under_path: Path, over_path: Path, at: Path, origins: dict[Path, Path]
) -> Any:
    origins[at] = over_path
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    result = {}
    for key in [*over, *(key for key in under if key not in over)]:
        below, above, place = (*under_path, key), (*over_path, key), (*at, key)
        if key not in over:
            origins[place] = below
            result[key] = under[key]
        elif key in under:
            result[key] = _merge(under[key], over[key], below, above, place, origins)
        else:
            origins[place] = above
            result[key] = over[key]
    return result
