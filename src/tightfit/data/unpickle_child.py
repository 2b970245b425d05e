"""The child process that reads one pickle: standard input to an Arrow stream on standard output.

Started by `unpickle.read_pickle`, which see for the limits; never imported by it.
"""

from __future__ import annotations

import errno
import json
import math
import sys
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from tightfit.data.unpickle_frames import frame_table
from tightfit.data.unpickle_records import Recorder, is_record
from tightfit.data.unpickle_tables import dataset_table
from tightfit.errors import DataError

