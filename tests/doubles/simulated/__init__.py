"""Engines that run in virtual time on the simulator's model of an engine, and text that they write."""

from tests.doubles.simulated.engine import Fault, SimulatedEngine
from tests.doubles.simulated.text import CharacterTokenizer, RandomText, SimulatedText

__all__ = ["CharacterTokenizer", "Fault", "RandomText", "SimulatedEngine", "SimulatedText"]
