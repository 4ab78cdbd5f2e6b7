"""The random state of a model, which Keras does not save with it."""


def states(networks, generators):
    """Returns the random state of all that draws random numbers.

    Args:
        networks: Models, whose layers may draw.
        generators: List of `keras.random.SeedGenerator`s beside them.
    """
    found = []
    for network in networks:
        weights = {id(weight) for weight in network.weights}
        found += [v for v in network.variables if id(v) not in weights]
    return found + [generator.state for generator in generators]


def store(store, states):
    """Writes the states into the store of a model's own variables."""
    for i, state in enumerate(states):
        store[f"seed_{i}"] = state


def restore(store, states):
    """Sets the states to those in the store; returns the rest of the store.

    Raises:
        ValueError: If the model that was saved had another number of them.
    """
    seeds = [key for key in store.keys() if key.startswith("seed_")]
    if len(seeds) != len(states):
        raise ValueError(
            f"The saved GAN has {len(seeds)} random seeds, this one has "
            f"{len(states)}: they have different layers or penalties."
        )
    for i, state in enumerate(states):
        state.assign(store[f"seed_{i}"])
    return {key: store[key] for key in store.keys() if key not in seeds}
