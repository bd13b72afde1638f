"""Our views through TRL's own preparation of data sets: what we mask is masked, and no example loses its answer.

Needs the environment of ``make test-train``; a tiny model with random weights stands in for the student.
"""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl")
transformers = pytest.importorskip("transformers")
datasets = pytest.importorskip("datasets")

from tracemill.flows.pipeline import import_traces  # noqa: E402
from tracemill.schemas.recipe import ImportRecipe  # noqa: E402
from tracemill.tasks.engines import gguf  # noqa: E402
from tracemill.tasks.tokenizer import IGNORED, load_tokenizer  # noqa: E402
from tracemill.tasks.views.write import view_files  # noqa: E402

pytestmark = pytest.mark.train

THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content.split('</think>')[-1] if m.role == 'assistant' else m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def run(solutions: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    document = {
        "name": "sums",
        "files": [str(solutions)],
        "format": "columns",
        "mining": {},
        "views": {"tokenizer": "local"},
        "verifier_workers": 1,
    }
    out = str(tmp_path_factory.mktemp("runs") / "run")
    return asyncio.run(import_traces(ImportRecipe.model_validate(document), out))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """The embedded model's tokenizer as transformers has it."""
    encoder = load_tokenizer("local")._encoder
    template = gguf.read_metadata(gguf.embedded_model())["tokenizer.chat_template"]
    held = transformers.PreTrainedTokenizerFast(
        tokenizer_object=encoder, eos_token="<|im_end|>", pad_token="<|im_end|>", bos_token="<|im_start|>"
    )
    held.chat_template = template
    return held


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    return transformers.LlamaForCausalLM(config)


def load(run: Any, view: str) -> Any:
    return datasets.Dataset.from_parquet([f"{run.path}/{path}" for path in view_files(run.path)[view]])


def sft(run: Any, view: str, model: Any, tokenizer: Any, tmp_path: Path, **options: Any) -> Any:
    data = load(run, view)
    config = trl.SFTConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True, bf16=False, **options)
    return trl.SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer), data


def batches(trainer: Any) -> list[dict[str, Any]]:
    return list(trainer.get_train_dataloader())


def test_masked_tokens_stay_masked(run, model, tokenizer, tmp_path):
    trainer, data = sft(
        run, "splices_tokenized", model, tokenizer, tmp_path, max_length=None, per_device_train_batch_size=4
    )
    ours = {tuple(row["input_ids"]): row["labels"] for row in data}
    seen = masked = 0
    for batch in batches(trainer):
        for ids, labels, mask in zip(
            batch["input_ids"].tolist(), batch["labels"].tolist(), batch["attention_mask"].tolist(), strict=True
        ):
            size = sum(mask)
            expected = ours[tuple(ids[:size])]
            assert labels[:size] == expected
            assert all(label == IGNORED for label in labels[size:])
            masked += sum(label == IGNORED for label in expected)
            seen += 1
    assert seen == len(data)
    assert masked > 0


def test_every_example_keeps_its_answer(run, model, tokenizer, tmp_path):
    trainer, data = sft(run, "splices_tokenized", model, tokenizer, tmp_path, max_length=None)
    for row in trainer.train_dataset:
        said = tokenizer.decode([label for label in row["labels"] if label != IGNORED])
        assert "\\boxed{" in said
        assert said.endswith("<|im_end|>")
    assert len(trainer.train_dataset) == len(data)


@pytest.mark.parametrize("strategy", ["bfd", "wrapped"])
def test_packing_keeps_labels_beside_their_tokens(run, model, tokenizer, tmp_path, strategy):
    longest = max(len(row["input_ids"]) for row in load(run, "splices_tokenized"))
    trainer, data = sft(
        run,
        "splices_tokenized",
        model,
        tokenizer,
        tmp_path,
        max_length=longest,
        packing=True,
        packing_strategy=strategy,
    )
    packed = trainer.train_dataset
    assert len(packed) < len(data)
    count = lambda rows: sum(label != IGNORED for row in rows for label in row["labels"])  # noqa: E731
    assert count(packed) == count(data)
    for row in packed:
        assert all(label in (IGNORED, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))


