"""Compares training steps on one device with steps on two devices.

    python tests/benchmarks/devices_speed.py [ROUNDS]
    python tests/benchmarks/devices_speed.py KIND

Uses two CPU cores. Each device has one core and one thread. KERAS_BACKEND
chooses the backend. Without KIND, all kinds take turns, each in new processes:

- one: one device with the whole batch, on one core.
- apart: two independent processes, each with half of the batch. This is the
  upper limit for two cores.
- devices: two logical devices in one process, with `MirroredStrategy` on
  TensorFlow and `DataParallel` on JAX.
- processes: two processes that train together.

Prints the medians and the throughput relative to one device.
"""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from support.two_processes import environments  # noqa: E402

CORES = sorted(os.sched_getaffinity(0))[:2]
SHAPE = 32, 32, 3
BATCH = 64
STEPS = 10
KINDS = {
    "tensorflow": ["one", "apart", "devices", "processes"],
    "jax": ["one", "apart", "devices", "processes"],
    "torch": ["one", "apart", "processes"],
}


def measure(kind):
    """Prints the seconds per step of this process."""
    import keras

    backend = keras.backend.backend()
    share = BATCH if kind in ("one", "devices") else BATCH // 2
    scope = globals()[f"{backend}_scope"](kind)
    if kind == "processes" and backend == "tensorflow":
        share = BATCH  # The strategy gives half of it to each process.
    import peers
    import timing

    from gan_blocks import GAN, networks

    with scope:
        gan = GAN(
            networks.dcgan_generator(SHAPE, base_filters=32),
            networks.dcgan_discriminator(SHAPE, base_filters=32),
            seed=0,
        )
        gan.compile(peers.adam(), peers.adam())
    images = peers.images((share * (STEPS + 1), *SHAPE))

    def run(steps):
        clock = timing.Clock()
        gan.fit(
            images,
            batch_size=share,
            verbose=0,
            shuffle=False,
            callbacks=[clock],
        )
        return clock.seconds(steps)

    run(STEPS)
    print(json.dumps(min(run(STEPS) for _ in range(2))))


def tensorflow_scope(kind):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(
        2 if kind == "devices" else 1
    )
    if kind == "processes":
        return tf.distribute.MultiWorkerMirroredStrategy().scope()
    if kind != "devices":
        return contextlib.nullcontext()
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [logical, logical])
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()


def jax_scope(kind):
    import keras

    if kind == "processes":
        keras.distribution.initialize()
    if kind in ("devices", "processes"):
        parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(parallel)
    return contextlib.nullcontext()


def torch_scope(kind):
    import torch

    torch.set_num_threads(1)
    if kind == "processes":
        torch.distributed.init_process_group("gloo")
    return contextlib.nullcontext()


def start(kind, index, pair):
    """Starts a process on one core, or on two cores for two devices."""
    environment = os.environ | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    }
    if kind == "devices":
        environment["XLA_FLAGS"] += " --xla_force_host_platform_device_count=2"
    if kind == "processes":
        environment |= pair[index]
    cores = CORES if kind == "devices" else [CORES[index]]
    return subprocess.Popen(
        [sys.executable, __file__, kind],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )


def seconds(kind):
    """Returns the seconds per step of the slowest process."""
    pair = environments()
    number = 2 if kind in ("apart", "processes") else 1
    processes = [start(kind, index, pair) for index in range(number)]
    times = []
    for process in processes:
        output, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors)
        times.append(json.loads(output.splitlines()[-1]))
    return max(times)


def main():
    kinds = KINDS[os.environ.get("KERAS_BACKEND", "tensorflow")]
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    table = [[seconds(kind) for kind in kinds] for _ in range(rounds)]
    print("| | ms a step | throughput of one device |")
    print("|---|---|---|")
    for i, kind in enumerate(kinds):
        step = statistics.median(row[i] for row in table)
        gains = [row[0] / row[i] for row in table]
        print(
            f"| {kind} | {1000 * step:.0f} | {statistics.median(gains):.2f} |"
        )


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].isdecimal():
        measure(sys.argv[1])
    else:
        main()
