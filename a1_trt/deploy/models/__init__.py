"""The model.py files of the model repository, as `a1_trt.deploy.render` writes them; they run inside Triton only."""
