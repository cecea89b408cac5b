"""Where programs of a model run: in bubblewrap's sandbox, of which this room is the client."""

from relex.rewards.sandbox.pool import Ended, Kind, Limits, Sandbox, Worker
