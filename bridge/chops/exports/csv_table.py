"""The chops as a table with a heading: the columns are those of the JSON."""

import csv

from .job import Job
from .json_list import listed


def write(job: Job) -> list[str]:
    rows = listed(job.chops)["chops"]
    with job.path("-chops.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return []