def test_truncation_cuts_answers_which_is_why_long_ones_can_be_left_out(run, model, tokenizer, tmp_path):
    sizes = sorted(len(row["input_ids"]) for row in load(run, "splices_tokenized"))
    limit = sizes[len(sizes) // 2]
    trainer, _ = sft(run, "splices_tokenized", model, tokenizer, tmp_path, max_length=limit)
    cut = [batch for batch in batches(trainer) if batch["input_ids"].shape[1] >= limit]
    assert cut
    fits = load(run, "splices_tokenized").filter(lambda row: len(row["input_ids"]) <= limit)
    config = trl.SFTConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True, bf16=False, max_length=limit)
    held = trl.SFTTrainer(model=model, args=config, train_dataset=fits, processing_class=tokenizer).train_dataset
    assert [row["labels"] for row in held] == [row["labels"] for row in fits]


def test_a_loss_is_taken_of_the_trained_tokens_alone(run, model, tokenizer, tmp_path):
    trainer, _ = sft(
        run, "splices_tokenized", model, tokenizer, tmp_path, max_length=None, per_device_train_batch_size=2
    )
    batch = next(iter(trainer.get_train_dataloader()))
    whole = model(**{key: value for key, value in batch.items() if key in ("input_ids", "attention_mask")}).logits
    loss = model(**batch).loss
    shifted = batch["labels"][:, 1:]
    by_hand = torch.nn.functional.cross_entropy(whole[:, :-1][shifted != IGNORED], shifted[shifted != IGNORED])
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_corrections_are_prompt_and_completion(run, model, tokenizer, tmp_path):
    trainer, data = sft(run, "corrections", model, tokenizer, tmp_path, max_length=None)
    assert len(trainer.train_dataset) == len(data)
    for row, given in zip(trainer.train_dataset, data, strict=True):
        mask = row["completion_mask"] if "completion_mask" in row else [label != IGNORED for label in row["labels"]]
        said = tokenizer.decode([token for token, kept in zip(row["input_ids"], mask, strict=True) if kept])
        assert given["completion"][0]["content"] in said
        assert given["prompt"][1]["content"] not in said or given["kind"] == "cc"


def test_messages_of_splices_are_taken_as_they_are(run, model, tokenizer, tmp_path):
    trainer, data = sft(run, "splices", model, tokenizer, tmp_path, max_length=None)
    for row, given in zip(trainer.train_dataset, data, strict=True):
        assert given["messages"][-1]["content"] in tokenizer.decode(row["input_ids"])


@pytest.mark.parametrize("view", ["preference", "step_preference"])
def test_preferences_are_what_dpo_takes(run, model, tokenizer, tmp_path, view):
    data = load(run, view)
    config = trl.DPOConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True, bf16=False, max_length=None)
    trainer = trl.DPOTrainer(
        model=model, ref_model=copy.deepcopy(model), args=config, train_dataset=data, processing_class=tokenizer
    )
    assert len(trainer.train_dataset) == len(data)
    for row, given in zip(trainer.train_dataset, data, strict=True):
        for side in ("chosen", "rejected"):
            assert given[side][0]["content"].strip() in tokenizer.decode(row[f"{side}_ids"])


def test_unpaired_rows_are_what_kto_takes(run, model, tokenizer, tmp_path):
    data = load(run, "unpaired")
    config = trl.KTOConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True, bf16=False, max_length=None)
    trainer = trl.KTOTrainer(
        model=model, ref_model=copy.deepcopy(model), args=config, train_dataset=data, processing_class=tokenizer
    )
    assert sorted(trainer.train_dataset["label"]) == sorted(data["label"])


def test_stepwise_rows_have_the_columns_of_stepwise_supervision(run):
    """This TRL has no trainer for them any more; the format is ``prompt``, ``completions``, ``labels``."""
    for row in load(run, "stepwise"):
        assert isinstance(row["prompt"], str)
        assert len(row["completions"]) == len(row["labels"])
        assert all(isinstance(label, bool) for label in row["labels"])


def test_a_template_that_strips_thinking_is_refused_and_not_trained_on(run, tmp_path):
    from tracemill.schemas.errors import UsageError
    from tracemill.tasks.tokenizer import ChatTemplate, Tokenizer

    stripping = Tokenizer("test", load_tokenizer("local")._encoder, ChatTemplate(THINKING, {}, "test"))
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "<think>\nso\n</think>\n\n7"}]
    with pytest.raises(UsageError, match="rewrites"):
        stripping.tokenize_spans(messages, [(0, 20)])
    row = pq.read_table(f"{run.path}/{view_files(run.path)['splices'][0]}").slice(0, 1).to_pylist()[0]
    spans = [(span["start"], span["end"]) for span in row["loss_spans"]]
    assert stripping.tokenize_spans(row["messages"], spans)[1]
