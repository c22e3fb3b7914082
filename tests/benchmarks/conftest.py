import pathlib
import sys

# Last, so that the installed package goes before the sources of the checkout.
sys.path.append(str(pathlib.Path(__file__).parents[2]))
