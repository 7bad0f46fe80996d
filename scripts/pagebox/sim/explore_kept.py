"""explore_kept.py: a cache of objects that `make explore` has compiled, by what they were made from.

When a program is built again, only files that have changed are compiled. The folder can be deleted at any time; the
newest KEPT_MAX objects are kept.
"""
import contextlib
import hashlib
import json
import os
import shutil

from pagebox.common import report

FOLDER = report.REPO / "build" / "explore-objects"
KEPT_MAX = 400


def name_of(*parts):
    """A name from everything that determines the object."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()


def take(name, object_file):
    """Copies the object to object_file. Returns the note that was kept with it, or None if it is not in the cache."""
    try:
        notes = json.loads((FOLDER / f"{name}.json").read_text())
        shutil.copyfile(FOLDER / f"{name}.o", object_file)
        os.utime(FOLDER / f"{name}.o")
        return notes
    except (OSError, ValueError):
        return None


def keep(name, object_file, notes):
    """The cache is optional: a full disk or a folder of another user is no error."""
    with contextlib.suppress(OSError):
        FOLDER.mkdir(parents=True, exist_ok=True)
        put(FOLDER / f"{name}.json", lambda path: path.write_text(json.dumps(notes)))
        put(FOLDER / f"{name}.o", lambda path: shutil.copyfile(object_file, path))
        newest = sorted(FOLDER.glob("*.o"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest[KEPT_MAX:]:
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)


def put(path, write):
    """Writes completely or not at all, since two programs may be built at the same time."""
    new = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
