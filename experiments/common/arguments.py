"""Arguments of the command line that several experiments have."""

import argparse
import pathlib


def block_shape(text):
    """`(rows, columns)` of a text such as "16x16"."""
    try:
        rows, columns = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a block is ROWSxCOLUMNS, such as 16x16; received {text!r}"
        ) from None
    return rows, columns


def quick_parser(description, what):
    """A parser whose help begins with `description` as it stands, and which takes `--quick`: `what`
    says how small everything is then.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{what}: shows that everything works")
    return parser


def add_text(parser):
    """Lets `parser` take the text that a language model is trained on, as `char_text.Text` does."""
    parser.add_argument(
        "--text",
        metavar="FILE",
        help='a UTF-8 text, or "library", the modules of Python\'s standard library (default: '
        "pydoc_data.topics, Python's own help)",
    )


def add_output(parser, folder, what):
    """Lets `parser` take the folder for `what` a program writes; `folder` unless it is given."""
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path(folder),
        metavar="FOLDER",
        help=f"for {what} (default: {folder})",
    )
