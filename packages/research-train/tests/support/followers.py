"""Wait for the processes that write for a run's trackers, and read what they have written."""

import json
import struct
import time

from research_data.lock import locked
from research_train.record.trackers import follower_lock


def wait_for_follower(folder, name):
    """Until the follower of the last attempt has ended: the run itself waits only for a while."""
    attempts = len(json.loads((folder / "run.json").read_text())["attempts"])
    lock = follower_lock(folder, name)
    wait_until(lambda: lock.exists() and lock.read_text() == str(attempts))
    with locked(lock):
        pass


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wandb_records(file):
    """An offline W&B file: the client's protocol buffers in LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    content, at, records, record = file.read_bytes(), 7, [], b""
    while at + 7 <= len(content):
        if (left_in_block := 32768 - at % 32768) < 7:
            at += left_in_block
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part of one
            records.append(wandb_internal_pb2.Record.FromString(record))
            record = b""
    return records
