"""PyTorch's DCGAN example. Each line of the input is a number of steps.

Networks, initial weights, losses and order of the steps are those of
https://github.com/pytorch/examples/tree/main/dcgan, with half of the filters.
`step_speed.py` starts this script, which prints the seconds per step.
"""

import sys
import time

import torch
from torch import nn

FILTERS, LATENT_DIM = 32, 100


def generator():
    def stage(inputs, outputs, *options):
        return [
            nn.ConvTranspose2d(inputs, outputs, 4, *options, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(True),
        ]

    return nn.Sequential(
        *stage(LATENT_DIM, 8 * FILTERS, 1, 0),
        *stage(8 * FILTERS, 4 * FILTERS, 2, 1),
        *stage(4 * FILTERS, 2 * FILTERS, 2, 1),
        *stage(2 * FILTERS, FILTERS, 2, 1),
        nn.ConvTranspose2d(FILTERS, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def discriminator():
    def stage(inputs, outputs):
        return [
            nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2, inplace=True),
        ]

    return nn.Sequential(
        nn.Conv2d(3, FILTERS, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        *stage(FILTERS, 2 * FILTERS),
        *stage(2 * FILTERS, 4 * FILTERS),
        *stage(4 * FILTERS, 8 * FILTERS),
        nn.Conv2d(8 * FILTERS, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
        nn.Flatten(0),
    )


def initialize(layer):
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


def main():
    batch_size = int(sys.argv[1])
    g, d = generator().apply(initialize), discriminator().apply(initialize)
    criterion = nn.BCELoss()
    g_optimizer, d_optimizer = (
        torch.optim.Adam(network.parameters(), lr=0.0002, betas=(0.5, 0.999))
        for network in (g, d)
    )
    real = torch.rand(batch_size, 3, 64, 64) * 2 - 1
    ones, zeros = torch.ones(batch_size), torch.zeros(batch_size)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            d.zero_grad()
            criterion(d(real), ones).backward()
            fake = g(torch.randn(batch_size, LATENT_DIM, 1, 1))
            criterion(d(fake.detach()), zeros).backward()
            d_optimizer.step()
            g.zero_grad()
            criterion(d(fake), ones).backward()
            g_optimizer.step()
        print((time.perf_counter() - start) / int(line), flush=True)


if __name__ == "__main__":
    main()
