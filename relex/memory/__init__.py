"""The memory plan: what a recipe takes on a machine, before anything starts."""

from relex.machine import planned_machine, this_machine
from relex.memory.check import check_memory, check_plan
from relex.memory.disk import disk_phase, window_bytes
from relex.memory.model import Model, read_model
from relex.memory.plan import plan_memory
from relex.memory.prompts import longest_prompt
from relex.memory.window_size import WindowForecast
