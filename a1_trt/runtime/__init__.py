"""What runs the core: the engine protocol, the driver, sessions, calibration on disk, metrics, virtual time."""
