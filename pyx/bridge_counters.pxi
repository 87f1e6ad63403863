# The bridge's counters, by their names in `sevpn status`. Included by _bridge.pyx.


cdef dict _statistics(Bridge self):
    return {
        "frames_up": self.up.frames_up,
        "bytes_up": self.up.bytes_up,
        "frames_down": self.parser.frames + self.counters.frames_down,
        "bytes_down": self.parser.frame_bytes + self.counters.bytes_down,
        "tap_reads": self.up.tap_reads,
        "tap_writes": self.down.tap_writes,
        "drops_up": self.up.drops_up,
        "drops_standing": self.up.drops_standing,
        "drops_down": self.down.drops,
        "drops_capture": self.captured.drops,
        "drops_invalid": (
            self.parser.dropped_oversize
            + self.parser.dropped_short
            + self.counters.drops_invalid
        ),
        "merged_frames": self.down.merger.merged_frames,
        "superseded_acks": self.down.merger.superseded_acks,
        "bad_checksums": self.down.merger.bad_checksums,
        "blocked": self.counters.blocked,
        "waits": self.counters.waits,
        "rests": self.counters.rests,
    }
