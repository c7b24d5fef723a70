"""The certificate authority of the site's registry in registries.yaml.

Ours is `configs."host:port"` with nothing but `tls.ca_file`, naming our file. An entry of others
for the same host gets the line; a `ca_file` of others is a conflict (`fleet.registries_check`).
"""

import re
from typing import cast

from fleet.registries_check import RegistriesPlan
from fleet.yaml_edits import add_first, add_last, append_entry, drop, put
from fleet.yaml_nodes import Plain, entries, find, parse, plain

_OUR_FILE = re.compile(r"/acrfleet-[^/]+-ca\.crt\Z")


def put_ca(text: str, plan: RegistriesPlan) -> str:
    """Return the text with `ca_file` for the site's registry, and without what is outdated."""
    text = _drop_stale(text, plan)
    return _ensure(text, plan.endpoint.host, plan.ca_file) if plan.ca_file else text


def expected_ca(top: dict[str, Plain], plan: RegistriesPlan) -> dict[str, Plain]:
    """Return the file's data as it must be afterwards; the edits are compared with it."""
    before = top.get("configs")
    configs = {} if before is None else dict(cast("dict[str, Plain]", before))
    stale = [name for name, entry in configs.items() if _is_stale(name, entry, plan)]
    for name in stale:
        del configs[name]
    if plan.ca_file:
        config = cast("dict[str, Plain]", configs.get(plan.endpoint.host) or {})
        tls = cast("dict[str, Plain]", config.get("tls") or {})
        configs[plan.endpoint.host] = {**config, "tls": {**tls, "ca_file": plan.ca_file}}
    if not stale and not plan.ca_file:
        return top
    return {**top, "configs": configs or None}


def _is_stale(name: str, entry: Plain, plan: RegistriesPlan) -> bool:
    """Return whether it is ours, but for another address, file, or for no authority at all."""
    tls = entry.get("tls") if isinstance(entry, dict) and set(entry) == {"tls"} else None
    if not isinstance(tls, dict) or set(tls) != {"ca_file"}:
        return False
    path = str(tls["ca_file"])
    right = name == plan.endpoint.host and path == plan.ca_file
    return bool(_OUR_FILE.search(path)) and not right


def _drop_stale(text: str, plan: RegistriesPlan) -> str:
    while True:
        configs = find(parse(text), "configs")
        if configs is None:
            return text
        found = [
            (key, value)
            for name, key, value in entries(configs[1])
            if _is_stale(name, plain(value), plan)
        ]
        if not found:
            return text
        text = drop(text, configs[1], *found[0])


def _ensure(text: str, host: str, path: str) -> str:
    line = f'ca_file: "{path}"'
    root = parse(text)
    configs = find(root, "configs")
    config = find(configs[1], host) if configs else None
    tls = find(config[1], "tls") if config else None
    ca_file = find(tls[1], "ca_file") if tls else None
    block = [f'"{host}":', "  tls:", f"    {line}"]
    member = f'"{host}": {{"tls": {{"ca_file": "{path}"}}}}'
    if configs is None:
        lines = ["configs:", *(f"  {one}" for one in block)]
        return append_entry(text, root, lines, f'"configs": {{{member}}}')
    if config is None:
        return add_last(text, configs, block, member)
    if tls is None:
        return add_first(text, config, ["tls:", f"  {line}"], f'"tls": {{"ca_file": "{path}"}}')
    if ca_file is None:
        return add_first(text, tls, [line], f'"ca_file": "{path}"')
    return text if plain(ca_file[1]) == path else put(text, ca_file[1], f'"{path}"')
