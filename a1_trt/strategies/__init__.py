"""Ways of solving a problem with a draft and a target: this one and its peers, over the same engines."""
