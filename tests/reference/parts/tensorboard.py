"""A training curve as TensorBoard's own writer writes one, with its own protobuf messages."""

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from .files import FIXTURES

WALL_TIME = 1_700_000_000.5
# Step, learning rate, loss.
CURVE = [(1, 0.05, 0.75), (2, 0.025, 0.5), (300, 1e-3, 0.125)]


def main():
    path = FIXTURES / "tensorboard" / "curve.tfevents"
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=WALL_TIME, file_version="brain.Event:2").SerializeToString())
        for step, lr, loss in CURVE:
            event = Event(wall_time=WALL_TIME, step=step)
            event.summary.value.add(tag="loss", simple_value=loss)
            event.summary.value.add(tag="learning_rate", simple_value=lr)
            writer.write(event.SerializeToString())
        writer.flush()
    print(path)
