"""The folder that data sets are kept in, and the download of a published file into it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "TINYGRAD_FC_DATA"
DIGITS_OF_HASH = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
CHUNK = 2**18  # bytes
PATIENCE = 30.0  # seconds without a byte


def data_folder(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the place where data sets are looked for.

    Parameters
    ----------
    root : path, optional
        The place itself. By default what the environment variable ``TINYGRAD_FC_DATA`` names, and where that is not
        set, ``tinygrad_fc`` in the user's cache folder: ``$XDG_CACHE_HOME`` or ``~/.cache``, on macOS
        ``~/Library/Caches``, on Windows ``%LOCALAPPDATA%``.

    Returns
    -------
    Path
        ``~`` is expanded. Nothing needs to be there yet.
    """
    chosen = root if root is not None else os.environ.get(VARIABLE) or None
    if chosen is not None:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        cache = "~/Library/Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "tinygrad_fc"


def download(url: str, known_hash: str, path: Path, progress: bool = True) -> Path:
    """Download a file whose hash is known, unless it is there already.

    The bytes go to a temporary file beside `path`, which takes its place once all of them are there and have the hash.
    When anything fails, the temporary file is removed, and so are folders that were made for it.

    Parameters
    ----------
    url : str
        Begins with ``http://`` or ``https://``.
    known_hash : str
        Of the file, as ``"sha256:..."`` or ``"md5:..."`` with hexadecimal digits.
    path : Path
        Where the file is to be. Folders above it are made.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    Path
        `path`, where a file with this hash is now.

    Raises
    ------
    ValueError
        When `url` or `known_hash` is malformed, or when other bytes came than those with the hash.
    ImportError
        When pooch is not installed.
    ConnectionError
        When the file could not be fetched whole: no network, no such page, a transfer that broke off.
    OSError
        When the file could not be written; also as ``PermissionError``, ``NotADirectoryError`` and so on.
    """
    by_hand = f"or download {url} by other means and put the file there as {path}"
    if not re.match(r"https?://[^/]", url):
        raise ValueError(f"url must begin with http:// or https:// and a host, got {url!r}")
    algorithm, _, digest = known_hash.partition(":")
    if not re.fullmatch(rf"[0-9a-fA-F]{{{DIGITS_OF_HASH.get(algorithm, -1)}}}", digest):
        raise ValueError(
            f"known_hash must be one of {', '.join(DIGITS_OF_HASH)}, a colon, and that hash's hexadecimal digits, "
            f"got {known_hash!r}"
        )
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            f"downloading needs the package pooch: pip install 'tinygrad_fc[data]', {by_hand}", name="pooch"
        ) from error

    def transport(url: str, partial: str, _: object) -> None:
        _transfer(url, partial, path.name if progress else None)

    with _folders_unmade_on_failure(path.parent):
        try:
            pooch.retrieve(url, known_hash, fname=path.name, path=path.parent, downloader=transport)
        except OSError as error:
            # What the system refuses has a number, or is a PermissionError of pooch's; what failed on the way is not.
            if error.errno is None and not isinstance(error, PermissionError):
                problem = f"could not fetch {url}: {error}. Nothing was kept. Try again, {by_hand}"
                raise ConnectionError(problem) from error
            problem = f"{error.strerror or error}; the folder for {url} must be one to write to: name another"
            raise OSError(error.errno or errno.EACCES, problem, error.filename or str(path.parent)) from error
        except ValueError as error:
            raise ValueError(
                f"what came from {url} is not the published file: {error} Nothing was kept. Try again, {by_hand}"
            ) from error
    return path


def _transfer(url: str, partial: str, title: str | None) -> None:
    """Write what `url` gives to the file `partial`, under a progress bar when there is a title for one.

    pooch has a transport of its own, but when a transfer breaks off, that one leaves socket and progress bar open.
    """
    import requests
    import tqdm

    # The bytes are to arrive as they are: an archive that is decompressed on the way has another hash.
    as_is = {"Accept-Encoding": "identity"}
    with requests.get(url, stream=True, timeout=PATIENCE, headers=as_is) as response, open(partial, "wb") as file:
        response.raise_for_status()
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        with tqdm.tqdm(desc=title, total=total, unit="B", unit_scale=True, disable=title is None) as bar:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


@contextlib.contextmanager
def _folders_unmade_on_failure(folder: Path) -> Iterator[None]:
    """Remove the folders on the way to `folder` that were not there before, when the body raises."""
    missing = []
    while not folder.exists() and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # never made, or not empty since someone else uses it
            for made in missing:
                made.rmdir()
        raise
