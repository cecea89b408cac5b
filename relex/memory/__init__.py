"""The memory plan: what a recipe takes on a machine, before anything starts."""

from relex.memory.check import check_plan
from relex.memory.machine import Machine, planned_machine, this_machine
from relex.memory.model import Model, read_model
from relex.memory.plan import Plan, plan_memory
