"""From a recipe to TRL's GRPO trainer. The only importer of trl."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from relex.config.recipe import Recipe
from relex.device import resolve_device
from relex.problems import Problem, render_prompt
from relex.rewards import CORRECT, CheckedReward
from relex.training.events import TrainingWarning, send
from relex.training.job import TrainingJob
from relex.training.judge import computed_terms, grader_column
from relex.training.lora import adapter_state, peft_config, quantization, train_in_float32
from relex.training.rollouts import rollout_engine
from relex.training.schedule import question_order

RewardFunction = Callable[..., list[float]]


def build_arguments(job: TrainingJob) -> GRPOConfig:
    """TRL's arguments; on several GPUs this also joins the processes.

    One optimizer step is one generation batch of prompts_per_step x completions_per_prompt
    completions, used once. The loss averages over all tokens of the batch (DAPO,
    arXiv 2503.14476), with GRPO's advantages (arXiv 2402.03300).

    With vLLM rollouts the seed decides the order of the questions but not the sampling: TRL seeds
    vLLM with the number of the process.
    """
    recipe, config = job.recipe, job.recipe.training
    on_gpu = resolve_device(recipe.device) == "cuda"
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))  # set by the launcher
    completions_per_step = config.prompts_per_step * config.completions_per_prompt
    completions_per_pass = config.completions_per_device_batch * num_processes
    return GRPOConfig(
        output_dir=str(job.checkpoints),
        seed=recipe.seed,
        data_seed=recipe.seed,
        max_steps=config.steps,
        optim="adamw_torch",
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        per_device_train_batch_size=config.completions_per_device_batch,
        gradient_accumulation_steps=completions_per_step // completions_per_pass,
        num_generations=config.completions_per_prompt,
        num_iterations=1,
        max_completion_length=config.max_completion_tokens,
        temperature=config.temperature,
        beta=config.kl_beta,
        loss_type="dapo",
        scale_rewards=config.scale_rewards,
        reward_weights=[term.weight for term in computed_terms(recipe)],
        use_vllm=rollout_engine(recipe) == "vllm",
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=config.rollouts.memory_fraction,
        trust_remote_code=recipe.base.trust_remote_code,
        use_cpu=not on_gpu,
        bf16=on_gpu,
        gradient_checkpointing=config.gradient_checkpointing,
        dataloader_pin_memory=on_gpu,
        ddp_find_unused_parameters=False,
        shuffle_dataset=False,
        logging_steps=1,
        # A loss that is not finite must be seen, not replaced by the mean of those before it.
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def load_policy(job: TrainingJob) -> Any:
    """The base as a causal language model.

    Its weights are in the master dtype; where adapters are trained in their place, in the base's
    own, or in float32 on the CPU, which is slow in others.
    """
    recipe, lora = job.recipe, job.recipe.training.lora
    frozen_on_gpu = lora is not None and resolve_device(recipe.device) == "cuda"
    return AutoModelForCausalLM.from_pretrained(
        job.base,
        dtype="auto" if frozen_on_gpu else getattr(torch, recipe.training.master_dtype),
        trust_remote_code=recipe.base.trust_remote_code,
        quantization_config=quantization() if lora is not None and lora.quantize else None,
    )


def build_trainer(
    job: TrainingJob,
    arguments: GRPOConfig,
    model: Any,
    rewards: Sequence[CheckedReward],
    problems: Sequence[Problem],
) -> "PolicyTrainer":
    """The trainer, with all rows of the run laid out; one reward for each of `computed_terms`."""
    lora = job.recipe.training.lora
    tokenizer = AutoTokenizer.from_pretrained(
        job.base, padding_side="left", trust_remote_code=job.recipe.base.trust_remote_code
    )
    trainer = PolicyTrainer(
        job.recipe,
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=_training_rows(job.recipe, problems, tokenizer),
        reward_funcs=[_reward_function(reward) for reward in rewards],
        peft_config=None if lora is None else peft_config(lora, model),
    )
    if lora is not None:
        train_in_float32(trainer.model)
    trainer.remove_callback(PrinterCallback)
    return trainer


class PolicyTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer with our prompts, and with three looks at the rewards of a step."""

    def __init__(self, recipe: Recipe, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._add_special_tokens = not recipe.problems.prompt.chat
        self._grader_column = grader_column(recipe)
        self._lora = recipe.training.lora is not None

    def resume(self, checkpoint: Path | None) -> None:
        """Train to the last step, from the start or from a rolling checkpoint."""
        self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))

    def gather_state(self) -> dict[str, torch.Tensor]:
        """The trained weights or adapter, by name; called on every process."""
        if self._lora:
            return adapter_state(self.model)
        state: dict[str, torch.Tensor] = self.accelerator.get_state_dict(self.model_wrapped)
        return state

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        # A rendered chat holds its special tokens already; a second BOS would be added otherwise.
        encoded = self.processing_class(text=prompts, add_special_tokens=self._add_special_tokens)
        return encoded["input_ids"], None, {}

    def _calculate_rewards(
        self, inputs: Any, prompts: list[str], completions: list[str], completion_ids_list: Any
    ) -> torch.Tensor:
        """Rewards of all processes' completions by term, float32, completions x terms."""
        rewards: torch.Tensor = super()._calculate_rewards(
            inputs, prompts, completions, completion_ids_list
        )
        # TRL's own share is that of the whole batch where scale_rewards is batch.
        total = rewards @ self.reward_weights.to(rewards.device)
        spread = total.view(-1, self.num_generations).std(dim=1)
        self._log_metric("zero_spread_fraction", (spread == 0).float().mean().item())
        correct = (rewards[:, self._grader_column] == CORRECT).view(-1, self.num_generations)
        accuracies = correct.float().mean(dim=1)
        self._log_metric("accuracy", accuracies.mean().item())
        self._log_metric("accuracy_spread", accuracies.std(correction=0).item())
        if self.state.global_step == 0 and self.accelerator.is_main_process:
            _warn_of_identical_completions(prompts, completions)
        return rewards


def _training_rows(recipe: Recipe, problems: Sequence[Problem], tokenizer: Any) -> Dataset:
    config = recipe.training
    num_rows = config.steps * config.prompts_per_step
    rows = [problems[index] for index in question_order(len(problems), num_rows, recipe.seed)]
    prompt = recipe.problems.prompt
    return Dataset.from_dict(
        {
            "prompt": [render_prompt(row.question, prompt, tokenizer) for row in rows],
            "answer": [row.answer for row in rows],
        }
    )


def _reward_function(reward: CheckedReward) -> RewardFunction:
    """A reward with TRL's signature; TRL keys its metrics by `__name__`."""

    def function(
        *, prompts: list[str], completions: list[str], answer: list[str], **_: Any
    ) -> list[float]:
        return reward(prompts=prompts, completions=completions, answers=answer)

    function.__name__ = reward.name
    return function


def _warn_of_identical_completions(prompts: list[str], completions: list[str]) -> None:
    num_different = len(set(zip(prompts, completions, strict=True)))
    if num_different == len(set(prompts)):
        message = (
            "step 1: all completions of a question are the same, for every question; nothing can "
            "be learned from that: raise training.temperature"
        )
        send(TrainingWarning(message=message))
