"""The head, the best spans, and the whole path from a hub that holds a small BERT."""

import io
import json
import os
import shutil

import numpy as np
import pytest
import torch
from hub_server import add_repo, running_hub
from paper_bert_squad.answers import BERT, SQUAD, best_spans
from research_models import (
    BertMaskedLM,
    TransformerConfig,
    load_pretrained,
    parameter_count,
    save_pretrained,
)
from research_train import (
    evaluate_run,
    find_member,
    installed_members,
    load_config,
    new_run,
    read_claims,
    train_run,
)

COLOURS, FILLERS = ["red", "green", "blue"], [f"word{number}" for number in range(20)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "which", "colour", "?"]
VOCABULARY += COLOURS + FILLERS
BERT_PARTS = {
    "causal": False,
    "activation": "gelu",
    "norm_eps": 1e-12,
    "norm_place": "post",
    "embedding_norm": True,
    "segments": 2,
}
SMALL = ["length=24", "stride=6", "longest_answer=4", "n_best=5", "tensorboard=false"]


def row(key, context, answer, begin):
    answers = {"text": [answer], "answer_start": [begin]}
    return {"id": key, "question": "which colour ?", "context": context, "answers": answers}


def squad(seed, count):
    """Contexts of 10 to 29 words, more than a window holds, with a colour at a random place."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        words = rng.choice(FILLERS, size=rng.integers(10, 30)).tolist()
        place = int(rng.integers(len(words)))
        words[place] = str(rng.choice(COLOURS))
        begin = len(" ".join([*words[:place], ""]))
        rows.append(row(str(number), " ".join(words), words[place], begin))
    return rows


def bert(folder, vocabulary):
    """The files of a small BERT and of a tokenizer."""
    torch.manual_seed(0)
    config = TransformerConfig(
        vocabulary=len(VOCABULARY),
        width=32,
        layers=1,
        heads=4,
        length=24,
        **BERT_PARTS,
    )
    save_pretrained(BertMaskedLM(config), folder)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "assets"))
    return find_member("bert-squad", installed_members()).experiment()


@pytest.fixture
def hub(experiment, tmp_path, monkeypatch):
    """A hub with these questions and a small BERT under the commits that the paper pins."""

    def add(train, validation, vocabulary=VOCABULARY):
        from datasets import Dataset

        files = {}
        for name, rows in {"train": train, "validation": validation}.items():
            content = io.BytesIO()
            Dataset.from_list(rows).to_parquet(content)
            files[f"plain_text/{name}-00000-of-00001.parquet"] = content.getvalue()
        pinned = dict(need.name.split("@") for need in experiment.member.pyproject.hub_needs)
        model = bert(tmp_path / "bert", vocabulary)
        for kind, name, content in (("datasets", SQUAD, files), ("models", BERT, model)):
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


def trained(experiment, *words):
    run = new_run(experiment, [*SMALL, *words])
    run.quiet = True
    train_run(run, experiment)
    return run


def test_it_pulls_trains_answers_and_evaluates(experiment, hub):
    empty = row("empty", "", "", 0)
    hub(squad(0, 400), [*squad(1, 60), empty])
    run = trained(experiment, "learning_rate=5e-3", "warm_up=5", "steps=60")
    found = run.record.metrics
    assert found["validation/exact_match"] > 0.5  # chance is 0.05
    predictions = json.loads((run.folder / "predictions.json").read_text())
    assert predictions.keys() == {*map(str, range(60)), "empty"}
    assert predictions["empty"] == ""
    for key, answers in json.loads((run.folder / "n_best.json").read_text()).items():
        numbers = [score for _, score in answers]
        assert numbers == sorted(numbers, reverse=True)
        assert len(answers) == (1 if key == "empty" else 5)
        assert predictions[key] == next((text for text, _ in answers if text), "")
    encoder = load_pretrained(run.asset(BERT)).transformer
    assert found["parameters"] == parameter_count(encoder) + 2 * (32 + 1)
    assert evaluate_run(run, experiment).metrics.items() <= found.items()


def test_a_tokenizer_of_another_model_is_refused(experiment, hub):
    hub(squad(0, 10), squad(1, 10), vocabulary=[*VOCABULARY, "more"])
    with pytest.raises(Exception, match=f"{len(VOCABULARY) + 1} tokens.*{len(VOCABULARY)}"):
        trained(experiment, "steps=1")


def test_the_best_spans_are_those_of_the_definition(experiment):
    config = load_config(experiment).model_copy(update={"longest_answer": 3, "n_best": 6})
    scores = torch.randn(9, 2)
    context = torch.tensor([False, False, True, True, True, True, True, False, False])
    every = sorted(
        (
            (float(scores[first, 0] + scores[last, 1]), first, last)
            for first in range(2, 7)
            for last in range(first, min(first + 3, 7))
        ),
        reverse=True,
    )
    assert best_spans(scores, context, config) == every[:6]
    assert best_spans(scores, torch.zeros(9, dtype=torch.bool), config) == []


def test_bert_base_has_the_parameters_that_are_claimed(experiment):
    shape = {"vocabulary": 30522, "width": 768, "layers": 12, "heads": 12, "length": 512}
    with torch.device("meta"):
        encoder = BertMaskedLM(TransformerConfig(**shape, **BERT_PARTS)).transformer
    assert parameter_count(encoder) == 108_891_648
    [claim] = [
        each for each in read_claims(experiment.member.folder).claims if each.name == "parameters"
    ]
    assert claim.published == 108_891_648 + 2 * (768 + 1)
