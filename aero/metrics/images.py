"""
Metrics of the disk images.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow

RESPONSES = CounterRow(
    "aero_image_responses_total",
    "Responses with images by kind: file, partial, not_modified, missing, denied, refused.",
    ("kind",),
)
REFUSALS = CounterRow(
    "aero_image_refusals_total",
    "Requests for images that were refused, by reason: origin, session, method, path, ranges (several at once), whole"
    " (a range is required), part (too long), torn (the image changes), busy.",
    ("reason",),
)
PARTS = CounterRow(
    "aero_image_parts_total",
    "Parts with names of their own that were made from a whole image: plain or zstd.",
    ("form",),
)
TORN = CounterRow(
    "aero_image_torn_total",
    "Responses cut off because the image changed while it was being sent.",
)
DOWNLOADS = GaugeRow(
    "aero_image_downloads",
    "Responses with image bytes that are under way.",
)
COLD_READS = CounterRow(
    "aero_image_cold_reads_total",
    "Blocks of images that were not in memory, and so were read from disk in a thread.",
)
BYTES = CounterRow(
    "aero_image_bytes_total",
    "Bytes of images that were sent.",
)
