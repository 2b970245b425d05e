"""The run folder: its names, whole-or-nothing writes, the lock, and the seal."""

from tightfit.storage.files import (
    check_digests,
    read_bytes,
    read_digested,
    read_json,
    read_json_lines,
    write_bytes,
    write_digested,
    write_digests,
    write_json,
    write_text,
)
from tightfit.storage.folder import (
    DECIDED,
    START_DIGESTS,
    RunFolder,
    bring_back,
    check_may_add,
    check_may_create,
    clear_unstarted,
    create,
    drop_kept,
    kept_beside,
    next_path,
    refuse_strange,
)
from tightfit.storage.lock import lock_output
from tightfit.storage.seal import (
    FORMAT,
    Manifest,
    SealedFile,
    find_derived,
    make_folder,
    open_run,
    read_derived,
    read_manifest,
    seal,
    write_derived,
)
