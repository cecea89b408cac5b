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
