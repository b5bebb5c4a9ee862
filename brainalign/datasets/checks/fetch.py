"""Download the files of a dataset that its descriptor says where to find."""

import os
from dataclasses import dataclass
from pathlib import Path

from brainalign.checks import BrainalignError, did_you_mean
from brainalign.io import file_digest, temporary_folder
from brainalign.study import Study, cache_folder

ENCRYPTED = ("https", "sftp")  # nobody between here and there can change what comes


@dataclass(frozen=True)
class Fetched:
    """One file of a dataset.

    Attributes
    ----------
    name : str
        As the descriptor calls it.
    path : Path
        Where it lies.
    downloaded : bool
        False: it was there already.
    sha256 : str
        Of its bytes.
    verified : bool
        Whether the descriptor has a checksum, which it has then.
    """

    name: str
    path: Path
    downloaded: bool
    sha256: str
    verified: bool


def fetch_files(descriptor: Study, folder: Path | None = None) -> list[Fetched]:
    """Download what is not there yet; files with the right checksum are left as they are.

    They go to a folder named after the dataset, in the `folder` given or in the user's cache.

    Raises
    ------
    BrainalignError
        If the descriptor names no address, a checksum is for a file without one, an address without encryption has no
        checksum, a download fails, or what came, or what lay there, is another file than the checksum says.
    """
    if not descriptor.urls:
        where = descriptor.source or "whoever published them"
        raise BrainalignError(f"{descriptor.name}: the descriptor has no `urls`; get the data from {where}")
    place = (cache_folder() if folder is None else folder) / descriptor.name
    for name, url in descriptor.urls.items():
        if descriptor.sha256 and name not in descriptor.sha256:
            near = did_you_mean(name, descriptor.sha256)
            raise BrainalignError(f"{descriptor.name}: `sha256` has no checksum of {name}{near}; it has others: add it")
        if name not in descriptor.sha256 and url.partition(":")[0].lower() not in ENCRYPTED:
            raise BrainalignError(
                f"{descriptor.name}: urls: {name} comes from {url}, where anybody on the way can put another file in "
                "its place; give its checksum in `sha256`, or an address with https"
            )
        if not (place / name).resolve().is_relative_to(place.resolve()):
            raise BrainalignError(f"{descriptor.name}: urls: {name} would lie outside {place}; give a path within")
    return [_fetch(descriptor, name, url, place) for name, url in descriptor.urls.items()]


def _fetch(descriptor: Study, name: str, url: str, place: Path) -> Fetched:
    import pooch

    expected, target = descriptor.sha256.get(name), place / name
    try:
        there = descriptor.locate(Path(name), "urls")
    except BrainalignError:
        there = target
    if there.exists():
        digest = file_digest(there)
        if expected not in (None, digest):
            remedy = "delete it to download it again"
            raise BrainalignError(f"{there}: has sha256 {digest}, but {descriptor.name} expects {expected}; {remedy}")
        return Fetched(name, there, False, digest, expected is not None)
    pooch.get_logger().setLevel("WARNING")  # the caller says what was fetched
    known = None if expected is None else f"sha256:{expected}"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary_folder(target) as folder:  # pooch names what it has not finished as it likes
            os.replace(pooch.retrieve(url, known, fname=target.name, path=folder), target)
    except (OSError, ValueError) as error:  # of requests all are OSErrors; a wrong checksum is a ValueError
        raise BrainalignError(f"{descriptor.name}: cannot fetch {name} from {url}: {error}") from error
    with target.open("rb") as file:
        is_page = file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))
    if expected is None and target.suffix != ".html" and is_page:
        target.unlink()
        remedy = f"download the file there by hand to {target}"
        raise BrainalignError(f"{descriptor.name}: {url} leads to a web page, not to {name}; {remedy}")
    return Fetched(name, target, True, file_digest(target), expected is not None)
