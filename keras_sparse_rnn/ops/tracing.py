"""What is known about the graph that is being traced."""

import tensorflow as tf


def under_xla():
    """Whether the code that runs now is being traced for `jit_compile=True`."""
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = getattr(graph, "_get_control_flow_context", lambda: None)()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False
