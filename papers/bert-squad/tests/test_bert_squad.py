"""The scores, the windows, and the whole path from a hub that holds a small BERT."""

import io
import json
import os
import shutil

import numpy as np
import pytest
import torch
from hub_server import add_repo, running_hub
from paper_bert_squad.answers import best_spans
from paper_bert_squad.data import BERT, SQUAD, answer_tokens
from paper_bert_squad.model import Reader
from paper_bert_squad.scores import exact_match, f1, normalised, percent
from research_models import BertMaskedLM, TransformerConfig, parameter_count
from research_train import evaluate_run, find_member, installed_members, new_run, train_run

KINDS = {"colour": ["red", "green", "blue"], "number": ["one", "two", "three", "four"]}
FILLERS = [f"word{number}" for number in range(20)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "which", "?", *KINDS, *FILLERS]
VOCABULARY += [word for words in KINDS.values() for word in words]
SMALL = ["length=24", "stride=6", "batch_size=32", "longest_answer=4", "tensorboard=false"]


def squad(seed, count):
    """Which colour, or which number, is in a context that has one of each."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        words = rng.choice(FILLERS, size=rng.integers(10, 30)).tolist()
        places = rng.choice(len(words), 2, replace=False)
        for place, kind in zip(places, KINDS, strict=True):
            words[place] = str(rng.choice(KINDS[kind]))
        kind = int(rng.integers(2))
        place = places[kind]
        begin = len(" ".join([*words[:place], ""]))
        rows.append(row(str(number), f"which {[*KINDS][kind]} ?", " ".join(words), words[place], begin))
    return rows


def row(key, question, context, answer, begin):
    answers = {"text": [answer], "answer_start": [begin]}
    return {"id": key, "question": question, "context": context, "answers": answers}


def bert(folder, words=VOCABULARY):
    """The files of a small BERT and its tokenizer, as transformers saves them."""
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=32,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "assets"))
    return find_member("bert-squad", installed_members()).experiment()


@pytest.fixture
def hub(experiment, tmp_path, monkeypatch):
    """A hub with these questions and a small BERT under the commits that the paper pins."""

    def add(train, validation, **model):
        from datasets import Dataset

        files = {}
        for name, rows in {"train": train, "validation": validation}.items():
            content = io.BytesIO()
            Dataset.from_list(rows).to_parquet(content)
            files[f"plain_text/{name}-00000-of-00001.parquet"] = content.getvalue()
        pinned = dict(need.name.split("@") for need in experiment.member.pyproject.hub_needs)
        for kind, name, content in (
            ("datasets", SQUAD, files), ("models", BERT, bert(tmp_path / "bert", **model))
        ):
            made = add_repo(tmp_path / "hub", kind, name, content)
            folder = tmp_path / "hub" / kind / name
            shutil.move(folder / made, folder / pinned[name])
            for file in folder.glob("*.json"):
                file.write_text(file.read_text().replace(made, pinned[name]))

    with running_hub(tmp_path / "hub") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        assert os.environ["HF_ENDPOINT"].startswith("http://127.0.0.1")
        yield add


def test_it_pulls_trains_and_evaluates(experiment, hub):
    hub(squad(0, 1500), squad(1, 100))
    words = ["learning_rate=3e-3", "steps=200", "warm_up=20"]
    run = new_run(experiment, [*SMALL, *words])
    run.quiet = True
    import time
    t = time.time()
    train_run(run, experiment)
    print(run.record.metrics, time.time() - t)
    print((run.folder / "predictions.json").read_text()[:300])
    print((run.folder / "n_best.json").read_text()[:300])
    assert run.record.metrics["validation/exact_match"] > 60  # chance is below 10
    assert evaluate_run(run, experiment).metrics == run.record.metrics
