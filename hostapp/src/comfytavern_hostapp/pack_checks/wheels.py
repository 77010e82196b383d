"""Reading a wheel without installing it: unpacked into a folder that looks like site-packages."""

from __future__ import annotations

import csv
import io
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from .record_hashes import hash_file

__all__ = ("UnreadableError", "check_record", "unpack")

# What a wheel may hold when it is unpacked: more is a mistake, or meant to fill the disk.
MAX_BYTES = 4 * 2**30
MAX_FILES = 200_000


class UnreadableError(Exception):
    """Something is no wheel, no project and no distribution. Never leaves this package."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


def unpack(wheel: Path, folder: Path) -> Path:
    """Unpack a wheel as an installer would lay it out, scripts and data left out.

    :return: its ``.dist-info``
    :raises UnreadableError: this is no wheel, or one that no installer takes
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = _checked_names(archive)
            info = _metadata_folder(names)
            for name in names:
                _extract(archive, name, folder)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        # RuntimeError: it is encrypted; NotImplementedError: compressed in an unknown way
        reason = error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0]
        raise _unreadable((reason or "it cannot be read").lower()) from error
    _move_record(folder / info)
    return folder / info


def _unreadable(reason: str) -> UnreadableError:
    return UnreadableError(reason, "build it anew: python -m build --wheel")


def _checked_names(archive: zipfile.ZipFile) -> list[str]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_BYTES:
        raise _unreadable(f"it is larger than {MAX_BYTES // 2**30} GiB or {MAX_FILES} files")
    for member in members:
        path = PurePosixPath(member.filename)
        leads_out = path.is_absolute() or ".." in path.parts or "\\" in member.filename
        if leads_out or ":" in path.parts[0] or stat.S_ISLNK(member.external_attr >> 16):
            raise _unreadable(f"its file {member.filename!r} leads out of the wheel")
    return [member.filename for member in members]


def _metadata_folder(names: Iterable[str]) -> str:
    tops = {name.partition("/")[0] for name in names if "/" in name}
    infos = sorted(top for top in tops if top.endswith(".dist-info"))
    if len(infos) != 1:
        raise _unreadable(f"it has {len(infos)} .dist-info folders; expected one")
    missing = [n for n in ("METADATA", "WHEEL", "RECORD") if f"{infos[0]}/{n}" not in set(names)]
    if missing:
        raise _unreadable(f"it has no {infos[0]}/{missing[0]}")
    return infos[0]


def _installed_path(name: str) -> str | None:
    """Return where an installer puts a file below site-packages; None for elsewhere."""
    top, _, rest = name.partition("/")
    if not top.endswith(".data"):
        return name
    scheme, _, path = rest.partition("/")
    return path if scheme in ("purelib", "platlib") and path else None


def _extract(archive: zipfile.ZipFile, name: str, folder: Path) -> None:
    path = _installed_path(name)
    if path is None:
        return
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def _move_record(info: Path) -> None:
    """Name the files in RECORD where they are now, as an installer does."""
    rows = list(_rows((info / "RECORD").read_bytes()))
    if not any(row[0].partition("/")[0].endswith(".data") for row in rows):
        return
    moved = [(_installed_path(row[0]), row) for row in rows]
    with (info / "RECORD").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([path, *row[1:]] for path, row in moved if path is not None)


def _rows(record: bytes) -> Iterator[list[str]]:
    try:
        yield from (row for row in csv.reader(io.StringIO(record.decode())) if row)
    except (UnicodeDecodeError, csv.Error):
        raise _unreadable("its RECORD cannot be read") from None


def check_record(info: Path) -> Iterator[str]:
    """Yield what is wrong with the RECORD of an unpacked wheel, a text per file."""
    folder, own = info.parent, {f"{info.name}/{name}" for name in ("RECORD", "RECORD.jws")}
    rows = _rows((info / "RECORD").read_bytes())
    listed = {row[0]: row[1] if len(row) > 1 else "" for row in rows}
    files = (each for each in folder.rglob("*") if each.is_file())
    # The host's own imports leave bytecode behind; a wheel has none.
    there = {each.relative_to(folder).as_posix() for each in files if each.suffix != ".pyc"}
    for path in sorted(there - set(listed) - own):
        yield f"RECORD does not list {path!r}"
    for path in sorted(set(listed) - there):
        yield f"RECORD lists {path!r}, which is not there"
    for path in sorted(there & set(listed) - own):
        algorithm, _, _ = listed[path].partition("=")
        if not algorithm:
            yield f"RECORD has no hash of {path!r}"
        elif hash_file(folder / path, algorithm) != listed[path]:
            yield f"{path!r} does not have the hash that RECORD has for it"
