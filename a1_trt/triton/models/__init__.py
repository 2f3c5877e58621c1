"""The model.py files of the model repository, as `a1_trt.triton.render` writes them; they run inside Triton only."""
