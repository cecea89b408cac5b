"""Where programs of a model run: in bubblewrap's sandbox, of which this room is the client."""

from relex.rewards.sandbox.pool import MOST_RUNS, Ended, Kind, Limits, Sandbox, Worker
