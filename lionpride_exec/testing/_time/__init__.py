"""Virtual time: clocks that jump, on each of the backends."""
