"""JSON documents in Prefect's result storage: records, images, history, many of them quickly.

By default that is a folder on this machine; a storage block named in
PREFECT_DEFAULT_RESULT_STORAGE_BLOCK puts them where a team shares them.
"""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prefect.filesystems import LocalFileSystem, WritableFileSystem
from prefect.settings import get_current_settings

from tasks.result_storage import open_result_storage
from tasks.shared_documents import says_missing

_AT_ONCE = 16


def read_documents(keys: Iterable[str]) -> dict[str, str]:
    """Return the documents that are there, as JSON text by key.

    The storage is opened once for all, since finding it asks the Prefect server; a folder is read
    straight (five times as fast as Prefect's reader), anything else from several threads.
    """
    storage = _open_storage()
    wanted = list(keys)
    read = _reader(storage)
    if isinstance(storage, LocalFileSystem) or len(wanted) == 1:
        found = [read(key) for key in wanted]
    else:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="documents") as pool:
            found = list(pool.map(read, wanted))
    return {key: text for key, text in zip(wanted, found, strict=True) if text is not None}


def read_document(key: str) -> str | None:
    """Return one document as JSON text, or None when there is none or it can't be read."""
    return read_documents([key]).get(key)


def _reader(storage: WritableFileSystem) -> Callable[[str], str | None]:
    if isinstance(storage, LocalFileSystem):
        folder = Path(storage.basepath or "").expanduser().resolve()
        return lambda key: _read((folder / key).read_bytes)
    return lambda key: _read(lambda: storage.read_path(key))


def _read(fetch: Callable[[], Any]) -> str | None:
    try:
        return _text_of(fetch())
    except (ValueError, KeyError, OSError):
        return None
    except Exception as error:
        if not says_missing(error):
            raise
        return None


def _text_of(content: bytes) -> str:
    """Return the JSON text that Prefect has wrapped, as every document's task asks it to.

    Raises:
        ValueError, KeyError: It is none of ours.
    """
    outer = json.loads(content)
    if outer["metadata"]["serializer"]["type"] != "json":
        raise ValueError(outer["metadata"]["serializer"]["type"])
    return str(outer["result"])


def _open_storage() -> WritableFileSystem:
    """Return where documents are; without a server to ask, none is started for it."""
    settings = get_current_settings()
    if settings.api.url is None and settings.results.default_storage_block is None:
        return LocalFileSystem(basepath=str(settings.results.local_storage_path))
    return open_result_storage()
