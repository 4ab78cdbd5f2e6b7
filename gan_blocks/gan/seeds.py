"""The state of random generators, which Keras does not save with a model."""


def states(networks, generators):
    """Returns the states of the random generators of networks and others."""
    found = []
    for network in networks:
        weights = {id(weight) for weight in network.weights}
        found += [v for v in network.variables if id(v) not in weights]
    return found + [generator.state for generator in generators]


def store(store, states):
    """Writes the states into the store of a model's own variables."""
    for i, state in enumerate(states):
        store[f"seed_{i}"] = state


def restore(store, states, compiled):
    """Reads the states from the store. Returns the rest of the store.

    A GAN that is not compiled has no penalties, whose seeds are the last.
    """
    seeds = [key for key in store.keys() if key.startswith("seed_")]
    if len(seeds) < len(states) or compiled and len(seeds) > len(states):
        raise ValueError(
            f"The saved GAN has {len(seeds)} random seeds, and this GAN has "
            f"{len(states)}. They have different layers or penalties."
        )
    for i, state in enumerate(states):
        state.assign(store[f"seed_{i}"])
    return {key: store[key] for key in store.keys() if key not in seeds}
