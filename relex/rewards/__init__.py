"""What a completion is worth: built-in rewards, the user's own, and the contract of both."""

from relex.rewards.contract import CORRECT, CheckedReward, Reward
from relex.rewards.golds import check_golds, listed_golds
from relex.rewards.preflight import check_reward_contract
from relex.rewards.registry import (
    build_reward,
    build_rewards,
    end_rewards,
    reward_name,
)
from relex.rewards.versions import grader_version
from relex.rewards.weighted_sum import weighted_sum

__all__ = [
    "CORRECT",
    "CheckedReward",
    "Reward",
    "build_reward",
    "build_rewards",
    "check_golds",
    "check_reward_contract",
    "end_rewards",
    "grader_version",
    "listed_golds",
    "reward_name",
    "weighted_sum",
]
