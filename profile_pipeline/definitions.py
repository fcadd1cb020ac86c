"""The code location that webserver and daemon load; what is in it is assembled in `orchestration.build`."""

from profile_pipeline.orchestration.build import build_defs

defs = build_defs()
