"""Arguments of the command line that several experiments have."""

import argparse


def block_shape(text):
    """`(rows, columns)` of a text such as "16x16"."""
    try:
        rows, columns = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a block is ROWSxCOLUMNS, such as 16x16; received {text!r}"
        ) from None
    return rows, columns
