"""A published model from a hub is fine-tuned, saved, and read back by transformers."""

import json
from pathlib import Path

import torch
from hub_server import add_repo, running_hub
from research_models import load_pretrained

FINE_TUNING = '''
import torch
from research_data import Batches
from research_models import load_pretrained, save_pretrained
from research_train import Metrics, Run, Trainer
from torch.nn.functional import cross_entropy

from paper_tiny.config import Config

MASK = 3


def sentences(count: int, seed: int) -> torch.Tensor:
    """Token ids that count up, (count, 12): from its neighbours a hidden one can be told."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, 20, (count, 1), generator=generator) + torch.arange(12)


def loss(model, batch):
    (tokens,) = batch
    hidden = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0)) < 0.15
    logits = model(tokens.masked_fill(hidden, MASK))
    return cross_entropy(logits[hidden], tokens[hidden])


def train(config: Config, run: Run) -> Metrics:
    model = load_pretrained(run.asset("org/bert"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    before = loss(model, (sentences(64, seed=1),)).item()
    trainer = Trainer(run, model, optimizer, loss)
    trainer.fit(Batches((sentences(512, seed=0),), 16, shuffle=True, seed=config.seed))
    save_pretrained(model.eval(), run.folder / "model")
    with torch.no_grad():
        return {"before": before, "after": loss(model, (sentences(64, seed=1),)).item()}
'''


def tiny_bert(folder: Path) -> dict[str, bytes]:
    """The files of a small BERT as transformers makes and saves it."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=32,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")}


def test_a_bert_from_a_hub_is_fine_tuned_and_read_back_by_transformers(workspace, tmp_path):
    from transformers import BertForMaskedLM

    paper = workspace.root / "papers" / "tiny"
    with running_hub(tmp_path / "hub") as server:
        files = tiny_bert(tmp_path / "bert")
        revision = add_repo(tmp_path / "hub", "models", "org/bert", files)
        workspace.environment |= {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")}
        pyproject = (paper / "pyproject.toml").read_text()
        needs = f'[tool.research]\nmodels = ["org/bert@{revision}"]\n[tool.research.generated]'
        pyproject = pyproject.replace("[tool.research.generated]", needs)
        (paper / "pyproject.toml").write_text(pyproject)
        (paper / "paper_tiny/train.py").write_text(FINE_TUNING)
        result = workspace.train("steps=50", "evaluate_every=50")
    assert result.code == 0, result.errors
    record = json.loads((result.folder / "run.json").read_text())
    assert record["assets"]["org/bert"] == revision
    losses = record["metrics"]
    assert losses["after"] < 0.8 * losses["before"]

    tokens = torch.randint(0, 32, (3, 16), generator=torch.Generator().manual_seed(2))
    theirs = BertForMaskedLM.from_pretrained(result.folder / "model").eval()
    ours = load_pretrained(result.folder / "model").eval()
    untuned = BertForMaskedLM.from_pretrained(tmp_path / "bert").eval()
    with torch.no_grad():
        assert (ours(tokens) - theirs(tokens).logits).abs().max() <= 5e-6
        assert (untuned(tokens).logits - theirs(tokens).logits).abs().max() > 0.1
