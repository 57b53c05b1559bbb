"""Training as in section 4.2: SGD with momentum, its step size divided twice by 10."""

import torch
from research_data import Batches
from research_models import parameter_count
from research_train import Metrics, Run, Trainer, accuracy, classification_loss, steps_down

from paper_resnet_cifar10.config import Config
from paper_resnet_cifar10.data import Images, load_cifar10
from paper_resnet_cifar10.model import Classifier


def errors(model: Classifier, **splits: Images) -> Metrics:
    """Share of the images of each split that are classified wrongly, unless it has none."""
    full = {name: images for name, images in splits.items() if len(images[0])}
    return {
        f"{name}/error": 1 - accuracy(model, full[name], "all")["all/accuracy"] for name in full
    }


def train(config: Config, run: Run) -> Metrics:
    """Train a ResNet; returns its errors, and its parameters in millions."""
    (images, classes), test, _ = load_cifar10(run.asset("uoft-cs/cifar10"))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held_out, seen = order[: config.held_out], order[config.held_out :]
    splits = {"validation": (images[held_out], classes[held_out]), "test": test}
    model = Classifier(config.depth, images[seen].float().mean(0))
    rate, decay = config.learning_rate, config.weight_decay
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=decay)
    divided = steps_down(tuple(config.divide_at))

    def schedule(step: int) -> float:
        return 0.1 if step < config.warm_up else divided(step)

    trainer = Trainer(run, model, optimizer, classification_loss, schedule=schedule)
    data = images[seen], classes[seen]
    batches = Batches(data, config.batch_size, shuffle=True, seed=config.seed)
    trainer.fit(batches, lambda: errors(model, **splits))
    return {**errors(model, **splits), "parameters": parameter_count(model) / 1e6}


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
