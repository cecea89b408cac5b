"""What a completion is worth: built-in rewards, the user's own, and the contract of both."""

from relex.rewards.checks import check_golds, check_reward_contract, listed_golds
from relex.rewards.code_tests import WITHOUT_SANDBOX
from relex.rewards.contract import CheckedReward, Reward, is_correct
from relex.rewards.registry import (
    build_reward,
    build_rewards,
    end_rewards,
    graded_by,
    grader_version,
    reward_name,
)
