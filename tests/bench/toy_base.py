"""Builds the toy's base policy in six minutes on two cores: `python -m tests.bench.toy_base OUT`.

A small Qwen3 is supervised on answers of which half are right, 35 % ramble around the right number
and 15 % are off by one or by ten. Greedy decoding is then right almost always while sampling is
right half of the time, which leaves GRPO something to sharpen. The cosine schedule must run to
zero: a policy that has not converged makes every extrapolation harmful.
"""

import argparse
import random
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from relex.toy.problems import LARGEST_OPERAND, question

PAD, EOS = "<pad>", "<eos>"
CHARACTERS = "0123456789+= ?mosu-"
NUM_STEPS = 1500
BATCH_SIZE = 256
LEARNING_RATE = 2e-3
RIGHT_FRACTION, RAMBLING_FRACTION = 0.50, 0.35
IGNORED_LABEL = -100

Teacher = Callable[[random.Random], tuple[str, str]]
"""Draws a prompt and an answer to it."""


def build_tokenizer(characters: str = CHARACTERS) -> PreTrainedTokenizerFast:
    """One token per character."""
    vocabulary = {token: index for index, token in enumerate([PAD, EOS, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def build_config(tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    """A Qwen3 of 0.8 M parameters with tied embeddings."""
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def sample_answer(a: int, b: int, rng: random.Random) -> str:
    """An answer of the imperfect teacher."""
    total = a + b
    draw = rng.random()
    if draw < RIGHT_FRACTION:
        return str(total)
    if draw < RIGHT_FRACTION + RAMBLING_FRACTION:
        return rng.choice([f"so {total}?", f"um {total} ??"])
    return str(total + rng.choice([-10, -1, 1, 10]))


def teach_addition(rng: random.Random) -> tuple[str, str]:
    """A question of the toy and an answer of its teacher."""
    a, b = rng.randint(0, LARGEST_OPERAND), rng.randint(0, LARGEST_OPERAND)
    return question(a, b), sample_answer(a, b, rng)


def sample_batch(
    tokenizer: PreTrainedTokenizerFast, teacher: Teacher, rng: random.Random, batch_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels, both (batch_size, longest), int64; prompts carry no loss."""
    ids_rows, label_rows = [], []
    for _ in range(batch_size):
        asked, answered = teacher(rng)
        prompt = tokenizer(asked)["input_ids"]
        answer = tokenizer(answered)["input_ids"] + [tokenizer.eos_token_id]
        ids_rows.append(torch.tensor(prompt + answer))
        label_rows.append(torch.tensor([IGNORED_LABEL] * len(prompt) + answer))
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad(ids_rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    return ids, pad(label_rows, batch_first=True, padding_value=IGNORED_LABEL)


def train_base(
    tokenizer: PreTrainedTokenizerFast,
    teacher: Teacher,
    seed: int,
    num_steps: int,
    batch_size: int,
) -> Qwen3ForCausalLM:
    """The supervised policy, float32, after `num_steps` steps of a cosine schedule to zero."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = Qwen3ForCausalLM(build_config(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        ids, labels = sample_batch(tokenizer, teacher, rng, batch_size)
        loss = model(
            input_ids=ids, attention_mask=ids != tokenizer.pad_token_id, labels=labels
        ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return model


def build(
    out: Path,
    seed: int = 0,
    teacher: Teacher = teach_addition,
    num_steps: int = NUM_STEPS,
    characters: str = CHARACTERS,
    batch_size: int = BATCH_SIZE,
) -> None:
    """Train the base policy and save it in bfloat16 with its tokenizer in `out`."""
    tokenizer = build_tokenizer(characters)
    model = train_base(tokenizer, teacher, seed, num_steps, batch_size).to(torch.bfloat16)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the toy's base policy.")
    parser.add_argument("out", type=Path, help="folder for the checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    build(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
