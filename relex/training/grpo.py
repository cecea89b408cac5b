"""From a recipe to TRL's GRPO trainer. The only importer of trl."""

import os
import time
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
from relex.rewards import CheckedReward
from relex.rewards.contract import CORRECT
from relex.training.callbacks import IMPORTANCE_BEYOND, ROLLOUT_SECONDS
from relex.training.events import RolloutsChosen, TrainingWarning, send
from relex.training.job import TrainingJob
from relex.training.judge import computed_terms, grader_column
from relex.training.lora import adapter_state, peft_config, quantization, train_in_float32
from relex.training.part import State
from relex.training.rollouts import is_beyond, recorded_arguments, trl_arguments
from relex.training.schedule import question_order
from relex.training.sharding import announce, fsdp_config, set_up
from relex.training.vllm_rollouts import as_recipe_says

RewardFunction = Callable[..., list[float]]


def build_arguments(job: TrainingJob) -> GRPOConfig:
    """TRL's arguments; on several GPUs this also joins the processes.

    One optimizer step is one generation batch of prompts_per_step x completions_per_prompt
    completions, used once. The loss averages over all tokens of the batch (DAPO,
    arXiv 2503.14476), with GRPO's advantages (arXiv 2402.03300).

    With vLLM a resumed run samples anew.
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
        max_steps=config.last_step,
        # The other one copies a moment whole at every step.
        optim="adamw_torch_fused" if on_gpu else "adamw_torch",
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
        **trl_arguments(recipe),
        trust_remote_code=recipe.base.trust_remote_code,
        use_cpu=not on_gpu,
        bf16=on_gpu,
        gradient_checkpointing=config.gradient_checkpointing,
        dataloader_pin_memory=on_gpu,
        ddp_find_unused_parameters=False,
        fsdp=True if config.shard else None,
        fsdp_config=fsdp_config(config) if config.shard else None,
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
    if recipe.training.shard:
        announce()
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
    rows = _training_rows(job.recipe, problems, tokenizer)
    prompts = tokenizer(text=rows.unique("prompt"), add_special_tokens=_adds_special(job.recipe))
    longest_tokens = max(map(len, prompts["input_ids"]))
    # Else vLLM plans for the longest context of the model.
    arguments.vllm_max_model_length = longest_tokens + arguments.max_completion_length
    with as_recipe_says(job.recipe):
        trainer = PolicyTrainer(
            job.recipe,
            model=model,
            args=arguments,
            processing_class=tokenizer,
            train_dataset=rows,
            reward_funcs=[_reward_function(reward, problems) for reward in rewards],
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
        # Else the processes whose completions end first leave the others waiting for their part.
        self.model._is_fsdp_managed_module = recipe.training.shard
        self._add_special_tokens = _adds_special(recipe)
        self._recipe, self._grader_column = recipe, grader_column(recipe)
        self._lora = recipe.training.lora is not None

    def resume(self, checkpoint: Path | None) -> None:
        """Train to the last step, from the start or from a rolling checkpoint."""
        self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.args.fsdp:
            set_up(self.accelerator, self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True

    def own_state(self) -> State:
        """What this process has of the trained weights, or the adapter, by name."""
        model = self.accelerator.unwrap_model(self.model_wrapped)
        if self._lora:
            return adapter_state(model)
        state: State = model.state_dict()
        return state

    def rollouts_chosen(self) -> RolloutsChosen:
        """What generates the completions, for the record."""
        if not self.use_vllm:
            return RolloutsChosen(engine="transformers", arguments={})
        arguments = recorded_arguments(self._recipe)
        if self.vllm_mode == "server":
            return RolloutsChosen(engine="a vLLM server", arguments=arguments)
        engine = self.vllm_generation
        return RolloutsChosen(engine=engine.name, arguments=arguments | engine.chosen)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        started = time.monotonic()
        output = super()._generate_and_score_completions(inputs)
        self._metrics["train"][ROLLOUT_SECONDS].append(time.monotonic() - started)
        if "importance_sampling_ratio" in output:
            share = self._beyond_clips(output["importance_sampling_ratio"], output)
            self._metrics["train"][IMPORTANCE_BEYOND].append(share)
        return output

    def _beyond_clips(self, ratio: torch.Tensor, output: Any) -> float:
        """Share of the ratios, completions x 1 or x tokens, that were cut or set to zero, in all
        processes."""
        counted = output["completion_mask"].bool() if ratio.shape[1] > 1 else torch.ones_like(ratio)
        beyond = is_beyond(ratio, self._recipe.training.rollouts) & counted.bool()
        both = torch.stack([beyond.sum(), counted.sum()]).float()
        num_beyond, num_counted = self.accelerator.gather(both).view(-1, 2).sum(0).tolist()
        return float(num_beyond / num_counted)

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
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
        values, least = rewards[:, self._grader_column], self._recipe.evaluation.correct_from
        correct = ((least <= values) & (values <= CORRECT)).view(-1, self.num_generations)
        accuracies = correct.float().mean(dim=1)
        self._log_metric("accuracy", accuracies.mean().item())
        self._log_metric("accuracy_spread", accuracies.std(correction=0).item())
        if self.state.global_step == 0 and self.accelerator.is_main_process:
            _warn_of_identical_completions(prompts, completions)
        return rewards


def _adds_special(recipe: Recipe) -> bool:
    # A rendered chat holds its special tokens already; a second BOS would be added otherwise.
    return not recipe.problems.prompt.chat


def _training_rows(recipe: Recipe, problems: Sequence[Problem], tokenizer: Any) -> Dataset:
    config = recipe.training
    num_rows = config.last_step * config.prompts_per_step
    # A later round asks what the earlier ones did not.
    num_before = (recipe.rounds - 1) * num_rows
    order = question_order(len(problems), num_before + num_rows, recipe.seed)[num_before:]
    prompt = recipe.problems.prompt
    texts = [render_prompt(problems[index].question, prompt, tokenizer) for index in order]
    return Dataset.from_dict({"prompt": texts, "problem": order})


def _reward_function(reward: CheckedReward, problems: Sequence[Problem]) -> RewardFunction:
    """A reward with TRL's signature, which is given the problems' numbers; TRL keys its metrics by
    `__name__`."""

    def function(
        *, prompts: list[str], completions: list[str], problem: list[int], **_: Any
    ) -> list[float]:
        asked = [problems[index] for index in problem]
        return reward(
            prompts=prompts,
            completions=completions,
            answers=[one.answer for one in asked],
            extras=[one.extra for one in asked],
        )

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
