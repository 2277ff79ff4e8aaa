#!/usr/bin/env python3
"""Developer check: TensorBoard itself reads what a run wrote. Needs the `tensorboard` package.

usage: check_tensorboard.py RUN/tensorboard    prints every tag with its number of points, first and last step and value
       check_tensorboard.py                    prints the golden bytes of tests/training/tensorboard_test.cpp
"""
import io
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

if len(sys.argv) > 1:
    events = EventAccumulator(sys.argv[1])
    events.Reload()
    tags = events.Tags()["scalars"]
    for tag in tags:
        points = events.Scalars(tag)
        print(f"{tag}: {len(points)} points, step {points[0].step} {points[0].value:g} … step {points[-1].step} {points[-1].value:g}")
    sys.exit(0 if tags else "no scalars found")

values = [Summary.Value(tag="train/loss", simple_value=2.5), Summary.Value(tag="rate", simple_value=0.001)]
out = io.BytesIO()
RecordWriter(out).write(Event(wall_time=1700000000.25, step=300, summary=Summary(value=values)).SerializeToString())
print(out.getvalue().hex())
