"""Block-sparse recurrent layers for Keras 3: train sparse, run only the live blocks, ship to LiteRT."""
