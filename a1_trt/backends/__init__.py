"""Code that talks to an engine, one module or package each; none knows another."""
