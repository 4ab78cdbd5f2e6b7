"""Networks that are told the class of each image."""


class Conditioned:
    """A network of `[inputs, labels]` with given labels: one of the inputs.

    What trains it need not know of the labels then; nor need penalties.
    """

    def __init__(self, network, labels):
        self.network = network
        self.labels = labels
        self.variables = network.variables

    def __call__(self, inputs, training=None):
        """Runs the network."""
        return self.network([inputs, self.labels], training=training)


def given(network, labels):
    """Returns the network, told the labels if there are any."""
    return network if labels is None else Conditioned(network, labels)
