"""Flags and kept parts as tables with a heading: the columns are those of the JSON."""

import csv

from .job import Job
from .json_list import FLAG_FIELDS, PART_FIELDS, listed


def write(job: Job) -> list[str]:
    data = listed(job.flags)
    for ending, fields, rows in (
        ("-flags.csv", FLAG_FIELDS, data["items"]),
        ("-keep.csv", PART_FIELDS, data["keep"]),
    ):
        with job.path(ending).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, fields)
            table.writeheader()
            table.writerows(rows)
    return []
