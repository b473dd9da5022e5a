"""`htw model`: build every model of what is loaded, and publish.

Belongs here: options and output of the command. Does not: building and publishing (`pipeline`).
"""

from __future__ import annotations

import json

from orchestration.console import Json, err, out, spoken_errors
from orchestration.settings import load_offline_settings


def model(as_json: Json = False) -> None:
    """Take what other machines sent (HTW_LANDING=take), build and test every model, publish."""
    with spoken_errors():
        from orchestration.modelling import raise_for_failures
        from orchestration.pipeline import Pipeline

        pipeline = Pipeline(load_offline_settings())
        with err.status("building"):
            taken = pipeline.take_sent()
            results = pipeline.build()
        raise_for_failures(results)
        with err.status("publishing"):
            published = pipeline.publish()
        done = {
            "payloads_taken": taken.payload_count, "rows_taken": taken.row_count, "nodes": len(results),
            "published": str(published.path) if published.path else None, "lake_problem": published.lake_problem,
        }  # fmt: skip
        if as_json:
            out.print_json(json.dumps(done))
            return
        if taken.payload_count:
            out.print(f"{taken.payload_count:,} payloads of other machines taken, {taken.row_count:,} raw rows", markup=False)
        path = pipeline.settings.published_file
        out.print(f"{path} is published" if published.path else f"{path} is as it was: nothing came since", soft_wrap=True)
