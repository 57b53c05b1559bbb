"""`run export --hf`: the model of a run as the hub and transformers read it."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from research_data import UsageError
from research_models import Transformer, TransformerConfig
from research_train import (
    CheckpointError,
    Experiment,
    RunError,
    RunSummary,
    export_model,
    find_any_run,
    load_checkpoint,
    new_run,
    train_run,
)
from safetensors.torch import load_file

TRAIN = """
import torch
from research_data import Batches
from research_models import Transformer, TransformerConfig
from research_train import Trainer
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

TOKENS = torch.arange(80).reshape(10, 8) % 11
SIZE = dict(vocabulary=11, width=16, layers=1, heads=2, length=8)
LLAMA = dict(vocab_size=11, hidden_size=16, intermediate_size=32, num_hidden_layers=1)
MODELS = {
    "ours": lambda: Transformer(TransformerConfig(**SIZE, bias=False)),
    "theirs": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA, num_attention_heads=2)),
    "plain": lambda: nn.Embedding(11, 11),
}


def loss(model, batch):
    scores = model(batch[0])
    scores = scores if isinstance(scores, torch.Tensor) else scores.logits
    return torch.nn.functional.cross_entropy(scores.flatten(0, 1), batch[1].flatten())


def train(config, run):
    model = MODELS[config.label]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Trainer(run, model, optimizer, loss).fit(Batches((TOKENS, TOKENS), 5))
    return {"test/accuracy": 1e-5}
"""
EVALUATE = """
from paper_tiny.train import MODELS

def evaluate(config, run):
    run.load_weights(MODELS[config.label]())
    raise AssertionError("an export needs no more than the weights")
"""
CLAIMS = """
source: A table of the paper
claims:
  - {name: best, what: The accuracy., kind: value, metric: test/accuracy, published: 0.5,
     tolerance: 0.1, reason: two digits}
"""


@pytest.fixture
def trained(experiment: Experiment):
    """A function that trains the model of a name."""
    package = experiment.member.folder / "paper_tiny"
    (package / "train.py").write_text(TRAIN)
    (package / "evaluate.py").write_text(EVALUATE)
    (experiment.member.folder / "claims.yaml").write_text(CLAIMS)

    def train(label: str) -> RunSummary:
        run = new_run(experiment, [f"label={label}", "steps=2"])
        train_run(run, experiment)
        return find_any_run(str(run.folder))

    return train


@pytest.mark.parametrize("label", ["ours", "theirs"])
def test_from_pretrained_gives_the_trained_model_s_outputs(trained, label, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    run = trained(label)
    exported = export_model(run, tmp_path / "model")
    assert exported.why_plain is None
    if label == "ours":
        trained_as = Transformer(TransformerConfig(11, 16, 1, 2, length=8, bias=False))
    else:
        sizes = {"vocab_size": 11, "hidden_size": 16, "intermediate_size": 32}
        sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2}
        trained_as = LlamaForCausalLM(LlamaConfig(**sizes))
    load_checkpoint(run.folder / "checkpoints" / "step-00000002", trained_as)
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        scores = trained_as.eval()(tokens)
        scores = scores if isinstance(scores, torch.Tensor) else scores.logits
        torch.testing.assert_close(read.eval()(tokens).logits, scores, atol=1e-6, rtol=0)
    suffixes = {file.suffix for file in (tmp_path / "model").iterdir()}
    assert suffixes <= {".json", ".safetensors", ".md"}


def test_from_pretrained_reads_a_checkpoint_of_a_model_of_transformers(trained) -> None:
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    checkpoint = trained("theirs").folder / "checkpoints" / "step-00000002"
    read = AutoModelForCausalLM.from_pretrained(checkpoint)
    assert isinstance(read, LlamaForCausalLM)
    trained_as = LlamaForCausalLM(read.config)
    load_checkpoint(checkpoint, trained_as)
    for name, weight in trained_as.state_dict().items():
        assert torch.equal(read.state_dict()[name], weight), name
    (checkpoint / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        load_checkpoint(checkpoint, trained_as)


def test_the_card_has_the_hub_s_metadata_and_the_paper_s_claims(trained, tmp_path: Path) -> None:
    run = trained("ours")
    export_model(run, tmp_path / "model")
    card = ModelCard.load(tmp_path / "model" / "README.md")
    assert (card.data.library_name, card.data.tags) == ("transformers", ["tiny"])
    [result] = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("test/accuracy", 1e-5)
    assert result.dataset_type == "tiny-points"
    for part in ("A table of the paper", "best", "GPT2LMHeadModel", "label: ours", run.id):
        assert part in card.text


def test_a_model_unknown_to_transformers_keeps_its_own_weights(trained, tmp_path: Path) -> None:
    run = trained("plain")
    exported = export_model(run, tmp_path / "model")
    assert exported.why_plain is not None and "Embedding" in exported.why_plain
    files = {file.name for file in (tmp_path / "model").iterdir()}
    assert files == {"model.safetensors", "README.md"}
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert weights["weight"].shape == (11, 11)
    assert exported.why_plain in (tmp_path / "model" / "README.md").read_text()


def test_what_cannot_be_exported_leaves_nothing(
    trained, experiment: Experiment, tmp_path: Path
) -> None:
    run = trained("plain")
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="exists"):
        export_model(run, tmp_path / "there")
    with pytest.raises(UsageError, match="doesn't exist"):
        export_model(run, tmp_path / "none" / "model")
    before = sorted(tmp_path.iterdir())
    (run.folder / "config.yaml").write_text("steps: 3\n")
    with pytest.raises(RunError, match="seal"):
        export_model(run, tmp_path / "model")
    assert sorted(tmp_path.iterdir()) == before
